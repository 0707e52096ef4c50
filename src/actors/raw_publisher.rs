//! Raw publisher: puts the rows of a page into `nyc311.raw`, and answers when Kafka has acknowledged each of
//! them.

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;

use super::drain::past_saving;
use super::environment::{Environment, PREPARING};
use crate::kafka::raw_producer::RawProducer;
use crate::kafka::{HeaderList, PublishedPage};
use crate::messages::{BatchError, RawPage};
use crate::supervision::{Drain, Life, Named, StageError};
use crate::telemetry::events;
use crate::telemetry::labels::{Dependency, StageName};

/// The actor with the idempotent producer.
pub struct RawPublisher {
    life: Life,
    environment: Arc<Environment>,
    producer: Option<Rc<RawProducer>>,
}

impl RawPublisher {
    pub fn new(life: Life, environment: Arc<Environment>) -> Self {
        Self { life, environment, producer: None }
    }
}

impl Actor for RawPublisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let watched = async move {
            let cluster = life.work(PREPARING, environment.prepared(&life)).await;
            life.running();
            environment.fail_when_replaced(cluster, life, "publishing").await;
        };
        context.spawn(watched.into_actor(self));
        self.renew_producer();
    }
}

impl RawPublisher {
    /// Makes a producer; the one before it, if any, is ended.
    fn renew_producer(&mut self) {
        match RawProducer::new(&self.environment.settings.kafka) {
            Ok(producer) => self.producer = Some(Rc::new(producer)),
            Err(failure) => self.life.fail(StageError::new("creating the producer", failure)),
        }
    }
}

impl Handler<RawPage> for RawPublisher {
    type Result = AtomicResponse<Self, Result<PublishedPage, BatchError>>;

    fn handle(&mut self, page: RawPage, _: &mut Self::Context) -> Self::Result {
        let (producer, environment, life) =
            (self.producer.clone(), self.environment.clone(), self.life.clone());
        let publish = async move {
            let producer = producer.ok_or_else(|| BatchError::interrupted("there is no producer"))?;
            let headers = HeaderList { origin: Some(page.origin), ..HeaderList::default() };
            let published = tokio::select! {
                published = producer.publish(&page.rows, &headers).named(Dependency::Kafka) => published?,
                lost = past_saving(&life, &environment, Dependency::Kafka) => return Err(lost),
            };
            events::batch_seen(StageName::RawPublisher, page.rows.len());
            events::rows_passed(StageName::RawPublisher, published.published);
            Ok(published)
        };
        let life = self.life.clone();
        let publish = async move { life.work("a page that is published", publish).await };
        AtomicResponse::new(Box::pin(publish.into_actor(self).map(|published, actor, _| {
            if published.is_err() {
                // Whatever it was, an outage or a broken sequence: the next page is not to inherit it. A
                // producer whose epoch the brokers no longer take only times out, as if they were away.
                actor.renew_producer();
            }
            published
        })))
    }
}

impl Handler<Drain> for RawPublisher {
    type Result = ();

    /// Nothing to wait for: a drain follows the page that is under way, because publishing is an atomic
    /// response.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
