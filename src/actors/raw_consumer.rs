//! Raw consumer: reads `nyc311.raw` and hands the records of each partition to the enricher of its borough.
//!
//! Opening a partition asks the enriched publisher for a fresh transactional producer first: that fences the previous
//! owner and ends what it left open, and only then does Kafka tell the committed offset.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    enriched_publisher::EnrichedPublisher,
    enricher::Enricher,
    environment::{Cluster, Environment},
    partition_reader::{Destination, PartitionReader},
};
use crate::{
    config::Settings,
    kafka::{
        KafkaFailure,
        admin::LogEnds,
        consumer::{Partition, ReadBatch, Window},
    },
    messages::{BatchError, OpenPartition, RawBatch},
    supervision::StageRef,
    telemetry::metrics::{dependency, stage},
};

/// The raw consumer is a partition reader in front of the enrichers.
pub type RawConsumer = PartitionReader<ToEnrichers>;

/// Hands raw batches to the enricher of the partition's borough.
pub struct ToEnrichers {
    pub environment: Arc<Environment>,
    pub publisher: StageRef<EnrichedPublisher>,
    /// In the order of the boroughs.
    pub enrichers: Vec<StageRef<Enricher>>,
}

/// Returns the consumer group of the enrichers.
pub fn enricher_group(settings: &Settings) -> String {
    format!("{}-enricher", settings.kafka.group_prefix)
}

/// How long the committed offset may be withheld by a transaction of somebody else.
const COMMITTED_PATIENCE: Duration = Duration::from_secs(10);

impl ToEnrichers {
    fn enricher(&self, partition: i32) -> Option<&StageRef<Enricher>> {
        self.enrichers.get(self.environment.partition_map.owner(partition).index())
    }

    async fn start_at(&self, partition: i32) -> Result<i64, BatchError> {
        let environment = &self.environment;
        let settings = &environment.settings;
        let topic = &settings.kafka.raw_topic;
        let group = enricher_group(settings);
        let committed = environment.admin.committed(&group, topic, &[partition], COMMITTED_PATIENCE).await?;
        let ends = environment.admin.log_ends(topic, [partition]).await?;
        let (Some(committed), Some(ends)) = (committed.first().copied(), ends.first().copied()) else {
            return Err(KafkaFailure::Unavailable("no answer with offsets".to_owned()).into());
        };
        match committed {
            None => Ok(ends.low),
            Some(offset) if (ends.low..=ends.high).contains(&offset) => Ok(offset),
            Some(offset) => {
                note_loss(environment, topic, partition, offset, ends).await?;
                Ok(ends.low)
            }
        }
    }
}

/// Records that Kafka no longer has what it acknowledged: the source is read again from what PostgreSQL holds.
pub async fn note_loss(
    environment: &Environment,
    topic: &str,
    partition: i32,
    next_offset: i64,
    ends: LogEnds,
) -> Result<(), BatchError> {
    let detail = format!(
        "{topic}/{partition}: position {next_offset} lies outside the log, which holds {} to {}",
        ends.low, ends.high
    );
    tracing::error!(topic, partition, next_offset, low = ends.low, high = ends.high, "kafka lost records");
    let source = environment.settings.source.dataset();
    environment
        .store
        .note_kafka_loss(source, &detail)
        .await
        .map_err(|error| BatchError::Unavailable { dependency: "database", detail: error.to_string() })
}

impl Destination for ToEnrichers {
    type Token = u64;

    const STAGE: &'static str = stage::RAW_CONSUMER;
    const PATH: &'static [&'static str] = &[stage::RAW_CONSUMER, stage::ENRICHER, stage::ENRICHED_PUBLISHER];
    const NEEDS: &'static str = dependency::KAFKA;

    fn group(settings: &Settings) -> String {
        enricher_group(settings)
    }

    fn topics(settings: &Settings) -> Vec<Arc<str>> {
        vec![Arc::from(settings.kafka.raw_topic.as_str())]
    }

    fn window(_: &Settings) -> Window {
        // A transaction of 500 records takes about 15 ms, most of it fixed; 1,000 rows of 1.3 KB fill one well.
        Window {
            batch_rows: 1_000,
            batch_bytes: 2 << 20,
            batches_per_partition: 3,
            // Each is held three times: as read, as derived, and in the producer's queue.
            bytes: 8 << 20,
            linger: Duration::from_millis(5),
        }
    }

    fn open(
        self: Rc<Self>,
        _: Cluster,
        (_, partition): Partition,
    ) -> LocalBoxFuture<'static, Result<(i64, u64), BatchError>> {
        async move {
            if let Some(enricher) = self.enricher(partition) {
                enricher.up().await;
            }
            self.publisher.up().await;
            let opened = self.publisher.ask(OpenPartition { partition }).await??;
            Ok((self.start_at(partition).await?, opened.opening))
        }
        .boxed_local()
    }

    fn hand_on(&self, batch: ReadBatch, opening: u64) -> LocalBoxFuture<'static, Result<(), BatchError>> {
        let partition = batch.records.partition;
        let message = RawBatch { records: batch.records, opening, group: batch.group };
        match self.enricher(partition) {
            Some(enricher) => enricher.ask(message).map(|answer| answer?).boxed_local(),
            None => {
                let error = BatchError::Interrupted(format!("partition {partition} belongs to no borough"));
                std::future::ready(Err(error)).boxed_local()
            }
        }
    }

    fn find_stale(
        self: Rc<Self>,
        _: Cluster,
        _: Vec<(Partition, u64)>,
    ) -> LocalBoxFuture<'static, Vec<Partition>> {
        // Kafka itself tells: a commit under an old member or producer id is refused.
        std::future::ready(Vec::new()).boxed_local()
    }

    fn commits_offsets(settings: &Settings) -> bool {
        !settings.kafka.transactions
    }
}
