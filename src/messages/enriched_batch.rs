//! Enriched consumer to aggregator: records of one partition of a derived topic, in order.

use actix::Message;

use super::batch_error::BatchError;
use crate::kafka::RecordBatch;

/// Records of one partition; answered when they and the position after them are committed in PostgreSQL.
#[derive(Message)]
#[rtype(result = "Result<(), BatchError>")]
pub struct EnrichedBatch {
    pub read: RecordBatch,
    /// The epoch of the position under which the records were read.
    pub epoch: i64,
}
