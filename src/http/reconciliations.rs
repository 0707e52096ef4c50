//! Submits, shows, lists and cancels reconciliations, as polls are.

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde_json::Value;
use uuid::Uuid;

use super::fields::{Fields, idempotency_key};
use super::list_request::{self, ListRequest};
use super::polls::bounded;
use super::problem::Problem;
use super::responses::{
    BodyLate, BodyTooLarge, DatabaseAway, MalformedJson, ReconciliationNotFound, Unauthorized,
    UnsupportedMediaType,
};
use super::{ControlState, body};
use crate::documents::{
    IdempotencyKey, ProblemDocument, ReconciliationDocument, ReconciliationListDocument,
    ReconciliationRequest,
};
use crate::reconciliation::{Month, ReconciliationState};
use crate::store::reconciliations::{Cancel, NewReconciliation, Reconciliation, Submitted};

/// Takes a reconciliation in, or finds the one that was asked for before.
#[utoipa::path(
    post,
    path = "/v1/reconciliations",
    operation_id = "submitReconciliation",
    summary = "Ask for a reconciliation",
    description = "Holds what the source counts by month of created_date against the tables, polls the months that \
                   differ again, and marks rows that are gone from the source. Send an Idempotency-Key to be able to \
                   repeat the request: the same key and body is the same reconciliation, and one that failed or was \
                   cancelled begins again.",
    tag = "reconciliations",
    params(IdempotencyKey),
    request_body(content = ReconciliationRequest, description = "An empty body is {} and needs no Content-Type"),
    responses(
        (
            status = 200,
            description = "The same key and body as before, and that one has not failed or been cancelled",
            body = ReconciliationDocument,
            headers(
                ("Location" = String, description = "The reconciliation's path"),
                ("Retry-After" = u32, description = "Seconds after which to ask again; there while it is unfinished"),
            ),
        ),
        (
            status = 202,
            description = "Queued: a new one, or one that failed or was cancelled and begins again",
            body = ReconciliationDocument,
            headers(
                ("Location" = String, description = "The reconciliation's path"),
                ("Retry-After" = u32, description = "Seconds after which to ask again; there while it is unfinished"),
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
    let new = new_reconciliation(&request, body)?;
    let max_queued = settings.poll.max_queued;
    let submitted = bounded(&state, state.store.submit_reconciliation(&new, max_queued)).await?;
    let (status, reconciliation) = match submitted {
        Submitted::Created(reconciliation) | Submitted::Resumed(reconciliation) => {
            (StatusCode::ACCEPTED, reconciliation)
        }
        Submitted::Existing(reconciliation) => (StatusCode::OK, reconciliation),
        Submitted::KeyConflict => return Err(Problem::idempotency_conflict("reconciliation")),
        Submitted::QueueFull => return Err(Problem::queue_full("reconciliations", max_queued)),
    };
    if status == StatusCode::ACCEPTED {
        tracing::info!(reconciliation_id = %reconciliation.id, attempt = reconciliation.attempt, "reconciliation queued");
        state.view.wake_poller();
    }
    let mut response = document(status, &reconciliation, &state).await?;
    if let Ok(location) = format!("/v1/reconciliations/{}", reconciliation.id).parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Shows a reconciliation.
#[utoipa::path(
    get,
    path = "/v1/reconciliations/{id}",
    operation_id = "getReconciliation",
    summary = "Show a reconciliation, whatever its state",
    description = "Ask again after Retry-After until it has ended.",
    tag = "reconciliations",
    params(("id" = Uuid, Path, description = "The reconciliation's id")),
    responses(
        (
            status = 200,
            description = "The reconciliation",
            body = ReconciliationDocument,
            headers((
                "Retry-After" = u32,
                description = "Seconds after which to ask again; there while it is unfinished"
            )),
        ),
        (status = 401, response = Unauthorized),
        (status = 404, response = ReconciliationNotFound),
        (status = 503, response = DatabaseAway),
    ),
)]
pub async fn show(id: web::Path<String>, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    let found = bounded(&state, state.store.reconciliation(reconciliation_id(&id)?)).await?;
    match found {
        Some(reconciliation) => document(StatusCode::OK, &reconciliation, &state).await,
        None => Err(Problem::reconciliation_not_found(&id)),
    }
}

/// Cancels a reconciliation, or asks the one that runs to stop.
#[utoipa::path(
    delete,
    path = "/v1/reconciliations/{id}",
    operation_id = "cancelReconciliation",
    summary = "Cancel a reconciliation",
    description = "One that runs ends where it is, and so does the poll that it waits for; ask until it is cancelled.",
    tag = "reconciliations",
    params(("id" = Uuid, Path, description = "The reconciliation's id")),
    responses(
        (
            status = 200,
            description = "It was queued, or cancelled before, and is cancelled",
            body = ReconciliationDocument,
            headers((
                "Retry-After" = u32,
                description = "Seconds after which to ask again; there while it is unfinished"
            )),
        ),
        (
            status = 202,
            description = "It runs and has been asked to stop",
            body = ReconciliationDocument,
            headers((
                "Retry-After" = u32,
                description = "Seconds after which to ask again; there while it is unfinished"
            )),
        ),
        (status = 401, response = Unauthorized),
        (status = 404, response = ReconciliationNotFound),
        (
            status = 409,
            description = "reconciliation-finished: it has succeeded or failed",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
        (status = 503, response = DatabaseAway),
    ),
)]
pub async fn cancel(id: web::Path<String>, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    let cancel = bounded(&state, state.store.cancel_reconciliation(reconciliation_id(&id)?)).await?;
    let (status, reconciliation) = match cancel {
        Cancel::Cancelled { cancelled, .. } => (StatusCode::OK, cancelled),
        Cancel::Requested(reconciliation) => (StatusCode::ACCEPTED, reconciliation),
        Cancel::Finished(ended) => return Err(Problem::reconciliation_finished(ended.state.as_str())),
        Cancel::Unknown => return Err(Problem::reconciliation_not_found(&id)),
    };
    tracing::info!(reconciliation_id = %reconciliation.id, "reconciliation cancellation asked for");
    document(status, &reconciliation, &state).await
}

