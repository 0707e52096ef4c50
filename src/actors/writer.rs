//! Writer: one PostgreSQL transaction for each merged batch. The store has the delivery argument.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;

use super::{drain::past_saving, environment::Environment};
use crate::{
    messages::{BatchError, WriteMerged},
    retry::Delays,
    store::{WriteBatch, WriteError, WriteSummary},
    supervision::{Drain, Life},
    telemetry::metrics::{count_wait, dependency, metrics, outcome, stage, waiting},
};

/// The actor that writes.
pub struct Writer {
    life: Life,
    environment: Arc<Environment>,
}

impl Writer {
    pub fn new(life: Life, environment: Arc<Environment>) -> Self {
        Self { life, environment }
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // What an earlier incarnation was at is rolled back or committed, and forgotten here.
        metrics().in_flight_batches.with_label_values(&[stage::WRITER]).set(0);
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let prepared = async move {
            environment.prepared(&life).await;
            life.running();
        };
        context.spawn(prepared.into_actor(self));
    }
}

impl Handler<WriteMerged> for Writer {
    type Result = AtomicResponse<Self, Result<(), BatchError>>;

    fn handle(&mut self, WriteMerged(batch): WriteMerged, _: &mut Self::Context) -> Self::Result {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let write = async move {
            let in_flight = metrics().in_flight_batches.with_label_values(&[stage::WRITER]);
            in_flight.set(1);
            let written = tokio::select! {
                written = write(&environment, &life, &batch) => written,
                lost = past_saving(&life, &environment, dependency::DATABASE) => Err(lost),
            };
            in_flight.set(0);
            written
        };
        AtomicResponse::new(Box::pin(write.into_actor(self)))
    }
}

/// Writes a batch; while the database is away, or somebody holds a lock in its way, it waits.
async fn write(environment: &Environment, life: &Life, batch: &WriteBatch) -> Result<(), BatchError> {
    let mut delays = Delays::new(Duration::from_millis(100), Duration::from_secs(5));
    let rows = batch.rows.len() + batch.dead_letters.len();
    loop {
        match life.waiting_if_slow(dependency::DATABASE, environment.store.write(batch)).await {
            Ok(summary) => {
                life.running();
                count(&summary, rows);
                return Ok(());
            }
            // Repeating is safe even if the commit went through and only its answer was lost: the positions have moved
            // then, and the repetition is refused as fenced.
            Err(WriteError::Store(error)) if error.may_pass() => {
                life.waiting_for(dependency::DATABASE);
                let wait = delays.next_delay();
                tracing::warn!(%error, retry_in_ms = wait.as_millis(), "batch was not written, it waits for the database");
                let began = Instant::now();
                tokio::time::sleep(wait).await;
                count_wait(stage::WRITER, waiting::DATABASE, began);
            }
            // Any other answer is one: the wait is over, whatever becomes of the batch.
            Err(error @ WriteError::Fenced { .. }) => {
                life.running();
                return Err(BatchError::Fenced(error.to_string()));
            }
            Err(WriteError::Store(error)) => {
                life.running();
                tracing::error!(%error, rows, "batch was not written");
                return Err(BatchError::Interrupted(error.to_string()));
            }
        }
    }
}

fn count(summary: &WriteSummary, rows: usize) {
    let metrics = metrics();
    metrics.db_transaction_duration_seconds.observe(summary.duration.as_secs_f64());
    metrics.batch_rows.with_label_values(&[stage::WRITER]).observe(rows as f64);
    for (became, count) in [
        (outcome::STORED, summary.stored),
        (outcome::DUPLICATE, summary.duplicate),
        (outcome::REENRICHED, summary.reenriched),
        (outcome::DEAD_LETTERED, summary.dead_lettered),
    ] {
        metrics.records_total.with_label_values(&[stage::WRITER, became]).inc_by(count);
    }
    for (stage, reason, count) in [
        (stage::WRITER, WriteSummary::REFUSED, summary.refused),
        (stage::AGGREGATOR, WriteSummary::UNREADABLE, summary.unreadable),
    ] {
        if count > 0 {
            metrics.dead_letters_total.with_label_values(&[stage, reason]).inc_by(count);
        }
    }
}

impl Handler<Drain> for Writer {
    type Result = ();

    /// Nothing to wait for: a drain follows the write that is under way, because writes are atomic responses.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
