//! Requests of the simulator's own: its clock, its faults, what it holds and what is gone from it.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use nyc311_notation::quantity;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::soql::write_fixed;
use crate::stamp::at_millisecond;
use crate::state::SimulatorState;
use crate::table::Table as _;

/// A body may hold a row that is too large for every setting of `kafka.raw_max_record_bytes`, which ends at 8
/// MiB.
const MAX_BODY_BYTES: usize = 16 << 20;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .route("/healthz", web::get().to(alive))
        .route("/simulator", web::get().to(status))
        .route("/simulator/clock", web::get().to(status))
        .route("/simulator/clock", web::post().to(move_clock))
        .route("/simulator/faults", web::get().to(list_faults))
        .route("/simulator/faults", web::post().to(add_faults))
        .route("/simulator/faults", web::delete().to(clear_faults))
        .route("/simulator/withdrawn", web::post().to(withdraw))
        .route("/simulator/withdrawn", web::delete().to(bring_back));
}

/// `{"now": TIME}`, `{"advance": DURATION}`, `{"rate": N}`, `{"page_step": DURATION}`, in any combination.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockRequest {
    now: Option<Timestamp>,
    advance: Option<String>,
    rate: Option<f64>,
    page_step: Option<String>,
}

/// Answers as the pipeline's own sign of life does, so that `nyc311 health --live` asks either.
async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn status(state: web::Data<SimulatorState>) -> HttpResponse {
    HttpResponse::Ok().json(describe(&state))
}

fn describe(state: &SimulatorState) -> Value {
    let table = &state.table;
    let versions = table.len();
    let edge = |position: u64| (versions > 0).then(|| write_fixed(table.stamp(position).updated_at));
    json!({
        "now": write_fixed(at_millisecond(state.clock.now_ms())),
        "versions": versions,
        "first_updated_at": edge(0),
        "last_updated_at": edge(versions.saturating_sub(1)),
        "withdrawn": table.count(),
        "requests": state.requests.load(std::sync::atomic::Ordering::Relaxed),
    })
}

/// A body, or why there is none: it is too large, or broke off.
type Body = Result<web::Bytes, actix_web::Error>;

async fn move_clock(state: web::Data<SimulatorState>, body: Body) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(error) => return unread(&error),
    };
    let request: ClockRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refused(&error.to_string()),
    };
    let duration = |text: Option<String>| {
        text.map(|text| quantity::duration(&text).map_err(|error| format!("{text:?} {error}"))).transpose()
    };
    let (advance, page_step): (Option<Duration>, Option<Duration>) =
        match (duration(request.advance), duration(request.page_step)) {
            (Ok(advance), Ok(page_step)) => (advance, page_step),
            (Err(error), _) | (_, Err(error)) => return refused(&error),
        };
    if let Some(now) = request.now {
        state.clock.set_ms(now.as_millisecond());
    }
    if let Some(advance) = advance {
        state.clock.advance(advance);
    }
    if let Some(rate) = request.rate {
        state.clock.set_rate(rate);
    }
    if let Some(page_step) = page_step {
        state.clock.set_page_step(page_step);
    }
    status(state).await
}

/// `{"keys": ["69000001", ...]}`: these rows are gone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawRequest {
    keys: Vec<String>,
}

async fn withdraw(state: web::Data<SimulatorState>, body: Body) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(error) => return unread(&error),
    };
    let request: WithdrawRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refused(&error.to_string()),
    };
    let worker = state.clone();
    // Every row is looked at.
    if web::block(move || worker.table.withdraw(&request.keys)).await.is_err() {
        return HttpResponse::InternalServerError().finish();
    }
    status(state).await
}

async fn bring_back(state: web::Data<SimulatorState>) -> HttpResponse {
    state.table.bring_back();
    status(state).await
}

async fn list_faults(state: web::Data<SimulatorState>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"faults": state.faults.list()}))
}

/// Takes one fault, or an array of them.
async fn add_faults(state: web::Data<SimulatorState>, body: Body) -> HttpResponse {
    let body = match body {
        Ok(body) => body,
        Err(error) => return unread(&error),
    };
    let faults = match body.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice::<Vec<Fault>>(&body),
        _ => serde_json::from_slice(&body).map(|fault| vec![fault]),
    };
    match faults {
        Ok(faults) => faults.into_iter().for_each(|fault| state.faults.add(fault)),
        Err(error) => return refused(&error.to_string()),
    }
    list_faults(state).await
}

async fn clear_faults(state: web::Data<SimulatorState>) -> HttpResponse {
    state.faults.clear();
    list_faults(state).await
}

fn refused(message: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"code": "invalid_request", "error": true, "message": message}))
}

fn unread(error: &actix_web::Error) -> HttpResponse {
    let message = format!("the body cannot be read, which may have {MAX_BODY_BYTES} bytes: {error}");
    HttpResponse::build(error.as_response_error().status_code())
        .json(json!({"code": "invalid_request", "error": true, "message": message}))
}