/// Lists reconciliations.
#[utoipa::path(
    get,
    path = "/v1/reconciliations",
    operation_id = "listReconciliations",
    summary = "List reconciliations, newest first",
    description = "Ask for the next page with next_page_token of the page before, until it is null. Each is shown \
                   without its months.",
    tag = "reconciliations",
    params(ListRequest<ReconciliationState>),
    responses(
        (status = 200, description = "A page of reconciliations", body = ReconciliationListDocument),
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
    let found = state.store.list_reconciliations(&wanted.states, limit, wanted.before);
    let mut found = bounded(&state, found).await?;
    let next_page_token = list_request::page(&mut found, wanted.limit, |reconciliation| reconciliation.id);
    let reconciliations = found.iter().map(|found| ReconciliationDocument::new(found, &[])).collect();
    Ok(HttpResponse::Ok().json(ReconciliationListDocument { reconciliations, next_page_token }))
}

/// Reads a submission, naming everything that is wrong with it at once.
fn new_reconciliation(request: &HttpRequest, body: Value) -> Result<NewReconciliation, Problem> {
    let idempotency_key = idempotency_key(request)?;
    let mut fields = Fields::of(&body, &ReconciliationRequest::FIELDS)?;
    let (since, until) = (fields.moment("since"), fields.moment("until"));
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        fields.refuse_stated("since", "is not before until, so there is no month to compare");
    }
    // Whole months: the source counts no others.
    let since_month = since.and_then(|since| Some(Month::containing(since).bounds()?.0));
    let until_month = until.and_then(|until| {
        let (begins, ends) = Month::containing(until).bounds()?;
        Some(if begins == until { until } else { ends })
    });
    let (since, until) = fields.accept((since_month, until_month))?;
    Ok(NewReconciliation { idempotency_key, request: body, since, until })
}

/// Shows one with its months; while it is unfinished, with the time after which asking again may tell
/// something new.
async fn document(
    status: StatusCode,
    reconciliation: &Reconciliation,
    state: &ControlState,
) -> Result<HttpResponse, Problem> {
    let months = bounded(state, state.store.reconciled_months(reconciliation.id)).await?;
    let mut response = HttpResponseBuilder::new(status);
    if !reconciliation.state.has_ended() {
        response.insert_header((RETRY_AFTER, "2"));
    }
    Ok(response.json(ReconciliationDocument::new(reconciliation, &months)))
}

/// An id that is none cannot be the id of a reconciliation.
fn reconciliation_id(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::reconciliation_not_found(id))
}
