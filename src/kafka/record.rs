//! Records and partitions as they are handed on: rows for the raw topic, derived records, and batches that
//! were read.

use std::sync::Arc;

use bytes::Bytes;
use nyc311_domain::Borough;

use super::headers::HeaderList;

/// A partition of a topic.
pub type Partition = (Arc<str>, i32);

/// One row, byte for byte as the API returned it, with what decides its partition.
#[derive(Debug, Clone)]
pub struct RawRow {
    pub value: Bytes,
    pub borough: Option<Borough>,
    pub partition: i32,
}

/// What became of a page.
#[derive(Debug, Clone, Default)]
pub struct PublishedPage {
    pub published: u64,
    /// Rows that the broker refuses for their size, by index: they become dead letters.
    pub too_large: Vec<usize>,
    /// Where the others are in the log.
    pub acknowledged: Vec<Acknowledged>,
}

/// Rows of one page that Kafka has acknowledged, in one raw partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    pub partition: i32,
    pub first_offset: i64,
    /// The offset behind the last of them.
    pub end_offset: i64,
    pub last_appended_at_ms: Option<i64>,
}

/// A record of a derived topic.
#[derive(Debug, Clone)]
pub struct DerivedRecord {
    pub dead_letter: bool,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub headers: HeaderList,
}

/// One record; key and value are slices of the batch's buffer.
#[derive(Debug, Clone)]
pub struct Record {
    pub offset: i64,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub headers: HeaderList,
}

/// Records of one partition in offset order, covering the positions `[from, to)`. Offsets may have gaps. A
/// batch without records moves the position over control records, which no reader gets.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    pub topic: Arc<str>,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
    pub records: Vec<Record>,
    pub bytes: usize,
    /// When Kafka appended the first record, in milliseconds since 1970.
    pub appended_at_ms: Option<i64>,
    /// The last record; none where the batch has no record, or the log does not say when it was appended.
    pub last: Option<Mark>,
}

/// A record that was seen in a log. A log that has been set back to an older copy and has grown again since
/// has another one there, appended at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub offset: i64,
    /// Milliseconds since 1970.
    pub appended_at_ms: i64,
}
