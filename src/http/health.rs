//! What probes and scrapers ask: alive, ready, metrics, and the description of the API.

use actix_web::{HttpResponse, web};

use super::ControlState;
use super::view::Readiness;
use crate::telemetry::{labels::PoolState, metrics};

/// The description of the API, kept by hand; a test holds real answers against it.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Answers as long as the process can answer at all. It says nothing of dependencies: a restart mends none of them.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"status": "ok"}))
}

/// Answers 503 while a dependency is away or a stage does not run, and says which.
pub async fn ready(state: web::Data<ControlState>) -> HttpResponse {
    let readiness = Readiness::of(state.view.as_ref());
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

pub async fn metrics(state: web::Data<ControlState>) -> HttpResponse {
    let (open, idle) = state.store.connections();
    let connections = &metrics::metrics().db_pool_connections;
    for (state, count) in [(PoolState::Idle, idle), (PoolState::InUse, open.saturating_sub(idle))] {
        connections.of(state).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics::render())
}

pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}
