//! What is armed, which visit each fault strikes at, and when it ends.

use std::collections::VecDeque;
use std::time::Instant;

use jiff::Timestamp;

use super::fault::{Fault, FaultKind, Target};
use crate::words::words;

/// How many faults may be armed at a time: a game day has a handful, and each visit looks at all.
pub const MOST_ARMED: usize = 64;
/// How many that have ended are remembered, for whoever asks what became of them.
const MOST_ENDED: usize = 32;

words! {
    /// Where a fault is in its life.
    FaultState {
        Armed = "armed",
        /// It has struck as often as it was to.
        Spent = "spent",
        /// Its time was over.
        Expired = "expired",
        /// Somebody has cleared it.
        Cleared = "cleared",
    }
}

/// A fault that is armed, or was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmedFault {
    /// Counted from 1 on while the process lives.
    pub id: u64,
    pub fault: Fault,
    pub state: FaultState,
    pub armed_at: Timestamp,
    /// When it ends by itself, or when it has ended.
    pub ends_at: Timestamp,
    /// How often its target was visited while it was armed.
    pub visits: u64,
    /// How often it has struck.
    pub hits: u64,
}

impl ArmedFault {
    fn is_spent(&self) -> bool {
        self.hits >= self.fault.count.get()
    }
}

struct Entry {
    shown: ArmedFault,
    ends: Instant,
    random: fastrand::Rng,
}

impl Entry {
    /// Counts a visit and says whether it is one to strike at.
    fn is_due(&mut self) -> bool {
        self.shown.visits += 1;
        let fault = &self.shown.fault;
        let Some(behind) = self.shown.visits.checked_sub(fault.skip + 1) else { return false };
        if behind % fault.every != 0 || self.shown.is_spent() {
            return false;
        }
        fault.chance.is_none_or(|chance| self.random.f64() < chance.probability)
    }
}

/// All faults of the process.
pub(super) struct Plan {
    armed: Vec<Entry>,
    ended: VecDeque<ArmedFault>,
    last_id: u64,
    /// Whether a thread waits for the next end.
    pub(super) is_watched: bool,
}

impl Plan {
    pub(super) const fn new() -> Self {
        Self { armed: Vec::new(), ended: VecDeque::new(), last_id: 0, is_watched: false }
    }

    pub(super) fn count(&self) -> usize {
        self.armed.len()
    }

    pub(super) fn armed(&self) -> Vec<ArmedFault> {
        self.armed.iter().map(|entry| entry.shown).collect()
    }

    /// Returns those that have ended, the last one first.
    pub(super) fn ended(&self) -> Vec<ArmedFault> {
        self.ended.iter().rev().copied().collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<ArmedFault> {
        let armed = self.armed.iter().map(|entry| &entry.shown);
        armed.chain(&self.ended).find(|fault| fault.id == id).copied()
    }

    /// Arms a fault; none where there are as many as there may be.
    pub(super) fn arm(&mut self, fault: Fault, now: Instant) -> Option<ArmedFault> {
        if self.armed.len() >= MOST_ARMED {
            return None;
        }
        self.last_id += 1;
        let armed_at = Timestamp::now();
        let shown = ArmedFault {
            id: self.last_id,
            fault,
            state: FaultState::Armed,
            armed_at,
            ends_at: armed_at.saturating_add(fault.expires_in).unwrap_or(armed_at),
            visits: 0,
            hits: 0,
        };
        let random = fastrand::Rng::with_seed(fault.chance.map_or(0, |chance| chance.seed));
        self.armed.push(Entry { shown, ends: now + fault.expires_in, random });
        Some(shown)
    }

    /// Counts a visit of a target, and returns the fault that strikes at it: of several the one that was
    /// armed first. The others strike at a later visit.
    pub(super) fn due(&mut self, target: Target, now: Instant) -> Option<ArmedFault> {
        let mut struck: Option<ArmedFault> = None;
        let meant = |entry: &&mut Entry| entry.shown.fault.target == target && entry.ends > now;
        for entry in self.armed.iter_mut().filter(meant) {
            if entry.is_due() && struck.is_none() {
                entry.shown.hits += 1;
                struck = Some(entry.shown);
            }
        }
        struck
    }

    /// Returns until when a fault is armed; none where it has ended.
    pub(super) fn end_of(&self, id: u64) -> Option<Instant> {
        self.armed.iter().find(|entry| entry.shown.id == id).map(|entry| entry.ends)
    }

    /// Returns when the next fault ends by itself.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.armed.iter().map(|entry| entry.ends).min()
    }

