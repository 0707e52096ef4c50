//! `GET /resource/erm2-nwe9.json`: a query, a page, and the faults between them.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::json;

use crate::answer::{self, Served};
use crate::clock::milliseconds;
use crate::faults::{Fault, FaultKind, broken_row, malformed_row};
use crate::soql::{Answer, Query, QueryError, RowOrder};
use crate::state::{DATASET, SimulatorState};
use crate::table::Table as _;

const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);
const DEFAULT_DELAY: Duration = Duration::from_secs(5);
const PAUSE_BEFORE_CUT: Duration = Duration::from_millis(50);
/// The rows of a capped page: few, so that every poll meets the cap.
const DEFAULT_CAP: u64 = 20;
const DEFAULT_BEHIND: Duration = Duration::from_secs(6 * 60 * 60);

pub async fn answer(
    request: HttpRequest,
    state: web::Data<SimulatorState>,
    parameters: web::Query<Vec<(String, String)>>,
) -> HttpResponse {
    let now_ms = state.clock.now_ms();
    let Faulty { mut faults, delay } = Faulty::strike(&state);
    if !delay.is_zero() {
        actix_web::rt::time::sleep(delay).await;
    }
    if request.match_info().get("dataset") != Some(DATASET) {
        return not_found().await;
    }
    if let Some(refused) = check_token(&request, &state, &parameters) {
        return dated(refused, now_ms);
    }
    if let Some(failed) = faults.iter().find_map(failure) {
        return dated(failed, now_ms);
    }
    let query = match Query::read(&parameters, state.table.columns()) {
        Ok(query) => query,
        Err(error) => return dated(refused(&error), now_ms),
    };
    let behind =
        take(&mut faults, FaultKind::LaggingReplica).map(|fault| fault.behind.unwrap_or(DEFAULT_BEHIND));
    let seen_ms = now_ms - behind.map_or(0, milliseconds);
    let is_page = matches!(query.answer, Answer::Rows { .. });
    let truncated = take(&mut faults, FaultKind::Truncated).is_some();
    let worker = state.clone();
    let gzip = state.gzip && accepts_gzip(&request);
    let body = web::block(move || {
        let served = serve(&worker, query, seen_ms, &faults);
        if gzip { compress(&served.body) } else { Ok(served.body) }
    })
    .await;
    let Ok(Ok(body)) = body else {
        return dated(HttpResponse::InternalServerError().finish(), now_ms);
    };
    if is_page {
        state.clock.page_answered();
    }
    let mut response = HttpResponse::Ok();
    describe(&mut response, &state, now_ms, seen_ms, behind.is_some());
    if gzip {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    if truncated { response.body(cut(body)) } else { response.body(body) }
}

pub async fn not_found() -> HttpResponse {
    let body = json!({"code": "not_found", "error": true, "message": "Not found"});
    HttpResponse::NotFound().json(body)
}

/// The faults that hit a request, and how long they hold it up.
struct Faulty {
    faults: Vec<Fault>,
    delay: Duration,
}

impl Faulty {
    fn strike(state: &SimulatorState) -> Self {
        state.requests.fetch_add(1, Ordering::Relaxed);
        let faults = state.faults.strike();
        let slow = faults.iter().filter(|fault| fault.kind == FaultKind::Slow);
        let delay = slow.map(|fault| fault.delay.unwrap_or(DEFAULT_DELAY)).sum();
        Self { faults, delay }
    }
}

fn take(faults: &mut Vec<Fault>, kind: FaultKind) -> Option<Fault> {
    let index = faults.iter().position(|fault| fault.kind == kind)?;
    Some(faults.remove(index))
}

fn serve(state: &SimulatorState, mut query: Query, seen_ms: i64, faults: &[Fault]) -> Served {
    let puts_in = |fault: &&Fault| {
        matches!(fault.kind, FaultKind::MalformedRow | FaultKind::BrokenRow | FaultKind::RepeatedRow)
    };
    for fault in faults {
        match (fault.kind, &mut query.answer) {
            (FaultKind::Capped, _) => query.limit = query.limit.min(fault.rows.unwrap_or(DEFAULT_CAP)),
            (FaultKind::Unordered, Answer::Rows { order, .. }) => *order = RowOrder::SourceReversed,
            _ => {}
        }
    }
    // A page that is asked to be empty has room for none.
    let insertions: Vec<&Fault> = faults.iter().filter(puts_in).filter(|_| query.limit > 0).collect();
    // What is put in comes on top of the page's rows, and the page still keeps to its limit: no row is lost
    // by it.
    query.limit = query.limit.saturating_sub(insertions.len() as u64).max(query.limit.min(1));
    let mut served = answer::answer(&state.table, &query, seen_ms);
    for fault in insertions {
        let at = fault.at.unwrap_or(served.rows.len() / 2).min(served.rows.len());
        let row = match fault.kind {
            FaultKind::RepeatedRow => match served.rows.get(at.saturating_sub(1)) {
                Some(range) => served.body[range.clone()].to_vec(),
                None => continue,
            },
            kind => {
                let turn = state.malformed_rows.fetch_add(1, Ordering::Relaxed);
                let text = if kind == FaultKind::BrokenRow { broken_row } else { malformed_row };
                let row = text(fault, turn);
                state.put_in.lock().insert(row.clone());
                row.into_bytes()
            }
        };
        served = served.with_row(at, &row);
    }
    if faults.iter().any(|fault| fault.kind == FaultKind::Reversed) {
        served = served.reversed();
    }
    served
}

/// Refuses what brings no token, or another one, as the source refuses an invalid token.
fn check_token(
    request: &HttpRequest,
    state: &SimulatorState,
    parameters: &[(String, String)],
) -> Option<HttpResponse> {
    let expected = state.token.as_deref()?;
    let header = request.headers().get("X-App-Token").and_then(|value| value.to_str().ok());
    let parameter =
        parameters.iter().find(|(name, _)| name == "$$app_token").map(|(_, value)| value.as_str());
    if header.or(parameter) == Some(expected) {
        return None;
    }
    let body = json!({"code": "permission_denied", "error": true, "message": "Invalid app_token specified"});
    Some(HttpResponse::Forbidden().json(body))
}

/// Returns the answer that comes instead of a page.
fn failure(fault: &Fault) -> Option<HttpResponse> {
    match fault.kind {
        FaultKind::TooManyRequests => {
            let seconds = fault.retry_after.unwrap_or(DEFAULT_RETRY_AFTER).as_secs_f64().ceil();
            let body = json!({"code": "too_many_requests", "error": true, "message": "Throttled: too many requests"});
            Some(HttpResponse::TooManyRequests().insert_header((RETRY_AFTER, seconds.to_string())).json(body))
        }
        FaultKind::ServerError => {
            let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
            let body = json!({"code": "internal_error", "error": true, "message": "Internal error"});
            Some(HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)).json(body))
        }
        FaultKind::NotJson => {
            let body = "<!DOCTYPE html><html><body>We'll be right back</body></html>";
            Some(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html")).body(body))
        }
        FaultKind::Slow
        | FaultKind::Truncated
        | FaultKind::MalformedRow
        | FaultKind::BrokenRow
        | FaultKind::RepeatedRow
        | FaultKind::Capped
        | FaultKind::Unordered
        | FaultKind::Reversed
        | FaultKind::LaggingReplica => None,
    }
}

