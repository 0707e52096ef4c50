//! Writer: one PostgreSQL transaction for each merged batch, one after the other. The next batch is prepared
//! while one is written. The store has the delivery argument.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;

use super::drain::past_saving;
use super::environment::{Environment, PREPARING};
use crate::messages::{BatchError, WriteMerged};
use crate::retry::DEPENDENCY_AWAY;
use crate::store::{Turn, WriteBatch, WriteError, WriteSummary};
use crate::supervision::{Drain, Life, Named};
use crate::telemetry::labels::{Dependency, Outcome, SetAside, StageName, WaitsOn};
use crate::telemetry::{InFlight, events};

/// The actor that writes.
pub struct Writer {
    life: Life,
    environment: Arc<Environment>,
    /// The turn behind the batch that came last.
    next: Turn,
}

impl Writer {
    pub fn new(life: Life, environment: Arc<Environment>) -> Self {
        Self { life, environment, next: Turn::now() }
    }
}

impl Actor for Writer {
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

impl Handler<WriteMerged> for Writer {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, WriteMerged(batch): WriteMerged, _: &mut Self::Context) -> Self::Result {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let (ended, behind) = Turn::after();
        let mut turn = std::mem::replace(&mut self.next, behind);
        let write = async move {
            let _ended = ended;
            let _in_flight = InFlight::batch(StageName::Writer);
            tokio::select! {
                written = life.work("a batch", write(&environment, &life, &mut turn, &batch)) => written,
                lost = past_saving(&life, &environment, Dependency::Database) => Err(lost),
            }
        };
        Box::pin(write.into_actor(self))
    }
}

/// Writes a batch; while the database is away, or somebody holds a lock in its way, it waits.
async fn write(
    environment: &Environment,
    life: &Life,
    turn: &mut Turn,
    batch: &WriteBatch,
) -> Result<(), BatchError> {
    let mut delays = DEPENDENCY_AWAY.delays();
    let rows = batch.rows.len() + batch.dead_letters.len();
    loop {
        match life.waiting_if_slow(Dependency::Database, environment.store.write_after(turn, batch)).await {
            Ok(summary) => {
                life.running();
                tell(&summary, rows);
                return Ok(());
            }
            // Repeating is safe even if the commit went through and only its answer was lost: the positions
            // have moved then, and the repetition is refused as fenced.
            Err(WriteError::Store(error)) if error.may_pass() => {
                life.waiting_for(Dependency::Database);
                let wait = delays.next_delay();
                tracing::warn!(%error, retry_in_ms = wait.as_millis(), "batch was not written, it waits for the database");
                let began = Instant::now();
                tokio::time::sleep(wait).named(Dependency::Database).await;
                events::waited(StageName::Writer, WaitsOn::Database, began);
            }
            // Any other answer is one: the wait is over, whatever becomes of the batch.
            Err(error @ WriteError::Fenced { .. }) => {
                life.running();
                tracing::info!(%error, rows, "batch was not written, it is another owner's or was written before");
                return Err(BatchError::fenced(error.to_string()).caused_by(error));
            }
            Err(WriteError::Store(error)) => {
                life.running();
                tracing::error!(%error, rows, "batch was not written");
                return Err(BatchError::interrupted(error.to_string()).caused_by(error));
            }
        }
    }
}

fn tell(summary: &WriteSummary, rows: usize) {
    events::batch_written(rows, summary.duration);
    for (outcome, rows) in [
        (Outcome::Stored, summary.stored),
        (Outcome::Duplicate, summary.duplicate),
        (Outcome::Reenriched, summary.reenriched),
        (Outcome::DeadLettered, summary.dead_lettered),
    ] {
        events::rows_became(StageName::Writer, outcome, rows);
    }
    events::dead_letters_made(StageName::Writer, SetAside::RefusedByDatabase.into(), summary.refused);
    events::dead_letters_made(StageName::Aggregator, SetAside::EnrichedUnreadable.into(), summary.unreadable);
}

impl Handler<Drain> for Writer {
    type Result = ();

    /// Nothing to wait for: the enriched consumer has drained before, and with it every batch.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
