//! Enriched consumer: reads `nyc311.enriched` and `nyc311.dead_letter` and hands the records to the
//! aggregator.
//!
//! The position in PostgreSQL beats whatever the group has committed. Opening a partition claims its position
//! row with a new epoch, so that a writer of an older epoch can do no harm, and every batch carries the epoch
//! under which it was read.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::aggregator::Aggregator;
use super::cluster::Cluster;
use super::environment::Environment;
use super::kafka_loss::{Found, another_log};
use super::partition_reader::{Destination, OpenPosition, PartitionReader, batches_per_partition};
use crate::config::Settings;
use crate::kafka::consumer::{InFlightLimit, ReadBatch};
use crate::kafka::groups::writer_group;
use crate::kafka::{KafkaError, Partition};
use crate::messages::{BatchError, EnrichedBatch};
use crate::store::{Claim, LostPlace};
use crate::supervision::StageRef;
use crate::telemetry::labels::{Dependency, StageName};

/// The enriched consumer is a partition reader in front of the aggregator.
pub type EnrichedConsumer = PartitionReader<ToAggregator>;

/// Hands the batches of all partitions to the one aggregator.
pub struct ToAggregator {
    pub environment: Arc<Environment>,
    pub aggregator: StageRef<Aggregator>,
}

impl Destination for ToAggregator {
    /// The epoch of the position.
    type Token = i64;

    const STAGE: StageName = StageName::EnrichedConsumer;
    const PATH: &'static [StageName] =
        &[StageName::EnrichedConsumer, StageName::Aggregator, StageName::Writer];
    const NEEDS: Dependency = Dependency::Database;

    fn group(settings: &Settings) -> String {
        writer_group(&settings.kafka)
    }

    fn topics(settings: &Settings) -> (Arc<str>, Vec<Arc<str>>) {
        let [enriched, dead_letter] = [&settings.kafka.enriched_topic, &settings.kafka.dead_letter_topic]
            .map(|topic| Arc::from(&**topic));
        (enriched, vec![dead_letter])
    }

    fn in_flight_limit(settings: &Settings) -> InFlightLimit {
        // One transaction that is written, and most of the next one that fills meanwhile.
        InFlightLimit {
            batch_rows: 5_000,
            batch_bytes: 8 << 20,
            batches_per_partition: batches_per_partition(settings),
            bytes: 24 << 20,
            linger: Duration::from_millis(10),
        }
    }

    fn open(
        self: Rc<Self>,
        cluster: Cluster,
        (topic, partition): Partition,
    ) -> LocalBoxFuture<'static, Result<(i64, i64), BatchError>> {
        async move {
            self.aggregator.up().await;
            let environment = &self.environment;
            let store = &environment.store;
            let owner = &environment.settings.instance.id;
            let topic_id = cluster.topic_id(&topic);
            let claim = store.claim_position(&cluster.id, &topic, topic_id, partition, owner, 0);
            let (claimed, last) = match claim.await? {
                Claim::Taken { position, last } => (position, last),
                Claim::OtherLog => {
                    environment.doubt_logs();
                    return Err(another_log(&topic));
                }
            };
            // After the claim: ends of a log that were asked before it lie behind whatever others have stored
            // meanwhile.
            let ends = environment.admin.log_ends(&topic, [partition]).await?;
            let Some(ends) = ends.first().copied() else {
                return Err(KafkaError::unavailable("no answer with offsets").into());
            };
            let (epoch, next_offset) = (claimed.epoch, claimed.next_offset);
            let found = Found { topic: &topic, partition, next_offset, ends };
            let Some(detail) = Environment::missing_in(&environment.admin, found, last).await? else {
                return Ok((next_offset, epoch));
            };
            let place = LostPlace::Position { epoch, next_offset, start_offset: ends.low };
            let noted = environment.note_loss(&cluster.id, topic_id, found, detail, place).await?;
            match noted {
                Some(moved) => Ok((moved.next_offset, moved.epoch)),
                None => Err(BatchError::fenced("the position was taken over meanwhile")),
            }
        }
        .boxed_local()
    }

    fn hand_on(&self, batch: ReadBatch, epoch: i64) -> LocalBoxFuture<'static, Result<(), BatchError>> {
        self.aggregator.ask(EnrichedBatch { read: batch.read, epoch }).map(|answer| answer?).boxed_local()
    }

    fn find_stale(
        self: Rc<Self>,
        cluster: Cluster,
        open: Vec<OpenPosition<i64>>,
    ) -> LocalBoxFuture<'static, Vec<Partition>> {
        async move {
            let kafka = &self.environment.settings.kafka;
            let topics = [kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()];
            // Without an answer there is nothing to conclude; the next look follows soon.
            let Ok(positions) = self.environment.store.positions(&cluster.id, &topics).await else {
                return Vec::new();
            };
            // Within an epoch a position only grows: one that went back, or is gone, is of a database that
            // was restored.
            let is_ours = |open: &OpenPosition<i64>| {
                let (topic, partition) = &open.partition;
                positions
                    .iter()
                    .find(|row| *row.topic == **topic && row.partition == *partition)
                    .is_some_and(|row| row.epoch == open.token && row.next_offset >= open.next_offset)
            };
            open.into_iter().filter(|open| !is_ours(open)).map(|open| open.partition).collect()
        }
        .boxed_local()
    }

    fn commits_offsets(_: &Settings) -> bool {
        // Only for the eyes of Kafka's own tools: the position in PostgreSQL is the one that counts.
        true
    }
}
