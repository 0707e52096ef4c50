//! Records as they are handed on: a batch of one partition, in one buffer.

use std::sync::Arc;

use bytes::Bytes;

use super::headers::HeaderList;

/// One record; key and value are slices of the batch's buffer.
#[derive(Debug, Clone)]
pub struct Record {
    pub offset: i64,
    pub key: Option<Bytes>,
    pub value: Bytes,
    pub headers: HeaderList,
}

/// Records of one partition in offset order, covering the positions `[from, to)`. Offsets may have gaps. A batch
/// without records moves the position over control records, which no reader gets.
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

/// A record that was seen in a log. A log that has been set back to an older copy and has grown again since has another
/// one there, appended at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub offset: i64,
    /// Milliseconds since 1970.
    pub appended_at_ms: i64,
}
