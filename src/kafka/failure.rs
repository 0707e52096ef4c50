//! What a failed Kafka call means for its caller.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A failed call, classified where it is born.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaFailure {
    /// The broker cannot be reached or is not ready: wait and try again.
    #[error("kafka is away: {0}")]
    Unavailable(String),
    /// A newer owner of the same transactional id or group instance exists.
    #[error("fenced by a newer owner: {0}")]
    Fenced(String),
    /// The record is larger than the broker or the topic takes.
    #[error("record too large for the topic")]
    TooLarge,
    /// A topic is not what this program needs, and waiting will not change it.
    #[error("{0}")]
    Mismatch(String),
    /// Anything else: start again from the durable position.
    #[error("{0}")]
    Other(String),
}

impl From<KafkaError> for KafkaFailure {
    fn from(error: KafkaError) -> Self {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorLoadInProgress,
            CoordinatorNotAvailable, Fenced, FencedInstanceId, InvalidProducerEpoch, LeaderNotAvailable,
            MessageSizeTooLarge, MessageTimedOut, NetworkException, NotCoordinator, NotEnoughReplicas,
            NotEnoughReplicasAfterAppend, NotLeaderForPartition, OperationTimedOut, ProducerFenced,
            RequestTimedOut, Resolve, TimedOutQueue, UnknownPartition, UnknownTopic, UnknownTopicOrPartition,
            WaitingForCoordinator,
        };
        let text = error.to_string();
        let code = match &error {
            KafkaError::Transaction(inner) => Some(inner.code()),
            other => other.rdkafka_error_code(),
        };
        match code {
            Some(Fenced | ProducerFenced | InvalidProducerEpoch | FencedInstanceId) => Self::Fenced(text),
            Some(MessageSizeTooLarge) => Self::TooLarge,
            Some(
                AllBrokersDown
                | BrokerNotAvailable
                | BrokerTransportFailure
                | CoordinatorLoadInProgress
                | CoordinatorNotAvailable
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

#[cfg(feature = "fault-points")]
impl From<crate::faults::Injected> for KafkaFailure {
    fn from(fault: crate::faults::Injected) -> Self {
        Self::Other(fault.to_string())
    }
}
