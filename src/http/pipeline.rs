//! Shows the pipeline: its stages, and how far each partition is read.

use std::time::Duration;

use actix_web::{HttpResponse, web};

use super::ControlState;
use super::responses::Unauthorized;
use super::view::readiness;
use crate::documents::{DRIFT_SHOWN, DriftDocument, Moment, PipelineDocument, SourceDocument, StageDocument};

/// How long the brokers and the database may be asked; without an answer the stages are shown alone.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Answers with the stages and partitions of this process, and what there is to know of the source.
#[utoipa::path(
    get,
    path = "/v1/pipeline",
    operation_id = "getPipeline",
    summary = "Show stages and partitions of this process",
    description = "What the brokers or the database do not say within five seconds is left empty.",
    tag = "pipeline",
    responses(
        (status = 200, description = "The pipeline", body = PipelineDocument),
        (status = 401, response = Unauthorized),
    ),
)]
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
    let readiness = readiness(view.as_ref());
    HttpResponse::Ok().json(PipelineDocument {
        ready: readiness.ready,
        source: source.ok().flatten(),
        stages: view.stages().into_iter().map(StageDocument::from).collect(),
        partitions,
        stalled: readiness.stalled,
        faults_armed: readiness.faults_armed,
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
        published_updated_at: published.map(Moment::from),
        stored_updated_at: stored.map(Moment::from),
        initial_since: state.settings.poll.initial_since.map(Moment::from),
    })
}
