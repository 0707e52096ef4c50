//! Raw consumer to enricher: records of one raw partition, in order.

use std::sync::Arc;

use actix::Message;

use super::batch_error::BatchError;
use crate::kafka::{GroupMetadata, OffsetNote, RecordBatch};

/// Records of one partition; answered when what came of them is committed together with their offsets.
#[derive(Message)]
#[rtype(result = "Result<(), BatchError>")]
pub struct RawBatch {
    pub read: RecordBatch,
    /// The opening of the partition under which the records were read.
    pub opening: u64,
    /// The log that the offset behind the records speaks of.
    pub note: OffsetNote,
    /// The group metadata of the moment of reading: taken later, a rebalance in between would double the
    /// rows.
    pub group: Option<Arc<GroupMetadata>>,
}
