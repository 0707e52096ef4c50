//! Why a run of a poll cannot go on, and what each failure of a neighbour or a dependency means for it.

use crate::error_policy::Directive;
use crate::faults::Injected;
use crate::kafka::KafkaError;
use crate::messages::BatchError;
use crate::socrata::SocrataError;
use crate::store::StoreError;
use crate::store::polls::{LeaseError, PollError};
use crate::telemetry::labels::StageName;

/// Why a run cannot go on.
pub(in crate::actors) enum RunError {
    /// The poll fails with this.
    Failed(PollError),
    LeaseLost,
    /// The backfill waits in the queue again, behind a poll from the durable cursor on.
    GaveWay,
    Stopped,
    Interrupted(String),
}

impl From<LeaseError> for RunError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::LeaseLost,
            LeaseError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        if error.may_pass() {
            return Self::Interrupted(error.to_string());
        }
        failed("database_refused", error.to_string())
    }
}

impl From<SocrataError> for RunError {
    fn from(error: SocrataError) -> Self {
        Self::Failed(PollError {
            code: error.code().to_owned(),
            stage: StageName::Poller.to_string(),
            detail: error.to_string(),
            http_status: error.http_status(),
            retryable: error.is_transient(),
        })
    }
}

impl From<KafkaError> for RunError {
    fn from(failure: KafkaError) -> Self {
        match failure.policy().directive {
            Directive::Wait | Directive::RebuildClient => Self::Interrupted(failure.to_string()),
            Directive::OpenAnew | Directive::DeadLetter | Directive::Fail | Directive::EndProcess => {
                failed("kafka_refused", failure.to_string())
            }
        }
    }
}

impl From<Injected> for RunError {
    /// The points of a run itself stand around what the publisher is asked for, which fails as Kafka does.
    fn from(fault: Injected) -> Self {
        KafkaError::from(fault).into()
    }
}

impl From<BatchError> for RunError {
    fn from(error: BatchError) -> Self {
        Self::Interrupted(error.to_string())
    }
}

pub(in crate::actors) fn failed(code: &str, detail: String) -> RunError {
    RunError::Failed(poll_error(code, detail))
}

/// An end that asking again does not mend.
pub(in crate::actors) fn poll_error(code: &str, detail: String) -> PollError {
    let stage = StageName::Poller.to_string();
    PollError { code: code.to_owned(), stage, detail, http_status: None, retryable: false }
}

/// The code under which a cancellation ends the run; never stored.
pub(in crate::actors) const CANCELLED: &str = "cancelled";
