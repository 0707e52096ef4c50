//! Progress is watched, not only life: a partition that has records to read and does not move, although
//! nothing that it waits for is away, is stalled, whatever the cause.
//!
//! | not moved for | remedy |
//! |---|---|
//! | one `supervision.stalled_after` | the process is not ready, and the partition is opened anew |
//! | two | its stage is rebuilt, with a consumer of its own |
//! | three | the process ends with [`crate::exit_code::HUNG`], so that whoever runs it starts it anew |
//!
//! A group that has left partitions to nobody is watched in the same way, by its members: others may have
//! them all, but somebody is to.
//!
//! The count outlives the incarnations of the stage. It begins anew when the position moves, and while a
//! dependency is away. So every stall has an end that does not depend on anybody having foreseen its cause.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What is to be done about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It moves, has nothing to read, or waits for what is away.
    Nothing,
    /// Open the partition anew.
    Reopen,
    /// Rebuild the stage that reads it.
    Rebuild,
    /// End the process.
    EndProcess,
}

/// A partition that makes no progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    pub stage: &'static str,
    pub topic: Arc<str>,
    /// None where the group of the stage has left partitions of the topic to nobody.
    pub partition: Option<i32>,
}

/// How the members of a group see it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The group is at rest, and has left partitions to nobody.
    pub is_missing: bool,
    /// This member has been given others.
    pub has_partitions: bool,
}

/// How long a group may be at rest with partitions left to nobody, as its members without any see it. The two
/// halves of a rebalance, between which it is at rest like that, are a moment apart.
const PLACE_AFTER: Duration = Duration::from_secs(5);

/// What is known of a partition's progress.
#[derive(Debug)]
struct Progress {
    position: Option<i64>,
    /// Since when it has stood there with something to read.
    since: Instant,
    remedies: u32,
}

