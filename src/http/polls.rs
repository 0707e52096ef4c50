//! Submits, shows, lists and cancels polls. All of it is durable in the database; the poller is only woken.

use std::future::Future;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Serialize;
use uuid::Uuid;

use super::ControlState;
use super::body;
use super::poll_document::PollDocument;
use super::poll_request;
use super::problem::Problem;
use crate::store::StoreError;
use crate::store::polls::{Cancel, Poll, PollState, Submitted};
use crate::telemetry::events;

/// How long a request may wait for the database beyond the time that a connection may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<ControlState>,
) -> HttpResponse {
    answer(&request, submit_poll(&request, payload, &state).await)
}

async fn submit_poll(
    request: &HttpRequest,
    payload: web::Payload,
    state: &ControlState,
) -> Result<HttpResponse, Problem> {
    let settings = &state.settings;
    let body = body::json(request, payload, settings.http.max_body_bytes).await?;
    let new = poll_request::new_poll(request, body)?;
    let (status, poll) = match bounded(state, state.store.submit_poll(&new, settings.poll.max_queued)).await?
    {
        Submitted::Created(poll) | Submitted::Resumed(poll) => (StatusCode::ACCEPTED, poll),
        Submitted::Existing(poll) => (StatusCode::OK, poll),
        Submitted::KeyConflict => return Err(Problem::idempotency_conflict()),
        Submitted::QueueFull => return Err(Problem::queue_full(settings.poll.max_queued)),
    };
    if status == StatusCode::ACCEPTED {
        events::poll_entered(PollState::Queued);
        tracing::info!(poll_id = %poll.id, attempt = poll.attempt, trigger = poll.trigger.as_str(), "poll queued");
        state.view.wake_poller();
    }
    let mut response = document(status, &poll);
    if let Ok(location) = format!("/v1/polls/{}", poll.id).parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub async fn show(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<ControlState>,
) -> HttpResponse {
    answer(&request, show_poll(&id, &state).await)
}

async fn show_poll(id: &str, state: &ControlState) -> Result<HttpResponse, Problem> {
    let poll = bounded(state, state.store.poll(poll_id(id)?)).await?;
    poll.map(|poll| document(StatusCode::OK, &poll)).ok_or_else(|| Problem::poll_not_found(id))
}

pub async fn cancel(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<ControlState>,
) -> HttpResponse {
    answer(&request, cancel_poll(&id, &state).await)
}

async fn cancel_poll(id: &str, state: &ControlState) -> Result<HttpResponse, Problem> {
    let (status, poll) = match bounded(state, state.store.cancel_poll(poll_id(id)?)).await? {
        Cancel::Cancelled { poll, now } => {
            if now {
                events::poll_entered(PollState::Cancelled);
            }
            (StatusCode::OK, poll)
        }
        Cancel::Requested(poll) => (StatusCode::ACCEPTED, poll),
        Cancel::Finished(poll) => return Err(Problem::poll_finished(poll.state.as_str())),
        Cancel::Unknown => return Err(Problem::poll_not_found(id)),
    };
    tracing::info!(poll_id = %poll.id, state = poll.state.as_str(), "poll cancellation asked for");
    state.view.wake_poller();
    Ok(document(status, &poll))
}

pub async fn list(request: HttpRequest, state: web::Data<ControlState>) -> HttpResponse {
    answer(&request, list_polls(&request, &state).await)
}

#[derive(Serialize)]
struct ListDocument<'a> {
    polls: Vec<PollDocument<'a>>,
    next_page_token: Option<String>,
}

async fn list_polls(request: &HttpRequest, state: &ControlState) -> Result<HttpResponse, Problem> {
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| Problem::invalid_field("", request.query_string(), error.to_string()))?;
    let wanted = poll_request::list(&query)?;
    // One more than asked for tells whether there is a next page.
    let polls =
        bounded(state, state.store.list_polls(&wanted.states, wanted.limit + 1, wanted.before)).await?;
    let shown = usize::try_from(wanted.limit).unwrap_or(usize::MAX).min(polls.len());
    let next_page_token =
        polls[..shown].last().filter(|_| shown < polls.len()).map(|poll| poll_request::page_token(poll.id));
    let polls = polls[..shown].iter().map(PollDocument::from).collect();
    Ok(HttpResponse::Ok().json(ListDocument { polls, next_page_token }))
}

/// Shows a poll; while it is unfinished, with the time after which asking again may tell something new.
fn document(status: StatusCode, poll: &Poll) -> HttpResponse {
    let mut response = HttpResponseBuilder::new(status);
    match poll.state {
        PollState::Queued => response.insert_header((RETRY_AFTER, "2")),
        PollState::Running | PollState::Storing => response.insert_header((RETRY_AFTER, "1")),
        PollState::Succeeded | PollState::Failed | PollState::Cancelled => &mut response,
    };
    response.json(PollDocument::from(poll))
}

/// An id that is none cannot be the id of a poll.
fn poll_id(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::poll_not_found(id))
}

fn answer(request: &HttpRequest, result: Result<HttpResponse, Problem>) -> HttpResponse {
    result.unwrap_or_else(|problem| problem.response(request.path()))
}

async fn bounded<T>(
    state: &ControlState,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Problem> {
    let limit = state.settings.database.connect_timeout + ANSWER_WITHIN;
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Problem::from),
        Err(_) => {
            Err(Problem::database_away("the database took too long; the request may have been carried out"))
        }
    }
}
