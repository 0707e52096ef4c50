//! Writer: one PostgreSQL transaction for each merged batch. The store has the delivery argument.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;

use super::environment::Environment;
use crate::{
    messages::{BatchError, WriteMerged},
    retry::Delays,
    store::WriteError,
    supervision::{Drain, Life},
    telemetry::metrics::{metrics, outcome, stage},
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
            let mut delays = Delays::new(Duration::from_millis(100), Duration::from_secs(5));
            loop {
                let rows = batch.rows.len() + batch.dead_letters.len();
                match environment.store.write(&batch).await {
                    Ok(summary) => {
                        life.running();
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
                        return Ok(());
                    }
                    // Repeating is safe even if the commit went through and only its answer was lost: the positions
                    // have moved then, and the repetition is refused as fenced.
                    Err(WriteError::Store(error)) if error.is_unavailable() => {
                        life.waiting_for("database");
                        let wait = delays.next_delay();
                        tracing::warn!(%error, retry_in_ms = wait.as_millis(), "database is away, the batch waits");
                        tokio::time::sleep(wait).await;
                    }
                    Err(error @ WriteError::Fenced { .. }) => {
                        return Err(BatchError::Fenced(error.to_string()));
                    }
                    Err(WriteError::Store(error)) => {
                        tracing::error!(%error, rows, "batch was not written");
                        return Err(BatchError::Interrupted(error.to_string()));
                    }
                }
            }
        };
        AtomicResponse::new(Box::pin(write.into_actor(self)))
    }
}

impl Handler<Drain> for Writer {
    type Result = ();

    /// Nothing to wait for: a drain follows the write that is under way, because writes are atomic responses.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
