//! Enricher to enriched publisher: one transaction's worth of derived records.

use std::sync::Arc;

use actix::Message;

use super::batch_error::BatchError;
use crate::kafka::transactional::Opening;
use crate::kafka::{DerivedRecord, GroupMetadata, OffsetNote};

/// Derived records and the raw positions that they cover: one Kafka transaction, answered when it is
/// committed.
#[derive(Message)]
#[rtype(result = "Result<(), BatchError>")]
pub struct PublishEnriched {
    pub partition: i32,
    pub opening: u64,
    pub records: Vec<DerivedRecord>,
    /// The raw offset at which this batch begins.
    pub from: i64,
    /// The raw offset from which the partition goes on after this batch.
    pub next_offset: i64,
    /// What stands beside it: the log that it speaks of.
    pub note: OffsetNote,
    pub group: Option<Arc<GroupMetadata>>,
}

/// Asks for a fresh transactional producer of a raw partition: whoever had one before is fenced, and what it
/// left open is ended.
#[derive(Message, Debug, Clone)]
#[rtype(result = "Result<OpenedPartition, BatchError>")]
pub struct OpenPartition(pub Opening);

/// Names the opening; batches of an earlier one are refused.
#[derive(Debug, Clone, Copy)]
pub struct OpenedPartition {
    pub opening: u64,
}
