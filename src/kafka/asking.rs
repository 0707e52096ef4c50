//! How the cluster is asked: on threads where a call may block, each question for a few seconds, and again
//! while there is patience left.
//!
//! A question that was under way when its broker stood still, or when its connection was cut where neither
//! side was told, may never be answered. So none is waited for longer than [`ANSWER_WITHIN`]: librdkafka then
//! gives the connection up, and the question is asked again on another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::consumer::BaseConsumer;

use super::client::{Logged, base, milliseconds, overridden};
use super::error::KafkaError;
use crate::config::KafkaSettings;
use crate::retry::KAFKA_LOOK;

/// How long one question waits for its answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Returns the settings of the clients that ask.
pub(super) fn asking_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = base(settings);
    config
        // Promise 11 asks for ends that no open transaction holds back.
        .set("isolation.level", "read_uncommitted")
        .set("socket.timeout.ms", milliseconds(ANSWER_WITHIN).to_string());
    overridden(config, settings)
}

#[derive(Clone)]
pub(super) struct Clients {
    pub(super) client: Arc<AdminClient<Logged>>,
    /// Asks for log ends: a client of its own, because only a consumer can be told to read uncommitted.
    pub(super) reader: Arc<BaseConsumer<Logged>>,
}

impl Clients {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            client: Arc::new(config.create_with_context(Logged::default())?),
            reader: Arc::new(config.create_with_context(Logged::default())?),
        })
    }
}

/// What a call works with, on a thread where it may block.
pub(super) struct Asking {
    pub(super) clients: Clients,
    pub(super) config: ClientConfig,
    /// When all that the call asks has to be answered.
    pub(super) until: Instant,
}

impl Asking {
    /// Asks, each time for as long as it is told, until there is an answer that is not for want of one, or no
    /// patience left. The coordinator of a group is not ready either in the first moments of a broker, or of
    /// a broker's first group.
    pub(super) fn ask<T>(
        &self,
        mut question: impl FnMut(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        loop {
            match question(self.left().min(ANSWER_WITHIN)) {
                Err(KafkaError::Unavailable { .. }) if self.left() > KAFKA_LOOK => {
                    std::thread::sleep(KAFKA_LOOK);
                }
                answer => return answer,
            }
        }
    }

    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(super) fn group_client(&self, group: &str) -> Result<BaseConsumer<Logged>, KafkaError> {
        let mut config = self.config.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // Only with this does Kafka hold back the offsets of an open transaction.
            .set("isolation.level", "read_committed");
        Ok(config.create_with_context(Logged::default())?)
    }
}
