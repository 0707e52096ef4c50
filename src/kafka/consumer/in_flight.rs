//! How much of a consumer is in flight, and when its partitions are paused over it. Pure: it knows no
//! librdkafka.
//!
//! A batch is in flight from the moment it is handed on until the actor says that it is done, whatever became
//! of it, or its partition is closed. What happens, and what follows:
//!
//! | event | counts | what follows |
//! |---|---|---|
//! | a partition is opened, nothing is paused | begin at nothing | it flows |
//! | a partition is opened while the others are paused | begin at nothing | it is paused too |
//! | a batch is handed on | one batch and its bytes more | |
//! | a batch of the present opening is done | one batch and its bytes less | |
//! | a batch of an earlier opening is done, or of a partition that is closed | as they are: closing has taken it off | |
//! | a partition is closed, revoked or opened anew | all of its batches and their bytes less | |
//!
//! The limit is reached (*full*) when the bytes of all partitions are, or when one partition has as many
//! batches in flight as it may and its next batch is full as well. At each look:
//!
//! | full | since | paused | what follows |
//! |---|---|---|---|
//! | no | | no | nothing |
//! | no | a while | no | the time is told |
//! | no | a while | yes | the time is told, and the partitions are resumed |
//! | yes | this look | no | the time begins |
//! | yes | [`PAUSE_AFTER`] at most | no | nothing: records stay where they were fetched |
//! | yes | longer | no | the partitions are paused |
//! | yes | longer | yes | nothing |

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::kafka::record::Partition;

/// How much one consumer holds in flight, and how it cuts batches.
#[derive(Debug, Clone, Copy)]
pub struct InFlightLimit {
    /// Records in one batch at most.
    pub batch_rows: usize,
    /// Bytes of values in one batch at most (a single larger record makes a batch of its own).
    pub batch_bytes: usize,
    /// Batches of one partition that may be unanswered; a mailbox keeps the order of 15 at most.
    pub batches_per_partition: usize,
    /// Bytes of all unanswered batches together.
    pub bytes: usize,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
}

/// How long the limit may be reached before the partitions are paused, which throws away what was fetched
/// ahead.
const PAUSE_AFTER: Duration = Duration::from_secs(2);

/// What is unanswered of one partition.
#[derive(Debug, Default)]
struct Unanswered {
    opening: u64,
    batches: usize,
    bytes: usize,
}

/// What is to be done about the flow of the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    AsItIs,
    /// Pause all open partitions.
    Pause,
    /// Resume all open partitions.
    Resume,
}

/// What follows from one look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// For how long the limit was reached, once it is no longer.
    pub(super) held: Option<Duration>,
    pub(super) flow: Flow,
}

/// The batches in flight of one consumer.
pub(super) struct InFlight {
    limit: InFlightLimit,
    partitions: HashMap<Partition, Unanswered>,
    bytes: usize,
    paused: bool,
    full_since: Option<Instant>,
}

impl InFlight {
    pub(super) fn new(limit: InFlightLimit) -> Self {
        Self { limit, partitions: HashMap::new(), bytes: 0, paused: false, full_since: None }
    }

    /// A partition is opened. Returns whether it has to be paused: a new one must not flow while the others
    /// stand still.
    #[must_use]
    pub(super) fn open(&mut self, partition: Partition, opening: u64) -> bool {
        self.close(&partition);
        self.partitions.insert(partition, Unanswered { opening, ..Unanswered::default() });
        self.paused
    }

    /// A partition is no longer read: nothing of it is waited for.
    pub(super) fn close(&mut self, partition: &Partition) {
        if let Some(unanswered) = self.partitions.remove(partition) {
            self.bytes -= unanswered.bytes;
        }
    }

    /// Returns whether a batch of the partition may be handed on.
    pub(super) fn has_room_for(&self, partition: &Partition) -> bool {
        self.partitions
            .get(partition)
            .is_some_and(|unanswered| unanswered.batches < self.limit.batches_per_partition)
    }

