//! What probes and scrapers ask: alive, ready, metrics.

use actix_web::{HttpResponse, web};

use super::ControlState;
use super::view::readiness;
use crate::documents::{Health, HealthDocument, ReadinessDocument};
use crate::telemetry::labels::PoolState;
use crate::telemetry::metrics;

/// Answers as long as the process can answer at all. It says nothing of dependencies: a restart mends none of
/// them.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealth",
    summary = "Whether the process can answer",
    description = "It says nothing of dependencies: a restart mends none of them.",
    tag = "health",
    security(),
    responses((status = 200, description = "It can", body = HealthDocument)),
)]
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(HealthDocument { status: Health::Ok })
}

/// Answers 503 while a dependency is away or a stage does not run, and says which.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    summary = "Whether the pipeline does its work",
    description = "503 while a dependency is away, a stage does not run or a partition is stalled; the answer says which.",
    tag = "health",
    security(),
    responses(
        (status = 200, description = "All stages run and no dependency is away", body = ReadinessDocument),
        (status = 503, description = "Something is in the way", body = ReadinessDocument),
    ),
)]
pub async fn ready(state: web::Data<ControlState>) -> HttpResponse {
    let readiness = readiness(state.view.as_ref());
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

/// Answers with the metrics as they are now.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    summary = "Metrics for Prometheus",
    description = "docs/operations.md lists them.",
    tag = "health",
    security(),
    responses((status = 200, description = "Text format 0.0.4", body = String, content_type = "text/plain")),
)]
pub async fn metrics(state: web::Data<ControlState>) -> HttpResponse {
    let (open, idle) = state.store.connections();
    let connections = &metrics::metrics().db_pool_connections;
    for (state, count) in [(PoolState::Idle, idle), (PoolState::InUse, open.saturating_sub(idle))] {
        connections.of(state).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics::render())
}
