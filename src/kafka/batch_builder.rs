//! The batch under construction of one partition: the records that were taken, and the positions that they
//! cover.
//!
//! Records and position move together, always: a position that has moved past records that are not in the
//! batch would be stored as done, and the records would be lost.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::headers::HeaderList;
use super::record::{Mark, Partition, Record, RecordBatch};

pub(super) struct BatchBuilder {
    /// Where the batch starts.
    from: i64,
    /// The position after the last record taken, and after the control records that were stepped over.
    to: i64,
    buffer: Vec<u8>,
    records: Vec<Unfinished>,
    /// When the first record was taken.
    since: Instant,
    appended_at_ms: Option<i64>,
    last: Option<Mark>,
    /// Records and bytes of the batch before: the next one is likely to be like it.
    likely: (usize, usize),
}

/// A record whose key and value lie in the buffer.
struct Unfinished {
    offset: i64,
    key_end: Option<usize>,
    start: usize,
    end: usize,
    headers: HeaderList,
}

impl BatchBuilder {
    /// Begins an empty batch at a position.
    pub(super) fn at(next_offset: i64) -> Self {
        Self {
            from: next_offset,
            to: next_offset,
            buffer: Vec::new(),
            records: Vec::new(),
            since: Instant::now(),
            appended_at_ms: None,
            last: None,
            likely: (0, 0),
        }
    }

    /// Returns the position behind everything that was taken and stepped over.
    pub(super) fn position(&self) -> i64 {
        self.to
    }

    /// Takes a record at the position or behind it.
    pub(super) fn push(
        &mut self,
        offset: i64,
        key: Option<&[u8]>,
        value: &[u8],
        headers: HeaderList,
        appended_at_ms: Option<i64>,
    ) {
        if self.records.is_empty() {
            self.since = Instant::now();
            self.appended_at_ms = appended_at_ms;
            let (records, bytes) = self.likely;
            self.records.reserve(records);
            self.buffer.reserve(bytes);
        }
        let start = self.buffer.len();
        let key_end = key.map(|key| {
            self.buffer.extend_from_slice(key);
            self.buffer.len()
        });
        self.buffer.extend_from_slice(value);
        self.records.push(Unfinished { offset, key_end, start, end: self.buffer.len(), headers });
        self.last = appended_at_ms.map(|appended_at_ms| Mark { offset, appended_at_ms });
        self.to = offset + 1;
    }

    /// Steps over control records, which no reader gets.
    pub(super) fn step_to(&mut self, position: i64) {
        self.to = self.to.max(position);
    }

    /// Gives back what was taken since the last batch, position included.
    pub(super) fn forget(&mut self) {
        *self = Self::at(self.from);
    }

    /// Tells whether there are records that wait to be handed on.
    pub(super) fn holds_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Returns the bytes of the keys and values that were taken.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Tells whether the batch is as large as one may be.
    pub(super) fn is_full(&self, rows: usize, bytes: usize) -> bool {
        self.records.len() >= rows || self.buffer.len() >= bytes
    }

    /// Tells whether there is something to hand on that is full or has waited for long enough.
    pub(super) fn is_due(&self, rows: usize, bytes: usize, linger: Duration) -> bool {
        self.to != self.from
            && (self.is_full(rows, bytes) || !self.holds_records() || self.since.elapsed() >= linger)
    }

    /// Turns what was taken into a batch, and begins the next one behind it.
    pub(super) fn cut(&mut self, (topic, partition): &Partition) -> RecordBatch {
        let Self { from, to, buffer, records, appended_at_ms, last, .. } =
            std::mem::replace(self, Self::at(self.to));
        self.likely = (records.len(), buffer.len());
        let buffer = Bytes::from(buffer);
        let records = records.into_iter().map(|record| Record {
            offset: record.offset,
            key: record.key_end.map(|end| buffer.slice(record.start..end)),
            value: buffer.slice(record.key_end.unwrap_or(record.start)..record.end),
            headers: record.headers,
        });
        RecordBatch {
            topic: topic.clone(),
            partition: *partition,
            from,
            to,
            records: records.collect(),
            bytes: buffer.len(),
            appended_at_ms,
            last,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn builder() -> BatchBuilder {
        let mut builder = BatchBuilder::at(10);
        builder.push(10, Some(b"QUEENS"), b"one", HeaderList::default(), Some(7));
        builder.push(12, None, b"two", HeaderList::default(), Some(8));
        builder
    }

    #[test]
    fn a_batch_covers_its_records_and_the_next_begins_behind_it() {
        let partition = (Arc::from("t"), 2);
        let mut builder = builder();
        let batch = builder.cut(&partition);
        assert_eq!((batch.from, batch.to, batch.bytes, batch.appended_at_ms), (10, 13, 12, Some(7)));
        assert_eq!(batch.last, Some(Mark { offset: 12, appended_at_ms: 8 }));
        let seen: Vec<_> = batch
            .records
            .iter()
            .map(|record| (record.offset, record.key.as_deref(), &*record.value))
            .collect();
        assert_eq!(seen, [(10, Some(&b"QUEENS"[..]), &b"one"[..]), (12, None, b"two")]);
        builder.step_to(15);
        let batch = builder.cut(&partition);
        assert_eq!((batch.from, batch.to, batch.records.len(), batch.last), (13, 15, 0, None));
    }

    #[test]
    fn what_is_forgotten_takes_its_position_back() {
        let mut builder = builder();
        builder.forget();
        assert!(!builder.is_due(1, 1, Duration::ZERO));
        assert_eq!(builder.cut(&(Arc::from("t"), 2)).to, 10);
    }
}