    /// A batch is handed on.
    pub(super) fn hand_on(&mut self, partition: &Partition, bytes: usize) {
        if let Some(unanswered) = self.partitions.get_mut(partition) {
            unanswered.batches += 1;
            unanswered.bytes += bytes;
            self.bytes += bytes;
        }
    }

    /// A batch is done; one of an earlier opening was taken off when that was closed.
    pub(super) fn done(&mut self, partition: &Partition, opening: u64, bytes: usize) {
        let current = self.partitions.get_mut(partition).filter(|unanswered| unanswered.opening == opening);
        if let Some(unanswered) = current {
            unanswered.batches -= 1;
            unanswered.bytes -= bytes;
            self.bytes -= bytes;
        }
    }

    /// Returns whether the limit is reached. `next_is_full` says of a partition whether its next batch is
    /// full.
    pub(super) fn is_full(&self, next_is_full: impl Fn(&Partition) -> bool) -> bool {
        self.bytes >= self.limit.bytes
            || self
                .partitions
                .keys()
                .any(|partition| !self.has_room_for(partition) && next_is_full(partition))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Takes a look. What it asks for counts as done: a consumer that refuses it is given up.
    pub(super) fn look(&mut self, full: bool, now: Instant) -> Look {
        if !full {
            let held = self.full_since.take().map(|since| now.duration_since(since));
            let flow = if std::mem::take(&mut self.paused) { Flow::Resume } else { Flow::AsItIs };
            return Look { held, flow };
        }
        let since = *self.full_since.get_or_insert(now);
        let pause = !self.paused && now.duration_since(since) > PAUSE_AFTER;
        self.paused |= pause;
        Look { held: None, flow: if pause { Flow::Pause } else { Flow::AsItIs } }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn partition(number: i32) -> Partition {
        (Arc::from("t"), number)
    }

    /// Two batches for each partition, 100 bytes for all; partition 0 is open as opening 1.
    fn in_flight() -> InFlight {
        let mut in_flight = InFlight::new(InFlightLimit {
            batch_rows: 10,
            batch_bytes: 100,
            batches_per_partition: 2,
            bytes: 100,
            linger: Duration::ZERO,
        });
        assert!(!in_flight.open(partition(0), 1), "a partition flows as long as nothing is paused");
        in_flight
    }

    /// What is in flight: batches of partition 0, bytes of it, bytes of all.
    fn counts(in_flight: &InFlight) -> (usize, usize, usize) {
        let of_partition = in_flight.partitions.get(&partition(0));
        let (batches, bytes) =
            of_partition.map_or((0, 0), |unanswered| (unanswered.batches, unanswered.bytes));
        (batches, bytes, in_flight.bytes)
    }

    #[test]
    fn each_event_counts_as_the_table_says() {
        type Happens = fn(&mut InFlight);
        type Row<'a> = (&'a str, &'a [Happens], (usize, usize, usize));
        let rows: [Row<'_>; 9] = [
            ("opened", &[], (0, 0, 0)),
            ("handed on", &[|it| it.hand_on(&partition(0), 30)], (1, 30, 30)),
            ("done", &[|it| it.hand_on(&partition(0), 30), |it| it.done(&partition(0), 1, 30)], (0, 0, 0)),
            (
                "done of an earlier opening",
                &[
                    |it| it.hand_on(&partition(0), 30),
                    |it| assert!(!it.open(partition(0), 2)),
                    |it| it.hand_on(&partition(0), 20),
                    |it| it.done(&partition(0), 1, 30),
                ],
                (1, 20, 20),
            ),
            (
                "done of a partition that is closed",
                &[
                    |it| it.hand_on(&partition(0), 30),
                    |it| it.close(&partition(0)),
                    |it| it.done(&partition(0), 1, 30),
                ],
                (0, 0, 0),
            ),
            (
                "closed beside another",
                &[
                    |it| assert!(!it.open(partition(1), 2)),
                    |it| it.hand_on(&partition(0), 30),
                    |it| it.hand_on(&partition(1), 7),
                    |it| it.close(&partition(0)),
                ],
                (0, 0, 7),
            ),
            (
                "opened anew",
                &[|it| it.hand_on(&partition(0), 30), |it| assert!(!it.open(partition(0), 2))],
                (0, 0, 0),
            ),
            ("handed on of a partition that is closed", &[|it| it.hand_on(&partition(1), 30)], (0, 0, 0)),
            ("closed twice", &[|it| it.close(&partition(0)), |it| it.close(&partition(0))], (0, 0, 0)),
        ];
        for (row, happens, expected) in rows {
            let mut in_flight = in_flight();
            happens.iter().for_each(|happen| happen(&mut in_flight));
            assert_eq!(counts(&in_flight), expected, "{row}");
        }
    }

    #[test]
    fn the_limit_is_reached_by_bytes_or_by_a_partition_whose_next_batch_is_full_too() {
        // Batches of partition 0 in flight and their bytes, whether its next batch is full; whether the limit
        // is reached.
        for (batches, bytes, next_is_full, full) in [
            (0, 0, true, false),
            (1, 10, true, false),
            (2, 10, false, false),
            (2, 10, true, true),
            (1, 99, false, false),
            (1, 100, false, true),
        ] {
            let mut in_flight = in_flight();
            (0..batches).for_each(|_| in_flight.hand_on(&partition(0), bytes / batches));
            let row = format!("{batches} batches, {bytes} bytes, next is full: {next_is_full}");
            assert_eq!(in_flight.is_full(|_| next_is_full), full, "{row}");
            assert_eq!(in_flight.has_room_for(&partition(0)), batches < 2, "{row}");
        }
    }

    #[test]
    fn each_look_does_what_the_table_says() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let nothing = Look { held: None, flow: Flow::AsItIs };
        let held = |seconds, flow| Look { held: Some(Duration::from_secs(seconds)), flow };
        // Each row: what the looks before saw and when, what this one sees and when; what follows.
        for (row, before, full, now, expected) in [
            ("has room", &[][..], false, 0, nothing),
            ("has room again", &[(true, 0)], false, 1, held(1, Flow::AsItIs)),
            ("has room again after a pause", &[(true, 0), (true, 3)], false, 4, held(4, Flow::Resume)),
            ("is full", &[], true, 0, Look { held: None, flow: Flow::AsItIs }),
            ("is full for a moment", &[(true, 0)], true, 2, Look { held: None, flow: Flow::AsItIs }),
            ("is full for long", &[(true, 0)], true, 3, Look { held: None, flow: Flow::Pause }),
            ("is full and paused", &[(true, 0), (true, 3)], true, 9, Look { held: None, flow: Flow::AsItIs }),
            (
                "is full anew",
                &[(true, 0), (true, 3), (false, 4)],
                true,
                9,
                Look { held: None, flow: Flow::AsItIs },
            ),
        ] {
            let mut in_flight = in_flight();
            for (full, second) in before {
                in_flight.look(*full, at(*second));
            }
            assert_eq!(in_flight.look(full, at(now)), expected, "{row}");
        }
    }

    #[test]
    fn a_partition_that_is_opened_while_the_others_are_paused_is_paused_too() {
        let mut in_flight = in_flight();
        let began = Instant::now();
        in_flight.look(true, began);
        assert_eq!(in_flight.look(true, began + Duration::from_secs(3)).flow, Flow::Pause);
        assert!(in_flight.is_paused());
        assert!(in_flight.open(partition(1), 2));
        assert_eq!(in_flight.look(false, began + Duration::from_secs(4)).flow, Flow::Resume);
        assert!(!in_flight.open(partition(2), 3));
    }
}
