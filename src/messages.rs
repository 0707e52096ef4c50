//! What the stages say to each other: one small file per hand-over.
//!
//! Every message that carries data is a batch, and is answered when the work is done: awaiting the answer is the
//! back-pressure. An answer of an error means that the batch had no durable effect or one that will be repeated
//! harmlessly; its sender drops what it has in flight for the partition and reads again from the durable position.

mod enriched_batch;
mod publish_enriched;
mod raw_batch;
mod raw_page;
mod trigger_poll;
mod write_batch;

pub use enriched_batch::EnrichedBatch;
pub use publish_enriched::{OpenPartition, OpenedPartition, PublishEnriched};
pub use raw_batch::RawBatch;
pub use raw_page::RawPage;
pub use trigger_poll::TriggerPoll;
pub use write_batch::WriteMerged;

use crate::kafka::KafkaFailure;
use crate::store::StoreError;
use crate::telemetry::labels::Dependency;

/// Why a batch was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BatchError {
    /// A neighbour was rebuilt or the partition was opened anew while the batch was under way.
    #[error("{0}")]
    Interrupted(String),
    /// A dependency is away; the batch can be repeated when it is back.
    #[error("{dependency} is away: {detail}")]
    Unavailable { dependency: Dependency, detail: String },
    /// Another owner of the partition has taken over.
    #[error("fenced: {0}")]
    Fenced(String),
}

impl From<crate::supervision::StageGone> for BatchError {
    fn from(gone: crate::supervision::StageGone) -> Self {
        Self::Interrupted(gone.to_string())
    }
}

/// The database is away, unless it refuses what waiting does not change: that counts as a failure.
impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        if error.may_pass() {
            return Self::Unavailable { dependency: Dependency::Database, detail };
        }
        Self::Interrupted(detail)
    }
}

impl From<KafkaFailure> for BatchError {
    fn from(failure: KafkaFailure) -> Self {
        match failure {
            KafkaFailure::Fenced(detail) => Self::Fenced(detail),
            KafkaFailure::Unavailable(detail) => Self::Unavailable { dependency: Dependency::Kafka, detail },
            other => Self::Interrupted(other.to_string()),
        }
    }
}
