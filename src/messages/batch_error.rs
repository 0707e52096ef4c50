//! Why a batch was not done, and what the failures of a neighbour or a dependency mean for one.

use crate::kafka::KafkaError;
use crate::store::StoreError;
use crate::supervision::StageGone;
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

impl From<StageGone> for BatchError {
    fn from(gone: StageGone) -> Self {
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

impl From<KafkaError> for BatchError {
    fn from(failure: KafkaError) -> Self {
        match failure {
            KafkaError::Fenced(detail) => Self::Fenced(detail),
            KafkaError::Unavailable(detail) => Self::Unavailable { dependency: Dependency::Kafka, detail },
            KafkaError::Fatal(_) | KafkaError::TooLarge | KafkaError::Mismatch(_) | KafkaError::Other(_) => {
                Self::Interrupted(failure.to_string())
            }
        }
    }
}
