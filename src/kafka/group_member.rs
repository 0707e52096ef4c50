//! A member of a consumer group: its settings, and how it takes a rebalance.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, TopicPartitionList};

use super::assumption::BrokenAssumption;
use super::client::{Logged, base, overridden};
use super::error::KafkaError;
use super::record::Partition;
use crate::config::Settings;

/// What the group told this member.
pub(super) enum Rebalance {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

/// Takes rebalances without reading anything: `consumer` explains the two steps.
#[derive(Default)]
pub(super) struct Assignment {
    /// The topics whose partitions go with those of the same number that the group gives out.
    pub(super) beside: Vec<Arc<str>>,
    /// The partitions that are read.
    pub(super) opened: Mutex<HashSet<Partition>>,
    /// What the consumer's thread has not taken up yet.
    pub(super) events: Mutex<Vec<Rebalance>>,
}

impl Assignment {
    /// Returns the partitions that a rebalance is about, and those that go with them.
    fn named(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let elements = list.elements();
        let given = elements.iter().map(|element| (Arc::from(element.topic()), element.partition()));
        let numbers = elements.iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition);
        let with = numbers.flat_map(|number| self.beside.iter().map(move |topic| (topic.clone(), number)));
        given.chain(with).collect()
    }
}

fn list_of(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// Stops reading partitions.
pub(super) fn leave(
    consumer: &BaseConsumer<Logged<Assignment>>,
    partitions: &[Partition],
) -> KafkaResult<()> {
    consumer.incremental_unassign(&list_of(partitions))
}

impl ConsumerContext for Logged<Assignment> {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let named = self.named(list);
        let outcome = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.events.lock().push(Rebalance::Assigned(named));
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            if kind != RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
                let broken = BrokenAssumption::UnknownRebalance(RDKafkaErrorCode::from(kind).to_string());
                tracing::error!(%broken, "librdkafka does not do what is taken for granted");
            }
            let mut opened = self.opened.lock();
            let leaving: Vec<_> =
                named.iter().filter(|partition| opened.remove(*partition)).cloned().collect();
            drop(opened);
            self.events.lock().push(Rebalance::Revoked(named));
            leave(consumer, &leaving)
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "rebalance was not taken cleanly");
        }
    }
}

/// After how long without a word a member is taken for dead; Kafka's default is 45 s.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a request of a member may stay without an answer before it is given up with its connection;
/// librdkafka's default of a minute has whoever leaves the group wait for so long behind a connection that
/// was cut without a word. A fetch of 2 MB needs no more on a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How much longer than its last request a member may take to leave its group.
const LEAVE_MARGIN: Duration = Duration::from_secs(10);

/// Returns how long a member with these settings may take to leave its group while the brokers are there: as
/// long as a request of it that is under way, and some.
pub(super) fn leaves_within(config: &ClientConfig) -> Duration {
    let stated = config.get("socket.timeout.ms").and_then(|stated| stated.parse().ok());
    stated.map_or(REQUEST_TIMEOUT, Duration::from_millis) + LEAVE_MARGIN
}

/// Makes a member that joins no group.
pub(super) fn try_config(settings: &Settings, group: &str) -> Result<(), KafkaError> {
    config(settings, group).create::<BaseConsumer>()?;
    Ok(())
}

/// Returns the settings of a group member.
pub(super) fn config(settings: &Settings, group: &str) -> ClientConfig {
    let mut config = base(&settings.kafka);
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        // Positions step over control records only at the end of a partition, and only with this.
        .set("enable.partition.eof", "true")
        .set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string())
        .set("heartbeat.interval.ms", "1500")
        .set("socket.timeout.ms", REQUEST_TIMEOUT.as_millis().to_string())
        // Each partition has a queue of its own (`consumer`), to which this bound applies; librdkafka's
        // defaults would hold 64 MB in each and fetch 50 MB at once. Bytes are those of records in a queue,
        // and compressed, a quarter or a fifth of that, in a fetch; the largest request of a transaction fits
        // the share of a partition.
        .set("queued.max.messages.kbytes", "1024")
        .set("fetch.max.bytes", "2097152")
        .set("max.partition.fetch.bytes", "1048576")
        // With a full queue the next fetch would wait a second by default.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.wait.max.ms", "100");
    if settings.instance.stable {
        // A member with a stable name gets its partitions back at once after a crash, without a rebalance.
        config.set("group.instance.id", &settings.instance.id);
    }
    overridden(config, &settings.kafka)
}
