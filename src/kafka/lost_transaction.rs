//! What a transaction has left of which the broker itself has lost track.
//!
//! Its coordinator takes it for complete, though not every partition was told of its end. Those that were not
//! withhold what it wrote, until another transaction of the same producer ends there; that one is aborted
//! (`transactional`), and with it what was withheld. Where it was the raw offset that was withheld, while the
//! derived records had been committed, they would be derived a second time. So the offset is set behind what
//! the derived topics show:
//!
//! | derived records whose raw offset is at the committed one or behind it | the offset |
//! |---|---|
//! | none | stays: the transaction was aborted, or never committed anywhere |
//! | each of them once, without a gap, at the end of the topics | goes behind them, in a transaction of its own |
//! | anything else | stays: they are of an earlier reading |
//! | any, and the committed offset was set by hand | stays: they are to be derived again |

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::client::{base, overridden};
use super::error::KafkaError;
use super::headers::HeaderList;
use super::offset_note::OffsetNote;
use super::reading::{mark_at, read};
use super::record::Mark;
use crate::config::KafkaSettings;

/// How far from the end of a topic the records of one transaction may lie: more than one holds, with their
/// control records.
const TAIL: i64 = 100_000;

/// A derived record, as far as it tells of which raw record it is, and when Kafka appended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Derived {
    raw_offset: i64,
    appended_at_ms: i64,
}

/// Reads what a group has committed and what the derived topics hold, as a member of nothing.
pub(super) struct Witness<'a> {
    settings: &'a KafkaSettings,
    partition: i32,
    /// How long each question, and each reading, may take.
    patience: Duration,
    pub(super) consumer: BaseConsumer,
}

impl<'a> Witness<'a> {
    pub(super) fn new(
        settings: &'a KafkaSettings,
        group: &str,
        partition: i32,
        patience: Duration,
    ) -> Result<Self, KafkaError> {
        let mut config = base(settings);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true");
        Ok(Self { settings, partition, patience, consumer: overridden(config, settings).create()? })
    }

    /// Returns the raw record behind which the committed offset belongs; none where it is right.
    pub(super) fn last_derived(&self) -> Result<Option<Mark>, KafkaError> {
        let Some(committed) = self.committed()? else { return Ok(None) };
        let enriched = self.tail(&self.settings.enriched_topic)?;
        let dead = self.tail(&self.settings.dead_letter_topic)?;
        let Some(offset) = last_of_run(committed, &enriched, &dead) else { return Ok(None) };
        mark_at(&self.consumer, &self.settings.raw_topic, self.partition, offset, self.patience)
    }

    /// Returns where the group stands; none where somebody has put it there.
    fn committed(&self) -> Result<Option<i64>, KafkaError> {
        let topic = &self.settings.raw_topic;
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, self.partition);
        // The list must be gone before the consumer is dropped, or the drop hangs.
        let found = self.consumer.committed_offsets(wanted, self.patience)?;
        let found = found.find_partition(topic, self.partition);
        match found.map(|found| (found.offset(), OffsetNote::read(found.metadata()).last)) {
            Some((Offset::Offset(next_offset), Some(_))) => Ok(Some(next_offset)),
            Some((Offset::Offset(_), None)) => Ok(None),
            _ => Ok(Some(self.consumer.fetch_watermarks(topic, self.partition, self.patience)?.0)),
        }
    }

    /// Reads the end of a derived topic.
    fn tail(&self, topic: &str) -> Result<Vec<Derived>, KafkaError> {
        let (low, high) = self.consumer.fetch_watermarks(topic, self.partition, self.patience)?;
        let mut records = Vec::new();
        read(&self.consumer, topic, self.partition, low.max(high - TAIL), self.patience, |record| {
            let headers = record.headers().and_then(|headers| HeaderList::read(headers, None));
            let appended_at_ms = record.timestamp().to_millis().unwrap_or(i64::MIN);
            let raw_offset = headers.and_then(|headers| headers.raw_offset);
            records.extend(raw_offset.map(|raw_offset| Derived { raw_offset, appended_at_ms }));
            true
        })?;
        Ok(records)
    }
}

/// Returns the last raw offset of those from `committed` on that both topics hold at their ends, each once
/// and without a gap. Dead letters from before the last enriched record of an earlier raw record are of an
/// earlier reading.
fn last_of_run(committed: i64, enriched: &[Derived], dead: &[Derived]) -> Option<i64> {
    let before = |records: &[Derived]| records.iter().rposition(|record| record.raw_offset < committed);
    let (last_enriched, last_dead) = (before(enriched), before(dead));
    let since = last_enriched.map_or(i64::MIN, |at| enriched[at].appended_at_ms);
    let run = enriched[last_enriched.map_or(0, |at| at + 1)..].iter();
    let dead = dead[last_dead.map_or(0, |at| at + 1)..].iter().filter(|dead| dead.appended_at_ms >= since);
    let mut offsets: Vec<i64> = run.chain(dead).map(|record| record.raw_offset).collect();
    offsets.sort_unstable();
    let is_whole = (committed..).zip(&offsets).all(|(expected, offset)| expected == *offset);
    offsets.last().copied().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of these raw offsets, appended one a millisecond from `from_ms` on.
    fn records(from_ms: i64, raw_offsets: &[i64]) -> Vec<Derived> {
        let record =
            |(appended_at_ms, raw_offset): (i64, &i64)| Derived { raw_offset: *raw_offset, appended_at_ms };
        (from_ms..).zip(raw_offsets).map(record).collect()
    }

    #[test]
    fn only_a_whole_run_at_the_end_of_both_topics_moves_the_offset() {
        for (what, committed, enriched, dead, expected) in [
            ("nothing is there", 0, &[][..], &[][..], None),
            ("all is committed", 4, &[0, 1, 3], &[2], None),
            ("a first transaction", 0, &[0, 1, 3], &[2], Some(3)),
            ("the next one", 4, &[0, 1, 3, 4, 6], &[2, 5, 7], Some(7)),
            ("dead letters alone", 2, &[0, 1], &[2, 3], Some(3)),
            ("a gap", 4, &[0, 1, 3, 4, 6], &[2], None),
            ("one that comes twice", 2, &[0, 1, 2, 2], &[], None),
            ("read again from the beginning", 2, &[0, 1, 2, 3, 4, 0, 1], &[], None),
        ] {
            // Dead letters of the run come after the records before it.
            let (enriched, dead) = (records(0, enriched), records(100, dead));
            assert_eq!(last_of_run(committed, &enriched, &dead), expected, "{what}");
        }
    }

    #[test]
    fn dead_letters_of_an_earlier_reading_are_no_part_of_the_run() {
        let (enriched, dead) = (records(1_000, &[0, 1]), records(0, &[2, 3]));
        assert_eq!(last_of_run(2, &enriched, &dead), None);
    }
}
