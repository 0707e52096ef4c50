//! What a failed Kafka call means for its caller.
//!
//! Every kind of failure has one answer ([`KafkaError::policy`]), and none is retried for ever without a
//! name:
//!
//! | kind | what it is | what follows |
//! |---|---|---|
//! | [`KafkaError::Unavailable`] | brokers away, no leader, no coordinator, a timeout | waited for by name: the stage says `kafka`, readiness too |
//! | [`KafkaError::Fatal`] | librdkafka has given the client up | the client is rebuilt, and what it had in flight is done again |
//! | [`KafkaError::Fenced`] | a newer owner of the id | the partition is opened anew from the durable position; a consumer's stage is rebuilt |
//! | [`KafkaError::TooLarge`] | one record is too large | that record is a dead letter |
//! | [`KafkaError::Mismatch`] | settings or topics that cannot work | the process ends with 78 and a remedy |
//! | [`KafkaError::Other`] | everything else: refused by an authorizer or a policy, invalid, unknown | retried a bounded number of times, then the stage or the poll fails with what Kafka said |

use std::error::Error;
use std::sync::Arc;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaConfRes;

use crate::causes::Cause;
use crate::error_policy::{CommandEnd, Directive, ErrorPolicy};
use crate::faults::{Failure, Injected};

/// What to do about brokers that give no answer that the pipeline can use.
pub const MEND_ADDRESS: &str = "see that the brokers run where kafka.bootstrap_servers says, and that kafka.properties suits \
                                their security";

/// A failed call, classified where it is born. Its text says all that `source`, which is kept for whoever
/// asks, says.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaError {
    /// The broker cannot be reached or is not ready: wait and try again.
    #[error("kafka is away: {detail}")]
    Unavailable { detail: String, source: Option<Cause> },
    /// A newer owner of the same transactional id or group instance exists.
    #[error("fenced by a newer owner: {detail}")]
    Fenced { detail: String, source: Option<Cause> },
    /// The record is larger than the broker or the topic takes.
    #[error("record too large for the topic")]
    TooLarge,
    /// The settings cannot work or a topic is not what this program needs, and waiting will not change it.
    #[error("{detail}")]
    Mismatch { detail: String, source: Option<Cause> },
    /// The client is of no use any more: its sequence was broken, its id is void. Only another one can go on.
    #[error("the kafka client has to be rebuilt: {detail}")]
    Fatal { detail: String, source: Option<Cause> },
    /// Anything else: start again from the durable position, not for ever.
    #[error("{detail}")]
    Other { detail: String, source: Option<Cause> },
}

impl KafkaError {
    /// Says what to do about it:
    ///
    /// | kind | the pipeline | a command ends with | remedy |
    /// |---|---|---|---|
    /// | `Unavailable` | waits for `kafka` | 69 | start the brokers, or let them be reached |
    /// | `Fatal` | rebuilds the client | 1 | - |
    /// | `Fenced` | opens the partition anew | 1 | - |
    /// | `TooLarge` | makes a dead letter of the record | 1 | - |
    /// | `Mismatch` | ends the process with 78 | 78 | the error's own text |
    /// | `Other` | repeats a bounded number of times, then fails | 1 | - |
    pub fn policy(&self) -> ErrorPolicy {
        let (directive, command_end, remedy) = match self {
            Self::Unavailable { .. } => (Directive::Wait, CommandEnd::Unreachable, Some(MEND_ADDRESS)),
            Self::Fatal { .. } => (Directive::RebuildClient, CommandEnd::No, None),
            Self::Fenced { .. } => (Directive::OpenAnew, CommandEnd::No, None),
            Self::TooLarge => (Directive::DeadLetter, CommandEnd::No, None),
            Self::Mismatch { .. } => (Directive::EndProcess, CommandEnd::Settings, None),
            Self::Other { .. } => (Directive::Fail, CommandEnd::No, None),
        };
        ErrorPolicy { directive, command_end, remedy }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), source: None }
    }

    pub(crate) fn fenced(detail: impl Into<String>) -> Self {
        Self::Fenced { detail: detail.into(), source: None }
    }

    pub(crate) fn mismatch(detail: impl Into<String>) -> Self {
        Self::Mismatch { detail: detail.into(), source: None }
    }

    pub(crate) fn fatal(detail: impl Into<String>) -> Self {
        Self::Fatal { detail: detail.into(), source: None }
    }

    pub(crate) fn other(detail: impl Into<String>) -> Self {
        Self::Other { detail: detail.into(), source: None }
    }

    /// Classifies a failure by the code that librdkafka gives it.
    fn of_code(code: Option<RDKafkaErrorCode>, text: String) -> Self {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorLoadInProgress,
            CoordinatorNotAvailable, Fatal, Fenced, FencedInstanceId, InvalidProducerEpoch,
            KafkaStorageError, LeaderNotAvailable, MessageSizeTooLarge, MessageTimedOut, NetworkException,
            NotCoordinator, NotEnoughReplicas, NotEnoughReplicasAfterAppend, NotLeaderForPartition,
            OperationTimedOut, OutOfOrderSequenceNumber, ProducerFenced, RequestTimedOut, Resolve,
            TimedOutQueue, UnknownPartition, UnknownProducerId, UnknownTopic, UnknownTopicOrPartition,
            WaitingForCoordinator,
        };
        match code {
            Some(Fatal | OutOfOrderSequenceNumber | UnknownProducerId) => Self::fatal(text),
            Some(Fenced | ProducerFenced | InvalidProducerEpoch | FencedInstanceId) => Self::fenced(text),
            Some(MessageSizeTooLarge) => Self::TooLarge,
            Some(
                AllBrokersDown
                | BrokerNotAvailable
                | BrokerTransportFailure
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | KafkaStorageError
                | LeaderNotAvailable
                | MessageTimedOut
                | NetworkException
                | NotCoordinator
                | NotEnoughReplicas
                | NotEnoughReplicasAfterAppend
                | NotLeaderForPartition
                | OperationTimedOut
                | RequestTimedOut
                | Resolve
                | TimedOutQueue
                | UnknownTopicOrPartition
                | UnknownPartition
                | UnknownTopic
                | WaitingForCoordinator,
            ) => Self::unavailable(text),
            _ => Self::other(text),
        }
    }

    /// Keeps what caused the error.
    pub(crate) fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        match &mut self {
            Self::Unavailable { source, .. }
            | Self::Fenced { source, .. }
            | Self::Mismatch { source, .. }
            | Self::Fatal { source, .. }
            | Self::Other { source, .. } => *source = Some(Arc::new(cause)),
            Self::TooLarge => {}
        }
        self
    }
}