    /// Ends what has struck often enough, and what is armed no longer. A thread that hangs is held by its
    /// fault until that expires or is cleared.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<ArmedFault> {
        self.end_where(|entry| {
            if entry.shown.is_spent() && entry.shown.fault.kind != FaultKind::Hang {
                Some(FaultState::Spent)
            } else {
                (entry.ends <= now).then_some(FaultState::Expired)
            }
        })
    }

    /// Clears one fault, or all.
    pub(super) fn clear(&mut self, id: Option<u64>) -> Vec<ArmedFault> {
        self.end_where(|entry| id.is_none_or(|id| entry.shown.id == id).then_some(FaultState::Cleared))
    }

    fn end_where(&mut self, end: impl Fn(&Entry) -> Option<FaultState>) -> Vec<ArmedFault> {
        let mut ended = Vec::new();
        self.armed.retain_mut(|entry| {
            let Some(state) = end(entry) else { return true };
            (entry.shown.state, entry.shown.ends_at) = (state, Timestamp::now());
            ended.push(entry.shown);
            false
        });
        self.ended.extend(&ended);
        self.ended.drain(..self.ended.len().saturating_sub(MOST_ENDED));
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::faults::parse;
    use crate::faults::point::Point;

    const COMMITTED: Target = Target::Point(Point::named("writer:commit:after"));

    fn armed(text: &str, now: Instant) -> Plan {
        let mut plan = Plan::new();
        for fault in parse(text).unwrap() {
            plan.arm(fault, now).unwrap();
        }
        plan
    }

    /// Visits a target so often, and returns which visits were struck, counted from 1.
    fn struck(plan: &mut Plan, now: Instant, visits: u32) -> Vec<u32> {
        let mut visit = |_: &u32| {
            let due = plan.due(COMMITTED, now).is_some();
            plan.settle(now);
            due
        };
        (1..=visits).filter(|number| visit(number)).collect()
    }

    #[test]
    fn a_fault_strikes_at_the_visits_that_it_is_told() {
        let now = Instant::now();
        for (told, expected) in [
            ("", &[1][..]),
            ("@3", &[3]),
            (";count=3", &[1, 2, 3]),
            ("@3;every=4;count=3", &[3, 7, 11]),
            (";every=5;count=100", &[1, 6, 11, 16]),
            (";probability=1;count=2", &[1, 2]),
        ] {
            let mut plan = armed(&format!("writer:commit:after=error{told}"), now);
            assert_eq!(struck(&mut plan, now, 20), expected, "{told}");
        }
    }

    #[test]
    fn a_seed_strikes_the_same_visits_again_and_another_one_others() {
        let now = Instant::now();
        let run = |seed: u32| {
            let text = format!("writer:commit:after=error;probability=0.3;count=1000;seed={seed}");
            struck(&mut armed(&text, now), now, 1_000)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert!((200..400).contains(&run(7).len()), "{}", run(7).len());
    }

    #[test]
    fn one_fault_strikes_at_a_visit_and_the_other_at_the_next() {
        let now = Instant::now();
        let mut plan = armed("writer:commit:after=error,writer:commit:after=panic,writer=kill", now);
        let kinds: Vec<_> = (0..3)
            .map(|_| {
                let due = plan.due(COMMITTED, now).map(|due| due.fault.kind);
                plan.settle(now);
                due
            })
            .collect();
        assert!(matches!(kinds[..], [Some(FaultKind::Error(_)), Some(FaultKind::Panic), None]), "{kinds:?}");
        let left = plan.armed();
        assert_eq!((left.len(), left[0].fault.kind, left[0].visits), (1, FaultKind::Kill, 0));
        let ended: Vec<_> = plan.ended().iter().map(|fault| (fault.id, fault.state, fault.hits)).collect();
        assert_eq!(ended, [(2, FaultState::Spent, 1), (1, FaultState::Spent, 1)]);
    }

    #[test]
    fn a_fault_ends_when_its_time_is_over_and_strikes_no_more() {
        let now = Instant::now();
        let mut plan = armed("writer:commit:after=error;expires_in=1m,writer=kill", now);
        assert_eq!(plan.next_end(), Some(now + Duration::from_secs(60)));
        let later = now + Duration::from_secs(61);
        assert!(plan.due(COMMITTED, later).is_none());
        let ended: Vec<_> = plan.settle(later).iter().map(|fault| (fault.id, fault.state)).collect();
        assert_eq!(ended, [(1, FaultState::Expired)]);
        assert_eq!((plan.armed().len(), plan.end_of(1)), (1, None));
    }

    #[test]
    fn a_hang_holds_its_thread_until_it_is_cleared() {
        let now = Instant::now();
        let mut plan = armed("writer:commit:after=hang", now);
        assert_eq!(struck(&mut plan, now, 3), [1]);
        assert!(plan.end_of(1).is_some());
        assert_eq!(plan.clear(Some(2)), []);
        assert_eq!(plan.clear(Some(1)).len(), 1);
        assert_eq!((plan.end_of(1), plan.find(1).unwrap().state), (None, FaultState::Cleared));
    }

    #[test]
    fn there_is_a_bound_on_what_is_armed_and_on_what_is_remembered() {
        let now = Instant::now();
        let mut plan = Plan::new();
        let fault = parse("writer=kill").unwrap()[0];
        for _ in 0..MOST_ARMED {
            assert!(plan.arm(fault, now).is_some());
        }
        assert!(plan.arm(fault, now).is_none());
        assert_eq!(plan.clear(None).len(), MOST_ARMED);
        assert_eq!((plan.count(), plan.ended().len()), (0, MOST_ENDED));
        assert_eq!(plan.ended()[0].id, MOST_ARMED as u64);
    }
}
