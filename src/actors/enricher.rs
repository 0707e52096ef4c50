//! Enricher: turns the raw records of one borough into derived records. One worker per borough, on a thread
//! of its own.
//!
//! A record that cannot be used becomes a record of the dead-letter topic, in the same transaction, with its
//! bytes as they were. The rules are pure; should one panic on some row, that row is a dead letter too, and
//! never a restart.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use actix::prelude::*;
use bytes::Bytes;
use nyc311_domain::{Borough, Rejection, ServiceRequest};

use super::enriched_publisher::EnrichedPublisher;
use crate::faults;
use crate::kafka::{DerivedRecord, HeaderList, Record};
use crate::messages::{BatchError, PublishEnriched, RawBatch};
use crate::supervision::{Drain, Life, Named, StageRef, Wait};
use crate::telemetry::events;
use crate::telemetry::labels::{Flag, Reason, SetAside, StageName};

/// The actor of one borough.
pub struct Enricher {
    life: Life,
    borough: Borough,
    publisher: StageRef<EnrichedPublisher>,
    derived_max_bytes: usize,
}

impl Enricher {
    pub fn new(
        life: Life,
        borough: Borough,
        publisher: StageRef<EnrichedPublisher>,
        derived_max_bytes: usize,
    ) -> Self {
        Self { life, borough, publisher, derived_max_bytes }
    }

    fn derive(&self, partition: i32, record: &Record, tally: &mut Tally) -> DerivedRecord {
        let headers = HeaderList {
            raw_partition: Some(partition),
            raw_offset: Some(record.offset),
            ..record.headers.clone()
        };
        let enriched = std::panic::catch_unwind(AssertUnwindSafe(|| nyc311_domain::enrich(&record.value)));
        let rejection = match enriched {
            Ok(Ok(row)) => match self.render(&row) {
                Ok(value) => {
                    tally.count(&row);
                    return DerivedRecord { dead_letter: false, key: record.key.clone(), value, headers };
                }
                Err(rejection) => rejection,
            },
            Ok(Err(rejection)) => rejection,
            Err(_) => Rejection {
                reason: SetAside::EnrichmentPanicked.as_str(),
                field: None,
                detail: "a rule panicked on this row; the log has the place".to_owned(),
                unique_key: None,
            },
        };
        events::row_set_aside(StageName::Enricher, Reason::from(&rejection));
        let headers = HeaderList {
            reason: Some(rejection.reason.into()),
            field: rejection.field.map(Into::into),
            detail: Some(rejection.detail.into()),
            ..headers
        };
        DerivedRecord { dead_letter: true, key: record.key.clone(), value: record.value.clone(), headers }
    }

    fn render(&self, row: &ServiceRequest<'_>) -> Result<Bytes, Rejection> {
        let mut value = Vec::with_capacity(1536);
        row.write_json(&mut value);
        if value.len() <= self.derived_max_bytes {
            return Ok(value.into());
        }
        Err(Rejection {
            reason: SetAside::EnrichedTooLarge.as_str(),
            field: None,
            detail: format!("{} bytes enriched, {} are the most", value.len(), self.derived_max_bytes),
            unique_key: Some(row.unique_key),
        })
    }
}

/// What a batch adds to the metrics: one lookup for a batch and a flag, not one for each row.
#[derive(Default)]
struct Tally {
    enriched: u64,
    flags: BTreeMap<Flag, u64>,
}

impl Tally {
    fn count(&mut self, row: &ServiceRequest<'_>) {
        self.enriched += 1;
        for flag in Flag::each(row.quality_flags) {
            *self.flags.entry(flag).or_default() += 1;
        }
    }

    fn report(self) {
        events::rows_passed(StageName::Enricher, self.enriched);
        for (flag, count) in self.flags {
            events::flag_set(flag, count);
        }
    }
}

impl Actor for Enricher {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.life.running();
    }
}

impl Handler<RawBatch> for Enricher {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, batch: RawBatch, _: &mut Self::Context) -> Self::Result {
        let RawBatch { read: batch, opening, note, group } = batch;
        let span =
            tracing::info_span!("enrich", borough = self.borough.name(), from = batch.from, to = batch.to);
        let _entered = span.enter();
        events::batch_seen(StageName::Enricher, batch.records.len());
        let mut tally = Tally::default();
        let spoiled = faults::spoiled(batch.records.len());
        let derived = batch.records.iter().enumerate().map(|(index, record)| {
            if spoiled.contains(&index) {
                let half = Record { value: faults::half_of(&record.value), ..record.clone() };
                return self.derive(batch.partition, &half, &mut tally);
            }
            self.derive(batch.partition, record, &mut tally)
        });
        let records = derived.collect();
        tally.report();
        let (partition, from, next_offset) = (batch.partition, batch.from, batch.to);
        let message = PublishEnriched { partition, opening, records, from, next_offset, note, group };
        // Asked before this returns, so the publisher gets the batches in the order of the partition.
        let published = self.publisher.ask(message);
        let life = self.life.clone();
        let answer = async move { life.work("a batch", published.named(Wait::Neighbour)).await? };
        Box::pin(answer.into_actor(self))
    }
}

impl Handler<Drain> for Enricher {
    type Result = ();

    /// Nothing to wait for: the raw consumer has drained before, and with it every batch.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}
