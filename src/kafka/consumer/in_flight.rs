//! How much of a consumer is in flight, and when that is enough. Pure: it knows no librdkafka.
//!
//! A batch is in flight from the moment it is handed on until the actor says that it is done, whatever became
//! of it, or its partition is closed. What happens, and what follows:
//!
//! | event | counts |
//! |---|---|
//! | a partition is opened | begin at nothing |
//! | a batch is handed on | one batch and its bytes more |
//! | a batch of the present opening is done | one batch and its bytes less |
//! | a batch of an earlier opening is done, or of a partition that is closed | as they are: closing has taken it off |
//! | a partition is closed, revoked or opened anew | all of its batches and their bytes less |
//!
//! The limit is reached (*full*) when the bytes of all partitions are, or when one partition has as many
//! batches in flight as it may and its next batch is full as well. The bytes of all hold all partitions up,
//! what one partition has only itself.

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
    /// Bytes of all unanswered batches together, and of those that are under construction.
    pub bytes: usize,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
}

/// What is unanswered of one partition.
#[derive(Debug, Default)]
struct Unanswered {
    opening: u64,
    batches: usize,
    bytes: usize,
}

/// The batches in flight of one consumer.
pub(super) struct InFlight {
    limit: InFlightLimit,
    partitions: HashMap<Partition, Unanswered>,
    bytes: usize,
    full_since: Option<Instant>,
}

impl InFlight {
    pub(super) fn new(limit: InFlightLimit) -> Self {
        Self { limit, partitions: HashMap::new(), bytes: 0, full_since: None }
    }

    /// A partition is opened.
    pub(super) fn open(&mut self, partition: Partition, opening: u64) {
        self.close(&partition);
        self.partitions.insert(partition, Unanswered { opening, ..Unanswered::default() });
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

    /// Returns whether the limit is reached by what is in flight and the bytes that are under construction.
    /// `next_is_full` says of a partition whether its next batch is full.
    pub(super) fn is_full(
        &self,
        under_construction: usize,
        next_is_full: impl Fn(&Partition) -> bool,
    ) -> bool {
        self.bytes + under_construction >= self.limit.bytes
            || self
                .partitions
                .keys()
                .any(|partition| !self.has_room_for(partition) && next_is_full(partition))
    }

    /// Returns for how long the limit was reached, once it is no longer.
    pub(super) fn held(&mut self, full: bool, now: Instant) -> Option<Duration> {
        if full {
            self.full_since.get_or_insert(now);
            return None;
        }
        self.full_since.take().map(|since| now.duration_since(since))
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
        in_flight.open(partition(0), 1);
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
                    |it| it.open(partition(0), 2),
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
                    |it| it.open(partition(1), 2),
                    |it| it.hand_on(&partition(0), 30),
                    |it| it.hand_on(&partition(1), 7),
                    |it| it.close(&partition(0)),
                ],
                (0, 0, 7),
            ),
            ("opened anew", &[|it| it.hand_on(&partition(0), 30), |it| it.open(partition(0), 2)], (0, 0, 0)),
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
            assert_eq!(in_flight.is_full(0, |_| next_is_full), full, "{row}");
            assert_eq!(in_flight.has_room_for(&partition(0)), batches < 2, "{row}");
        }
    }

    #[test]
    fn how_long_the_limit_was_reached_is_told_once_at_its_end() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let mut in_flight = in_flight();
        assert_eq!(in_flight.held(false, at(0)), None);
        assert_eq!(in_flight.held(true, at(1)), None);
        assert_eq!(in_flight.held(true, at(4)), None);
        assert_eq!(in_flight.held(false, at(6)), Some(Duration::from_secs(5)));
        assert_eq!(in_flight.held(false, at(7)), None);
    }
}
