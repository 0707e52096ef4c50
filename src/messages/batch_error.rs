//! Why a batch was not done, and what the failures of a neighbour or a dependency mean for one.

use std::sync::Arc;

use crate::causes::Cause;
use crate::kafka::KafkaError;
use crate::store::StoreError;
use crate::supervision::StageGone;
use crate::telemetry::labels::Dependency;

/// Why a batch was not done. Its text says all that `source`, which is kept for whoever asks, says.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BatchError {
    /// A neighbour was rebuilt or the partition was opened anew while the batch was under way.
    #[error("{detail}")]
    Interrupted { detail: String, source: Option<Cause> },
    /// A dependency is away; the batch can be repeated when it is back.
    #[error("{dependency} is away: {detail}")]
    Unavailable { dependency: Dependency, detail: String, source: Option<Cause> },
    /// Another owner of the partition has taken over.
    #[error("fenced: {detail}")]
    Fenced { detail: String, source: Option<Cause> },
}

impl BatchError {
    pub(crate) fn interrupted(detail: impl Into<String>) -> Self {
        Self::Interrupted { detail: detail.into(), source: None }
    }

    pub(crate) fn unavailable(dependency: Dependency, detail: impl Into<String>) -> Self {
        Self::Unavailable { dependency, detail: detail.into(), source: None }
    }

    pub(crate) fn fenced(detail: impl Into<String>) -> Self {
        Self::Fenced { detail: detail.into(), source: None }
    }

    /// Keeps what caused the error.
    pub(crate) fn caused_by(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        let (Self::Interrupted { source, .. }
        | Self::Unavailable { source, .. }
        | Self::Fenced { source, .. }) = &mut self;
        *source = Some(Arc::new(cause));
        self
    }
}

impl From<StageGone> for BatchError {
    fn from(gone: StageGone) -> Self {
        Self::interrupted(gone.to_string()).caused_by(gone)
    }
}

/// The database is away, unless it refuses what waiting does not change: that counts as a failure.
impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        let meaning = if error.may_pass() {
            Self::unavailable(Dependency::Database, detail)
        } else {
            Self::interrupted(detail)
        };
        meaning.caused_by(error)
    }
}

impl From<KafkaError> for BatchError {
    fn from(error: KafkaError) -> Self {
        let meaning = match &error {
            KafkaError::Fenced { detail, .. } => Self::fenced(detail),
            KafkaError::Unavailable { detail, .. } => Self::unavailable(Dependency::Kafka, detail),
            KafkaError::Fatal { .. }
            | KafkaError::TooLarge
            | KafkaError::Mismatch { .. }
            | KafkaError::Other { .. } => Self::interrupted(error.to_string()),
        };
        meaning.caused_by(error)
    }
}