fn refused(error: &QueryError) -> HttpResponse {
    HttpResponse::BadRequest()
        .insert_header((CONTENT_TYPE, "application/json; charset=utf-8"))
        .body(error.body())
}

fn dated(mut response: HttpResponse, now_ms: i64) -> HttpResponse {
    if let Ok(value) = http_date(now_ms).parse() {
        response.headers_mut().insert(DATE, value);
    }
    response
}

fn describe(
    response: &mut HttpResponseBuilder,
    state: &SimulatorState,
    now_ms: i64,
    seen_ms: i64,
    out_of_date: bool,
) {
    let fields: Vec<&str> = state.table.columns().names().collect();
    response
        .insert_header((CONTENT_TYPE, "application/json;charset=utf-8"))
        .insert_header((DATE, http_date(now_ms)))
        .insert_header(("X-SODA2-Fields", serde_json::Value::from(fields).to_string()))
        .insert_header(("X-SODA2-Data-Out-Of-Date", out_of_date.to_string()))
        .insert_header(("X-SODA2-Truth-Last-Modified", http_date(state.table.modified_at_ms(now_ms))))
        .insert_header(("X-SODA2-Secondary-Last-Modified", http_date(state.table.modified_at_ms(seen_ms))));
}

fn http_date(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}

fn accepts_gzip(request: &HttpRequest) -> bool {
    let header = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    header.is_some_and(|value| value.contains("gzip"))
}

fn compress(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 6), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Announces the whole body and breaks off in its middle; the pause lets the first half leave before the end
/// does.
fn cut(body: Vec<u8>) -> SizedStream<impl futures_util::Stream<Item = Result<Bytes, std::io::Error>>> {
    let length = body.len() as u64;
    let half = Bytes::from(body).slice(..(length / 2) as usize);
    let broken = async {
        actix_web::rt::time::sleep(PAUSE_BEFORE_CUT).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    };
    SizedStream::new(length, Box::pin(stream::iter([Ok(half)]).chain(stream::once(broken))))
}