impl From<ClientError> for KafkaError {
    fn from(error: ClientError) -> Self {
        use RDKafkaErrorCode::{Fenced, FencedInstanceId, InvalidProducerEpoch, ProducerFenced};
        match &error {
            // Not kept as a source: it quotes the value, which may be a secret.
            ClientError::ClientConfig(outcome, detail, name, _) => {
                return Self::mismatch(refused_property(*outcome, detail, name));
            }
            // Without a broker being asked yet, only the machine's limits are no fault of the properties.
            ClientError::ClientCreation(detail) if !detail.starts_with("Failed to create") => {
                return Self::mismatch(format!("kafka.properties cannot work: {detail}")).caused_by(error);
            }
            _ => {}
        }
        let text = error.to_string();
        let code = match &error {
            ClientError::Transaction(inner) => Some(inner.code()),
            ClientError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        if let ClientError::Transaction(inner) = &error
            && inner.is_fatal()
            && !matches!(inner.code(), Fenced | ProducerFenced | InvalidProducerEpoch | FencedInstanceId)
        {
            return Self::fatal(text).caused_by(error);
        }
        Self::of_code(code, text).caused_by(error)
    }
}

/// Says which property librdkafka refuses, and why, without the value: it may be a secret, and librdkafka
/// quotes it.
fn refused_property(outcome: RDKafkaConfRes, detail: &str, name: &str) -> String {
    let after = |mark: &str| detail.find(mark).map(|at| detail[at..].trim_end());
    let reason = if outcome == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
        "which is no property of librdkafka; mend its name".to_owned()
    } else if let Some(range) = after("outside allowed range") {
        format!("with a value {range}")
    } else if let Some(reason) = after("not supported in this build") {
        format!("which is {reason}")
    } else {
        "with a value that librdkafka does not take".to_owned()
    };
    format!("kafka.properties sets {name}, {reason}")
}

