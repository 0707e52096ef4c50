//! Shows the pipeline: its stages, and how far each partition is read.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::ControlState;
use super::poll_document::instant;
use super::view::{PartitionStatus, Readiness};
use crate::supervision::{StageState, StageStatus};

/// How long the brokers may be asked; without an answer the stages are shown alone.
const PARTITIONS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct PipelineDocument {
    ready: bool,
    stages: Vec<StageDocument>,
    partitions: Vec<PartitionStatus>,
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
    let partitions = tokio::time::timeout(PARTITIONS_WITHIN, view.partitions()).await.unwrap_or_else(|_| {
        tracing::warn!("the brokers did not say in time how far the partitions are read");
        Vec::new()
    });
    HttpResponse::Ok().json(PipelineDocument {
        ready: Readiness::of(view.as_ref()).ready,
        stages: view.stages().into_iter().map(StageDocument::from).collect(),
        partitions,
    })
}
