//! Shows the pipeline: its stages, and how far each partition is read.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::ControlState;
use super::poll_document::instant;
use super::view::{PartitionStatus, Readiness};
use crate::store::Term;
use crate::supervision::{StageState, StageStatus, Stalled};

/// How long the brokers and the database may be asked; without an answer the stages are shown alone.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How many words of drift are shown; `nyc311 drift` and the table `source_term` have all.
const DRIFT_SHOWN: i64 = 100;

#[derive(Serialize)]
struct PipelineDocument {
    ready: bool,
    /// Where a poll without a window begins; none while the database is away.
    source: Option<SourceDocument>,
    stages: Vec<StageDocument>,
    partitions: Vec<PartitionStatus>,
    stalled: Vec<Stalled>,
    drift: Vec<DriftDocument>,
}

/// How far the source has been read.
#[derive(Serialize)]
struct SourceDocument {
    name: String,
    url: String,
    published_updated_at: Option<String>,
    stored_updated_at: Option<String>,
    /// Where the first poll begins that finds no `published_updated_at`; without either it reads everything.
    initial_since: Option<String>,
}

/// A word of the source that no rule knows, or a column that is gone.
#[derive(Serialize)]
struct DriftDocument {
    kind: String,
    value: String,
    known: bool,
    first_source_updated_at: Option<String>,
    first_seen_at: String,
    vanished_at: Option<String>,
}

impl From<Term> for DriftDocument {
    fn from(term: Term) -> Self {
        Self {
            kind: term.kind.as_str().to_owned(),
            value: term.value,
            known: term.known,
            first_source_updated_at: term.first_source_updated_at.map(instant),
            first_seen_at: instant(term.first_seen_at),
            vanished_at: term.vanished_at.map(instant),
        }
    }
}

#[derive(Serialize)]
struct StageDocument {
    name: &'static str,
    borough: Option<&'static str>,
    state: StageState,
    generation: u64,
    restarts: u64,
    last_error: Option<String>,
    since: String,
}

impl From<StageStatus> for StageDocument {
    fn from(stage: StageStatus) -> Self {
        Self {
            name: stage.name,
            borough: stage.borough,
            state: stage.state,
            generation: stage.generation,
            restarts: stage.restarts,
            last_error: stage.last_error,
            since: instant(stage.since),
        }
    }
}

pub async fn show(state: web::Data<ControlState>) -> HttpResponse {
    let view = &state.view;
    let (partitions, drift, source) = tokio::join!(
        tokio::time::timeout(ANSWER_WITHIN, view.partitions()),
        tokio::time::timeout(ANSWER_WITHIN, state.store.terms(false, DRIFT_SHOWN)),
        tokio::time::timeout(ANSWER_WITHIN, read_source(&state)),
    );
    let partitions = partitions.unwrap_or_else(|_| {
        tracing::warn!("the brokers did not say in time how far the partitions are read");
        Vec::new()
    });
    let drift = match drift {
        Ok(Ok(drift)) => drift,
        // `ready` says that the database is away.
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let readiness = Readiness::of(view.as_ref());
    HttpResponse::Ok().json(PipelineDocument {
        ready: readiness.ready,
        source: source.ok().flatten(),
        stages: view.stages().into_iter().map(StageDocument::from).collect(),
        partitions,
        stalled: readiness.stalled,
        drift: drift.into_iter().map(DriftDocument::from).collect(),
    })
}

async fn read_source(state: &ControlState) -> Option<SourceDocument> {
    let name = state.settings.source.dataset();
    let position = state.store.source_position(name).await.ok()?;
    let (published, stored) =
        position.map_or((None, None), |position| (position.published_updated_at, position.stored_updated_at));
    Some(SourceDocument {
        name: name.to_owned(),
        url: state.settings.source.url.clone(),
        published_updated_at: published.map(instant),
        stored_updated_at: stored.map(instant),
        initial_since: state.settings.poll.initial_since.map(instant),
    })
}