impl From<Injected> for KafkaError {
    /// Makes of an injected failure what the real one is made of: the code that librdkafka gives it.
    fn from(fault: Injected) -> Self {
        let code = match fault.failure {
            Failure::Refused => RDKafkaErrorCode::BrokerTransportFailure,
            Failure::Timeout => RDKafkaErrorCode::OperationTimedOut,
            Failure::Cut => RDKafkaErrorCode::NetworkException,
            Failure::DiskFull => RDKafkaErrorCode::KafkaStorageError,
            Failure::Fenced => RDKafkaErrorCode::ProducerFenced,
            Failure::NotAuthorized => RDKafkaErrorCode::TopicAuthorizationFailed,
            Failure::NoLeader => RDKafkaErrorCode::LeaderNotAvailable,
            Failure::NoCoordinator => RDKafkaErrorCode::CoordinatorNotAvailable,
            Failure::TooFewReplicas => RDKafkaErrorCode::NotEnoughReplicas,
            Failure::TooLarge => RDKafkaErrorCode::MessageSizeTooLarge,
            Failure::ClientFatal => RDKafkaErrorCode::Fatal,
            // Of no call to a broker.
            Failure::Throttled
            | Failure::ServerError
            | Failure::Rejected
            | Failure::NotJson
            | Failure::SerializationFailure
            | Failure::Deadlock
            | Failure::LockTimeout
            | Failure::TooManyConnections
            | Failure::AdminShutdown
            | Failure::ReadOnly
            | Failure::DataRefused => RDKafkaErrorCode::Unknown,
        };
        Self::of_code(Some(code), fault.to_string()).caused_by(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Calls, Point};

    fn refused(name: &str, value: &str) -> String {
        let mut config = rdkafka::ClientConfig::new();
        config.set(name, value);
        match config.create_native_config().err().map(KafkaError::from) {
            Some(KafkaError::Mismatch { detail, source: None }) => detail,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        for (name, value, expected) in [
            ("sasl.passwort", "hunter2", "no property of librdkafka"),
            ("security.protocol", "hunter2", "does not take"),
            ("enable.ssl.certificate.verification", "hunter2", "not supported in this build"),
            ("sasl.mechanism", "hunter2,hunter3", "does not take"),
            ("retries", "hunter2", "does not take"),
            ("retries", "-7777", "outside allowed range 0..2147483647"),
        ] {
            let text = refused(name, value);
            assert!(text.contains("kafka.properties") && text.contains(name), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("hunter") && !text.contains("7777"), "{text}");
        }
    }

    #[test]
    fn an_injected_failure_is_answered_like_the_real_one() {
        for failure in Calls::Kafka.failures() {
            let expected = match failure {
                Failure::Fenced => Directive::OpenAnew,
                Failure::TooLarge => Directive::DeadLetter,
                Failure::ClientFatal => Directive::RebuildClient,
                Failure::NotAuthorized => Directive::Fail,
                _ => Directive::Wait,
            };
            let point = Point::named("enriched_publisher:commit:before");
            let error = KafkaError::from(Injected { point, failure });
            assert_eq!(error.policy().directive, expected, "{failure}");
        }
    }

    #[test]
    fn what_librdkafka_said_is_kept_as_the_source() {
        let error = KafkaError::from(ClientError::MessageProduction(RDKafkaErrorCode::InvalidRecord));
        let source = error.source().and_then(|source| source.downcast_ref::<Cause>()).expect("a cause");
        assert!(source.is::<ClientError>() && error.to_string().contains(&source.to_string()), "{error}");
    }

    #[test]
    fn every_row_of_the_table_is_followed() {
        for (error, directive, command_end, has_remedy) in [
            (KafkaError::unavailable(""), Directive::Wait, CommandEnd::Unreachable, true),
            (KafkaError::fatal(""), Directive::RebuildClient, CommandEnd::No, false),
            (KafkaError::fenced(""), Directive::OpenAnew, CommandEnd::No, false),
            (KafkaError::TooLarge, Directive::DeadLetter, CommandEnd::No, false),
            (KafkaError::mismatch(""), Directive::EndProcess, CommandEnd::Settings, false),
            (KafkaError::other(""), Directive::Fail, CommandEnd::No, false),
        ] {
            let policy = error.policy();
            let found = (policy.directive, policy.command_end, policy.remedy.is_some());
            assert_eq!(found, (directive, command_end, has_remedy), "{error:?}");
        }
    }

    #[test]
    fn every_kind_of_failure_has_its_answer() {
        use RDKafkaErrorCode as Code;
        let kind = |code| match KafkaError::from(ClientError::MessageProduction(code)) {
            KafkaError::Unavailable { .. } => "waited for",
            KafkaError::Fatal { .. } => "client rebuilt",
            KafkaError::Fenced { .. } => "opened anew",
            KafkaError::TooLarge => "dead letter",
            KafkaError::Mismatch { .. } => "process ends",
            KafkaError::Other { .. } => "bounded",
        };
        for (answer, codes) in [
            (
                "waited for",
                &[
                    Code::AllBrokersDown,
                    Code::BrokerTransportFailure,
                    Code::MessageTimedOut,
                    Code::OperationTimedOut,
                    Code::RequestTimedOut,
                    Code::NotEnoughReplicas,
                    Code::CoordinatorNotAvailable,
                    Code::UnknownTopicOrPartition,
                    Code::KafkaStorageError,
                ][..],
            ),
            ("client rebuilt", &[Code::Fatal, Code::OutOfOrderSequenceNumber, Code::UnknownProducerId]),
            ("opened anew", &[Code::ProducerFenced, Code::FencedInstanceId, Code::InvalidProducerEpoch]),
            ("dead letter", &[Code::MessageSizeTooLarge]),
            (
                "bounded",
                &[
                    Code::TopicAuthorizationFailed,
                    Code::PolicyViolation,
                    Code::InvalidRecord,
                    Code::ClusterAuthorizationFailed,
                    Code::InvalidTimestamp,
                ],
            ),
        ] {
            for code in codes {
                assert_eq!(kind(*code), answer, "{code:?}");
            }
        }
    }

    #[test]
    fn a_client_that_cannot_be_made_of_its_properties_is_a_fault_of_the_settings() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanism", "PLAIN");
        let made: Result<rdkafka::consumer::BaseConsumer, _> = config.create();
        let failure = made.err().map(KafkaError::from);
        let Some(KafkaError::Mismatch { detail: text, .. }) = failure else { panic!("{failure:?}") };
        assert!(text.contains("sasl.username and sasl.password must be set"), "{text}");
    }
}
