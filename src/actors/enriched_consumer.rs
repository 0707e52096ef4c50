//! Enriched consumer: reads `nyc311.enriched` and `nyc311.dead_letter` and hands the records to the aggregator.
//!
//! The position in PostgreSQL beats whatever the group has committed. Opening a partition claims its position row with
//! a new epoch, so that a writer of an older epoch can do no harm, and every batch carries the epoch under which it was
//! read.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    aggregator::Aggregator,
    environment::{Cluster, Environment},
    partition_reader::{Destination, PartitionReader},
    raw_consumer::note_loss,
};
use crate::{
    config::Settings,
    kafka::{
        KafkaFailure,
        consumer::{Partition, ReadBatch, Window},
    },
    messages::{BatchError, EnrichedBatch},
    store::StoreError,
    supervision::StageRef,
    telemetry::metrics::{dependency, stage},
};

/// The enriched consumer is a partition reader in front of the aggregator.
pub type EnrichedConsumer = PartitionReader<ToAggregator>;

/// Hands the batches of all partitions to the one aggregator.
pub struct ToAggregator {
    pub environment: Arc<Environment>,
    pub aggregator: StageRef<Aggregator>,
}

fn away(error: StoreError) -> BatchError {
    BatchError::Unavailable { dependency: "database", detail: error.to_string() }
}

impl Destination for ToAggregator {
    /// The epoch of the position.
    type Token = i64;

    const STAGE: &'static str = stage::ENRICHED_CONSUMER;
    const PATH: &'static [&'static str] = &[stage::ENRICHED_CONSUMER, stage::AGGREGATOR, stage::WRITER];
    const NEEDS: &'static str = dependency::DATABASE;

    fn group(settings: &Settings) -> String {
        format!("{}-writer", settings.kafka.group_prefix)
    }

    fn topics(settings: &Settings) -> Vec<Arc<str>> {
        vec![
            Arc::from(settings.kafka.enriched_topic.as_str()),
            Arc::from(settings.kafka.dead_letter_topic.as_str()),
        ]
    }

    fn window(_: &Settings) -> Window {
        // Enough for one transaction that is written and one that fills meanwhile.
        Window {
            batch_rows: 2_000,
            batch_bytes: 4 << 20,
            batches_per_partition: 4,
            bytes: 32 << 20,
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
            let ends = environment.admin.log_ends(&topic, [partition]).await?;
            let Some(ends) = ends.first().copied() else {
                return Err(KafkaFailure::Unavailable("no answer with offsets".to_owned()).into());
            };
            let store = &environment.store;
            let owner = &environment.settings.instance.id;
            let claimed =
                store.claim_position(&cluster.id, &topic, partition, owner, ends.low).await.map_err(away)?;
            if (ends.low..=ends.high).contains(&claimed.next_offset) {
                return Ok((claimed.next_offset, claimed.epoch));
            }
            note_loss(environment, &topic, partition, claimed.next_offset, ends).await?;
            let rewound =
                store.rewind_position(&cluster.id, &topic, partition, ends.low).await.map_err(away)?;
            Ok((rewound.next_offset, rewound.epoch))
        }
        .boxed_local()
    }

    fn hand_on(&self, batch: ReadBatch, epoch: i64) -> LocalBoxFuture<'static, Result<(), BatchError>> {
        self.aggregator
            .ask(EnrichedBatch { records: batch.records, epoch })
            .map(|answer| answer?)
            .boxed_local()
    }

    fn find_stale(
        self: Rc<Self>,
        cluster: Cluster,
        open: Vec<(Partition, i64)>,
    ) -> LocalBoxFuture<'static, Vec<Partition>> {
        async move {
            let kafka = &self.environment.settings.kafka;
            let topics = [kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()];
            // Without an answer there is nothing to conclude; the next look follows soon.
            let Ok(positions) = self.environment.store.positions(&cluster.id, &topics).await else {
                return Vec::new();
            };
            let stale = open.into_iter().filter(|((topic, partition), epoch)| {
                positions
                    .iter()
                    .any(|row| *row.topic == **topic && row.partition == *partition && row.epoch != *epoch)
            });
            stale.map(|(partition, _)| partition).collect()
        }
        .boxed_local()
    }

    fn commits_offsets(_: &Settings) -> bool {
        // Only for the eyes of Kafka's own tools: the position in PostgreSQL is the one that counts.
        true
    }
}
