//! The settings that every Kafka client of this program shares, each with its reason.

use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::{ClientConfig, ClientContext};

use super::trouble::Trouble;
use crate::config::KafkaSettings;

/// Returns the settings that all clients share; what the user put into `kafka.properties` overrides them.
pub fn base(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("client.id", "nyc311")
        // Only one broker has to come back for work to go on: look for it often.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        // The topics are this program's own and are created with their partitions; a typo must not make one.
        .set("allow.auto.create.topics", "false")
        // A broker that ends a connection, as one with TLS does to a client without, is told of at this one.
        .set_log_level(RDKafkaLogLevel::Info);
    config
}

/// Puts the user's properties over ours.
pub fn overridden(mut config: ClientConfig, settings: &KafkaSettings) -> ClientConfig {
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    config
}

/// Writes a duration as librdkafka takes it.
pub(super) fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The context of every client: sends librdkafka's log lines and errors to tracing. `T` is what a client
/// keeps beside that, for whoever takes its rebalances or its deliveries.
#[derive(Debug)]
pub struct Logged<T = ()> {
    client: &'static str,
    kept: T,
    /// What its connections failed by, for whoever asks why there is no answer.
    pub(super) trouble: Trouble,
}

impl<T> Logged<T> {
    /// Makes the context of a client, which the log calls by this name.
    pub fn of(client: &'static str, kept: T) -> Self {
        Self { client, kept, trouble: Trouble::default() }
    }

    fn warn(&self, why: &str) {
        tracing::warn!(why, "the {} has no secure connection", self.client);
    }
}

/// The context of a client that only asks.
impl Default for Logged {
    fn default() -> Self {
        Self::of("kafka client", ())
    }
}

impl<T> std::ops::Deref for Logged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.kept
    }
}

impl<T: Send + Sync + 'static> ClientContext for Logged<T> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
        if let Some(why) = self.trouble.read(facility, message) {
            self.warn(&why);
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        match self.trouble.hear(&error, reason) {
            Some(why) => self.warn(&why),
            // A broker that is away is not an error of ours; the stages say what they wait for.
            None => tracing::debug!(%error, reason, "{} error", self.client),
        }
    }
}

impl ConsumerContext for Logged {}

/// Maps a log line of librdkafka to tracing: connection trouble shows as readiness, so its lines are only for
/// debugging. What is fatal to a client is not to the program: it builds another one, and says so itself
/// where it gives up.
fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, "{message}");
        }
        _ => tracing::debug!(facility, "{message}"),
    }
}
