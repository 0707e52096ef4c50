//! Submits, shows, lists and cancels polls. All of it is durable in the database; the poller is only woken.

use std::future::Future;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use uuid::Uuid;

use super::list_request::{self, ListRequest};
use super::poll_request;
use super::problem::Problem;
use super::responses::{
    BodyLate, BodyTooLarge, DatabaseAway, MalformedJson, PollNotFound, Unauthorized, UnsupportedMediaType,
};
use super::{ControlState, body};
use crate::documents::{IdempotencyKey, PollDocument, PollListDocument, PollRequest, ProblemDocument};
use crate::store::StoreError;
use crate::store::polls::{Cancel, Poll, PollState, Submitted};
use crate::telemetry::events;

/// How long a request may wait for the database beyond the time that a connection may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Takes a poll in, or finds the one that was asked for before.
#[utoipa::path(
    post,
    path = "/v1/polls",
    operation_id = "submitPoll",
    summary = "Ask for a poll",
    description = "Queues a poll of the window [since, until), or of what changed since the durable cursor. Send an \
                   Idempotency-Key to be able to repeat the request: the same key and body is the same poll, and one \
                   that failed or was cancelled is queued again, where it stopped.",
    tag = "polls",
    params(IdempotencyKey),
    request_body(content = PollRequest, description = "An empty body is {} and needs no Content-Type"),
    responses(
        (
            status = 200,
            description = "The same key and body as before, and that poll has not failed or been cancelled",
            body = PollDocument,
            headers(
                ("Location" = String, description = "The poll's path"),
                (
                    "Retry-After" = u32,
                    description = "Seconds after which to ask again; there while the poll is unfinished"
                ),
            ),
        ),
        (
            status = 202,
            description = "Queued: a new poll, or one that failed or was cancelled and goes on (attempt + 1)",
            body = PollDocument,
            headers(
                ("Location" = String, description = "The poll's path"),
                (
                    "Retry-After" = u32,
                    description = "Seconds after which to ask again; there while the poll is unfinished"
                ),
            ),
        ),
        (status = 400, response = MalformedJson),
        (status = 401, response = Unauthorized),
        (status = 408, response = BodyLate),
        (status = 413, response = BodyTooLarge),
        (status = 415, response = UnsupportedMediaType),
        (
            status = 422,
            description = "invalid-field, unknown-field, or idempotency-conflict: the key was used with another body",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
        (
            status = 429,
            description = "queue-full",
            body = ProblemDocument,
            content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds")),
        ),
        (status = 503, response = DatabaseAway),
    ),
)]
pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<ControlState>,
) -> Result<HttpResponse, Problem> {
    let settings = &state.settings;
    let body = body::json(&request, payload, settings.http.max_body_bytes).await?;
    let new = poll_request::new_poll(&request, body)?;
    let (status, poll) =
        match bounded(&state, state.store.submit_poll(&new, settings.poll.max_queued)).await? {
            Submitted::Created(poll) | Submitted::Resumed(poll) => (StatusCode::ACCEPTED, poll),
            Submitted::Existing(poll) => (StatusCode::OK, poll),
            Submitted::KeyConflict => return Err(Problem::idempotency_conflict("poll")),
            Submitted::QueueFull => return Err(Problem::queue_full("polls", settings.poll.max_queued)),
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

/// Shows a poll.
#[utoipa::path(
    get,
    path = "/v1/polls/{id}",
    operation_id = "getPoll",
    summary = "Show a poll, whatever its state",
    description = "Ask again after Retry-After until the poll has ended.",
    tag = "polls",
    params(("id" = Uuid, Path, description = "The poll's id")),
    responses(
        (
            status = 200,
            description = "The poll",
            body = PollDocument,
            headers((
                "Retry-After" = u32,
                description = "Seconds after which to ask again; there while the poll is unfinished"
            )),
        ),
        (status = 401, response = Unauthorized),
        (status = 404, response = PollNotFound),
        (status = 503, response = DatabaseAway),
    ),
)]
pub async fn show(id: web::Path<String>, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    let poll = bounded(&state, state.store.poll(poll_id(&id)?)).await?;
    poll.map(|poll| document(StatusCode::OK, &poll)).ok_or_else(|| Problem::poll_not_found(&id))
}

/// Cancels a poll, or asks the one that runs to stop.
#[utoipa::path(
    delete,
    path = "/v1/polls/{id}",
    operation_id = "cancelPoll",
    summary = "Cancel a poll",
    description = "A poll that runs ends where it is; ask for it until it is cancelled.",
    tag = "polls",
    params(("id" = Uuid, Path, description = "The poll's id")),
    responses(
        (
            status = 200,
            description = "It was queued, or cancelled before, and is cancelled",
            body = PollDocument,
            headers((
                "Retry-After" = u32,
                description = "Seconds after which to ask again; there while the poll is unfinished"
            )),
        ),
        (
            status = 202,
            description = "It runs and has been asked to stop",
            body = PollDocument,
            headers((
                "Retry-After" = u32,
                description = "Seconds after which to ask again; there while the poll is unfinished"
            )),
        ),
        (status = 401, response = Unauthorized),
        (status = 404, response = PollNotFound),
        (
            status = 409,
            description = "poll-finished: it has succeeded or failed",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
        (status = 503, response = DatabaseAway),
    ),
)]
pub async fn cancel(id: web::Path<String>, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    let (status, poll) = match bounded(&state, state.store.cancel_poll(poll_id(&id)?)).await? {
        Cancel::Cancelled { cancelled: poll, now } => {
            if now {
                events::poll_entered(PollState::Cancelled);
            }
            (StatusCode::OK, poll)
        }
        Cancel::Requested(poll) => (StatusCode::ACCEPTED, poll),
        Cancel::Finished(poll) => return Err(Problem::poll_finished(poll.state.as_str())),
        Cancel::Unknown => return Err(Problem::poll_not_found(&id)),
    };
    tracing::info!(poll_id = %poll.id, state = poll.state.as_str(), "poll cancellation asked for");
    state.view.wake_poller();
    Ok(document(status, &poll))
}

/// Lists polls.
#[utoipa::path(
    get,
    path = "/v1/polls",
    operation_id = "listPolls",
    summary = "List polls, newest first",
    description = "Ask for the next page with next_page_token of the page before, until it is null.",
    tag = "polls",
    params(ListRequest<PollState>),
    responses(
        (status = 200, description = "A page of polls", body = PollListDocument),
        (status = 401, response = Unauthorized),
        (
            status = 422,
            description = "invalid-field or unknown-field, about a parameter",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
        (status = 503, response = DatabaseAway),
    ),
)]
pub async fn list(request: HttpRequest, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    let wanted = list_request::of_query(&request)?;
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(wanted.limit) + 1;
    let mut polls = bounded(&state, state.store.list_polls(&wanted.states, limit, wanted.before)).await?;
    let next_page_token = list_request::page(&mut polls, wanted.limit, |poll| poll.id);
    let polls = polls.iter().map(PollDocument::from).collect();
    Ok(HttpResponse::Ok().json(PollListDocument { polls, next_page_token }))
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

/// Waits for the database, as long as a caller may have to.
pub(super) async fn bounded<T>(
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
