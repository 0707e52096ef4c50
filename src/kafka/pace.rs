//! How soon the transactions of a partition follow each other.
//!
//! A transaction costs the broker some milliseconds, whatever it holds. A partition that flows is worth
//! gathering for; one that trickles is not made to wait.

use std::time::{Duration, Instant};

/// From how many records a second on a partition flows.
const FLOWING: f64 = 500.0;
/// Over how long that is counted at least: a page that comes once a second is no flow.
const COUNTED_OVER: Duration = Duration::from_secs(1);
/// How long after the beginning of one the next transaction of a partition begins that flows.
const INTERVAL: Duration = Duration::from_millis(200);

/// What the last transactions of a partition tell of the next one.
#[derive(Default)]
pub(super) struct Pace {
    began: Option<Instant>,
    /// Since when is counted, and how many records there were.
    counted: Option<(Instant, usize)>,
    flows: bool,
}

impl Pace {
    /// A transaction of so many records begins.
    pub(super) fn begins(&mut self, records: usize, now: Instant) {
        self.began = Some(now);
        let (since, before) = self.counted.unwrap_or((now, 0));
        let over = now.saturating_duration_since(since);
        self.counted = if over < COUNTED_OVER {
            Some((since, before + records))
        } else {
            self.flows = before as f64 >= FLOWING * over.as_secs_f64();
            Some((now, records))
        };
    }

    /// How long the next one may still gather.
    pub(super) fn left(&self, now: Instant) -> Duration {
        match self.began {
            Some(began) if self.flows => INTERVAL.saturating_sub(now.saturating_duration_since(began)),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins transactions of so many records each so often, for three seconds, and returns how long the next
    /// one gathers.
    fn gathers(records: usize, every_ms: usize) -> Duration {
        let start = Instant::now();
        let at = |millis: usize| start + Duration::from_millis(millis as u64);
        let mut pace = Pace::default();
        let last = (0..3_000).step_by(every_ms).inspect(|millis| pace.begins(records, at(*millis))).last();
        pace.left(at(last.unwrap_or(0)))
    }

    #[test]
    fn only_a_partition_that_flows_is_gathered_for() {
        assert_eq!(gathers(100, 50), INTERVAL, "2,000 a second flow");
        assert_eq!(gathers(10, 50), Duration::ZERO, "200 a second trickle");
        assert_eq!(gathers(300, 1_000), Duration::ZERO, "a page a second is no flow");
    }

    #[test]
    fn a_page_that_takes_several_transactions_is_not_made_to_wait() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for page in 0..5 {
            for (transaction, records) in [(0, 20), (1, 100), (2, 180)] {
                let now = start + Duration::from_millis(page * 1_000 + transaction * 30);
                assert_eq!(pace.left(now), Duration::ZERO);
                pace.begins(records, now);
            }
        }
    }

    #[test]
    fn what_has_been_gathered_for_long_enough_begins() {
        let start = Instant::now();
        let mut pace = Pace { flows: true, ..Pace::default() };
        pace.begins(1, start);
        assert_eq!(pace.left(start + Duration::from_millis(30)), INTERVAL - Duration::from_millis(30));
        assert_eq!(pace.left(start + INTERVAL), Duration::ZERO);
    }
}
