//! Enriched publisher: commits derived records together with the raw offsets that they come from.
//!
//! It keeps one transactional producer for each raw partition, each on a thread of its own;
//! `kafka::transactional` has the delivery argument.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;

use super::environment::{Environment, PREPARING};
use crate::kafka::transactional::{PartitionProducer, Transaction};
use crate::messages::{BatchError, OpenPartition, OpenedPartition, PublishEnriched};
use crate::supervision::{Drain, Life, Named};
use crate::telemetry::labels::{Dependency, StageName};
use crate::telemetry::{InFlight, events};

/// The actor with the producers of the partitions that this process owns.
pub struct EnrichedPublisher {
    life: Life,
    environment: Arc<Environment>,
    producers: HashMap<i32, (u64, PartitionProducer)>,
    openings: u64,
}

impl EnrichedPublisher {
    pub fn new(life: Life, environment: Arc<Environment>) -> Self {
        Self { life, environment, producers: HashMap::new(), openings: 0 }
    }
}

impl Actor for EnrichedPublisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let prepared = async move {
            life.work(PREPARING, environment.prepared(&life)).await;
            life.running();
        };
        context.spawn(prepared.into_actor(self));
    }
}

impl Handler<OpenPartition> for EnrichedPublisher {
    type Result = ResponseActFuture<Self, Result<OpenedPartition, BatchError>>;

    fn handle(&mut self, OpenPartition(asked): OpenPartition, _: &mut Self::Context) -> Self::Result {
        let partition = asked.partition;
        self.openings += 1;
        // Unique over the lives of this stage: a batch of an earlier life must not slip into a newer
        // producer.
        let opening = (self.life.generation() << 32) | self.openings;
        // The old producer goes first: with the same transactional id it would be fenced anyway.
        self.producers.remove(&partition);
        let opened = PartitionProducer::open(Arc::new(self.environment.settings.kafka.clone()), asked);
        let life = self.life.clone();
        let opened = async move { life.work("opening a producer", opened.named(Dependency::Kafka)).await };
        Box::pin(opened.into_actor(self).map(move |producer, actor, _| {
            let producer = producer?;
            let newer = actor.producers.get(&partition).is_some_and(|(current, _)| *current > opening);
            if newer {
                return Err(BatchError::interrupted("opened again meanwhile"));
            }
            actor.producers.insert(partition, (opening, producer));
            Ok(OpenedPartition { opening })
        }))
    }
}

impl Handler<PublishEnriched> for EnrichedPublisher {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, batch: PublishEnriched, _: &mut Self::Context) -> Self::Result {
        let producer = self.producers.get(&batch.partition).filter(|(opening, _)| *opening == batch.opening);
        let Some((_, producer)) = producer else {
            let error =
                BatchError::interrupted(format!("partition {} is not open for this batch", batch.partition));
            return Box::pin(std::future::ready(Err(error)).into_actor(self));
        };
        let rows = batch.records.len();
        events::batch_seen(StageName::EnrichedPublisher, rows);
        let transaction = Transaction {
            records: batch.records,
            from: batch.from,
            next_offset: batch.next_offset,
            note: batch.note,
            group: batch.group,
        };
        // Queued before this returns, so the producer gets the batches in the order of the partition.
        let committed = producer.publish(transaction);
        let in_flight = InFlight::batch(StageName::EnrichedPublisher);
        let life = self.life.clone();
        let published = async move {
            let committed = life.waiting_if_slow(Dependency::Kafka, committed);
            let committed = life.work("a transaction", committed).await;
            drop(in_flight);
            life.running();
            committed?;
            events::rows_passed(StageName::EnrichedPublisher, rows as u64);
            Ok(())
        };
        Box::pin(published.into_actor(self))
    }
}

impl Handler<Drain> for EnrichedPublisher {
    type Result = ();

    /// Nothing to wait for: the raw consumer has drained before, and with it every transaction.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