type Key = (&'static str, Arc<str>, Option<i32>);

/// The partitions of a process and how they move; every clone is the same.
#[derive(Clone)]
pub struct Stalls {
    after: Duration,
    partitions: Arc<Mutex<HashMap<Key, Progress>>>,
}

impl Stalls {
    /// Watches partitions; one that does not move for `after` is stalled.
    pub fn new(after: Duration) -> Self {
        Self { after, partitions: Arc::default() }
    }

    /// Returns how long a partition may stand still.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Returns how often the positions are to be looked at.
    pub fn look_every(&self) -> Duration {
        (self.after / 3).min(Duration::from_secs(5))
    }

    /// Takes a look: where the partition stands (none while it is not open), and whether it should move: it
    /// has something to read, and nothing that it waits for is away.
    pub fn look(
        &self,
        stage: &'static str,
        (topic, partition): (&Arc<str>, Option<i32>),
        position: Option<i64>,
        should_move: bool,
        now: Instant,
    ) -> Remedy {
        self.look_for(self.after, (stage, topic.clone(), partition), position, should_move, now)
    }

    /// Takes a look at the group of a stage. A member with partitions has as much time as these: to begin
    /// anew interrupts them.
    pub fn look_for_place(
        &self,
        stage: &'static str,
        topic: &Arc<str>,
        place: Place,
        now: Instant,
    ) -> Remedy {
        let after = if place.has_partitions { self.after } else { self.after.min(PLACE_AFTER) };
        self.look_for(after, (stage, topic.clone(), None), None, place.is_missing, now)
    }

    fn look_for(
        &self,
        after: Duration,
        key: Key,
        position: Option<i64>,
        should_move: bool,
        now: Instant,
    ) -> Remedy {
        let mut partitions = self.partitions.lock();
        let progress =
            partitions.entry(key).or_insert_with(|| Progress { position, since: now, remedies: 0 });
        // A partition that is being opened has not moved by that.
        let moved = position.is_some_and(|position| progress.position != Some(position));
        if moved || !should_move {
            *progress = Progress { position: position.or(progress.position), since: now, remedies: 0 };
            return Remedy::Nothing;
        }
        if now.duration_since(progress.since) < after + self.after * progress.remedies {
            return Remedy::Nothing;
        }
        progress.remedies += 1;
        match progress.remedies {
            1 => Remedy::Reopen,
            2 => Remedy::Rebuild,
            _ => Remedy::EndProcess,
        }
    }

    /// Forgets a partition that this process no longer reads.
    pub fn forget(&self, stage: &'static str, topic: &Arc<str>, partition: Option<i32>) {
        self.partitions.lock().remove(&(stage, topic.clone(), partition));
    }

    /// Returns the partitions that make no progress, in order.
    pub fn stalled(&self) -> Vec<Stalled> {
        let partitions = self.partitions.lock();
        let stalled = partitions.iter().filter(|(_, progress)| progress.remedies > 0);
        let mut stalled: Vec<_> = stalled
            .map(|((stage, topic, partition), _)| Stalled {
                stage,
                topic: topic.clone(),
                partition: *partition,
            })
            .collect();
        stalled.sort_by(|a, b| (a.stage, &a.topic, a.partition).cmp(&(b.stage, &b.topic, b.partition)));
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    struct Watch {
        stalls: Stalls,
        topic: Arc<str>,
        began: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Self { stalls: Stalls::new(AFTER), topic: Arc::from("t"), began: Instant::now() }
        }

        fn look(&self, second: u64, position: Option<i64>, should_move: bool) -> Remedy {
            let now = self.began + Duration::from_secs(second);
            self.stalls.look("writer", (&self.topic, Some(0)), position, should_move, now)
        }
    }

    #[test]
    fn each_remedy_follows_the_one_before_it_once() {
        let watch = Watch::new();
        let seen: Vec<_> = (0..=31).map(|second| watch.look(second, Some(7), true)).collect();
        let done: Vec<_> = (0..).zip(seen).filter(|(_, remedy)| *remedy != Remedy::Nothing).collect();
        assert_eq!(done, [(10, Remedy::Reopen), (20, Remedy::Rebuild), (30, Remedy::EndProcess)]);
        assert_eq!(watch.stalls.stalled().len(), 1);
    }

    #[test]
    fn a_position_that_moves_begins_the_count_anew() {
        let watch = Watch::new();
        watch.look(0, Some(7), true);
        assert_eq!(watch.look(10, Some(7), true), Remedy::Reopen);
        assert_eq!(watch.look(11, Some(8), true), Remedy::Nothing);
        assert!(watch.stalls.stalled().is_empty());
        assert_eq!(watch.look(20, Some(8), true), Remedy::Nothing);
        assert_eq!(watch.look(21, Some(8), true), Remedy::Reopen);
    }

    #[test]
    fn what_has_nothing_to_read_or_waits_for_something_is_not_stalled() {
        let watch = Watch::new();
        for second in 0..100 {
            assert_eq!(watch.look(second, Some(7), false), Remedy::Nothing);
        }
        assert_eq!(watch.look(105, Some(7), true), Remedy::Nothing);
        assert_eq!(watch.look(109, Some(7), true), Remedy::Reopen);
    }

    #[test]
    fn being_opened_anew_is_no_progress() {
        let watch = Watch::new();
        watch.look(0, Some(7), true);
        assert_eq!(watch.look(10, Some(7), true), Remedy::Reopen);
        assert_eq!(watch.look(11, None, true), Remedy::Nothing);
        assert_eq!(watch.look(12, Some(7), true), Remedy::Nothing);
        assert_eq!(watch.look(20, None, true), Remedy::Rebuild);
    }

    #[test]
    fn a_member_without_partitions_begins_anew_before_one_that_has_some() {
        let first_remedy = |has_partitions| {
            let watch = Watch::new();
            let looked = |second: &u64| {
                let place = Place { is_missing: true, has_partitions };
                let now = watch.began + Duration::from_secs(*second);
                watch.stalls.look_for_place("reader", &watch.topic, place, now) != Remedy::Nothing
            };
            (0..100).find(looked)
        };
        assert_eq!((first_remedy(false), first_remedy(true)), (Some(5), Some(10)));
    }

    #[test]
    fn a_partition_that_went_elsewhere_is_forgotten() {
        let watch = Watch::new();
        watch.look(0, Some(7), true);
        watch.look(10, Some(7), true);
        watch.stalls.forget("writer", &watch.topic, Some(0));
        assert!(watch.stalls.stalled().is_empty());
    }
}
