//! What a failed Kafka call means for its caller.
//!
//! Every kind of failure has one answer ([`KafkaError::policy`]), and none is retried for ever without a name:
//!
//! | kind | what it is | what follows |
//! |---|---|---|
//! | [`KafkaError::Unavailable`] | brokers away, no leader, no coordinator, a timeout | waited for by name: the stage says `kafka`, readiness too |
//! | [`KafkaError::Fatal`] | librdkafka has given the client up | the client is rebuilt, and what it had in flight is done again |
//! | [`KafkaError::Fenced`] | a newer owner of the id | the partition is opened anew from the durable position; a consumer's stage is rebuilt |
//! | [`KafkaError::TooLarge`] | one record is too large | that record is a dead letter |
//! | [`KafkaError::Mismatch`] | settings or topics that cannot work | the process ends with 78 and a remedy |
//! | [`KafkaError::Other`] | everything else: refused by an authorizer or a policy, invalid, unknown | retried a bounded number of times, then the stage or the poll fails with what Kafka said |

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaConfRes;

use crate::error_policy::{CommandEnd, Directive, ErrorPolicy};
use crate::faults::Injected;

/// What to do about brokers that give no answer that the pipeline can use.
pub const MEND_ADDRESS: &str = "see that the brokers run where kafka.bootstrap_servers says, and that kafka.properties suits \
                                their security";

/// A failed call, classified where it is born.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaError {
    /// The broker cannot be reached or is not ready: wait and try again.
    #[error("kafka is away: {0}")]
    Unavailable(String),
    /// A newer owner of the same transactional id or group instance exists.
    #[error("fenced by a newer owner: {0}")]
    Fenced(String),
    /// The record is larger than the broker or the topic takes.
    #[error("record too large for the topic")]
    TooLarge,
    /// The settings cannot work or a topic is not what this program needs, and waiting will not change it.
    #[error("{0}")]
    Mismatch(String),
    /// The client is of no use any more: its sequence was broken, its id is void. Only another one can go on.
    #[error("the kafka client has to be rebuilt: {0}")]
    Fatal(String),
    /// Anything else: start again from the durable position, not for ever.
    #[error("{0}")]
    Other(String),
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
            Self::Unavailable(_) => (Directive::Wait, CommandEnd::Unreachable, Some(MEND_ADDRESS)),
            Self::Fatal(_) => (Directive::RebuildClient, CommandEnd::No, None),
            Self::Fenced(_) => (Directive::OpenAnew, CommandEnd::No, None),
            Self::TooLarge => (Directive::DeadLetter, CommandEnd::No, None),
            Self::Mismatch(_) => (Directive::EndProcess, CommandEnd::Settings, None),
            Self::Other(_) => (Directive::Fail, CommandEnd::No, None),
        };
        ErrorPolicy { directive, command_end, remedy }
    }
}

impl From<ClientError> for KafkaError {
    fn from(error: ClientError) -> Self {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorLoadInProgress,
            CoordinatorNotAvailable, Fatal, Fenced, FencedInstanceId, InvalidProducerEpoch,
            KafkaStorageError, LeaderNotAvailable, MessageSizeTooLarge, MessageTimedOut, NetworkException,
            NotCoordinator, NotEnoughReplicas, NotEnoughReplicasAfterAppend, NotLeaderForPartition,
            OperationTimedOut, OutOfOrderSequenceNumber, ProducerFenced, RequestTimedOut, Resolve,
            TimedOutQueue, UnknownPartition, UnknownProducerId, UnknownTopic, UnknownTopicOrPartition,
            WaitingForCoordinator,
        };
        match &error {
            ClientError::ClientConfig(outcome, detail, name, _) => {
                return Self::Mismatch(refused_property(*outcome, detail, name));
            }
            // Without a broker being asked yet, only the machine's limits are no fault of the properties.
            ClientError::ClientCreation(detail) if !detail.starts_with("Failed to create") => {
                return Self::Mismatch(format!("kafka.properties cannot work: {detail}"));
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
            return Self::Fatal(text);
        }
        match code {
            Some(Fatal | OutOfOrderSequenceNumber | UnknownProducerId) => Self::Fatal(text),
            Some(Fenced | ProducerFenced | InvalidProducerEpoch | FencedInstanceId) => Self::Fenced(text),
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
            ) => Self::Unavailable(text),
            _ => Self::Other(text),
        }
    }
}

/// Says which property librdkafka refuses, and why, without the value: it may be a secret, and librdkafka quotes it.
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
    fn from(fault: Injected) -> Self {
        Self::Unavailable(fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        let mut config = rdkafka::ClientConfig::new();
        config.set(name, value);
        match config.create_native_config().err().map(KafkaError::from) {
            Some(KafkaError::Mismatch(text)) => text,
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
    fn every_row_of_the_table_is_followed() {
        let text = String::new;
        for (error, directive, command_end, has_remedy) in [
            (KafkaError::Unavailable(text()), Directive::Wait, CommandEnd::Unreachable, true),
            (KafkaError::Fatal(text()), Directive::RebuildClient, CommandEnd::No, false),
            (KafkaError::Fenced(text()), Directive::OpenAnew, CommandEnd::No, false),
            (KafkaError::TooLarge, Directive::DeadLetter, CommandEnd::No, false),
            (KafkaError::Mismatch(text()), Directive::EndProcess, CommandEnd::Settings, false),
            (KafkaError::Other(text()), Directive::Fail, CommandEnd::No, false),
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
            KafkaError::Unavailable(_) => "waited for",
            KafkaError::Fatal(_) => "client rebuilt",
            KafkaError::Fenced(_) => "opened anew",
            KafkaError::TooLarge => "dead letter",
            KafkaError::Mismatch(_) => "process ends",
            KafkaError::Other(_) => "bounded",
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
        let Some(KafkaError::Mismatch(text)) = failure else { panic!("{failure:?}") };
        assert!(text.contains("sasl.username and sasl.password must be set"), "{text}");
    }
}
