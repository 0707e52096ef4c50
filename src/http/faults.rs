//! Arms, shows and clears faults, where `faults.enabled` allows it. They are of this process alone, and live
//! no longer than it.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::Problem;
use super::responses::{
    BodyLate, BodyTooLarge, FaultNotFound, FaultsDisabled, MalformedJson, Unauthorized, UnsupportedMediaType,
};
use super::{ControlState, body, fault_request};
use crate::documents::{FaultDocument, FaultListDocument, ProblemDocument};
use crate::faults::{self, FaultRequest};

fn require_enabled(state: &ControlState) -> Result<(), Problem> {
    if state.settings.faults.enabled { Ok(()) } else { Err(Problem::faults_disabled()) }
}

/// Arms a fault.
#[utoipa::path(
    post,
    path = "/v1/faults",
    operation_id = "armFault",
    summary = "Break this process on purpose",
    description = "Only where faults.enabled is set. The fault ends when it has struck `count` times, when `expires_in` has \
                   passed, or when it is cleared.",
    tag = "faults",
    request_body(content = FaultRequest),
    responses(
        (
            status = 201,
            description = "Armed",
            body = FaultDocument,
            headers(("Location" = String, description = "The fault's path")),
        ),
        (status = 400, response = MalformedJson),
        (status = 401, response = Unauthorized),
        (status = 403, response = FaultsDisabled),
        (status = 408, response = BodyLate),
        (
            status = 409,
            description = "too-many-faults: as many are armed as may be",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
        (status = 413, response = BodyTooLarge),
        (status = 415, response = UnsupportedMediaType),
        (
            status = 422,
            description = "invalid-field, unknown-field: each is named, with what to write",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
    ),
)]
pub async fn arm(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<ControlState>,
) -> Result<HttpResponse, Problem> {
    require_enabled(&state)?;
    let body = body::json(&request, payload, state.settings.http.max_body_bytes).await?;
    let fault = fault_request::fault(&body)?;
    let armed = faults::arm(fault).map_err(|error| Problem::too_many_faults(error.to_string()))?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/v1/faults/{}", armed.id)))
        .json(FaultDocument::from(armed)))
}

/// Lists what is armed, what was, and the names of what can be.
#[utoipa::path(
    get,
    path = "/v1/faults",
    operation_id = "listFaults",
    summary = "Show what is armed in this process, and what can be",
    description = "Also what has ended lately, and how often each was visited and has struck.",
    tag = "faults",
    responses(
        (status = 200, description = "Faults, points and stages", body = FaultListDocument),
        (status = 401, response = Unauthorized),
        (status = 403, response = FaultsDisabled),
    ),
)]
pub async fn list(state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    require_enabled(&state)?;
    Ok(HttpResponse::Ok().json(FaultListDocument::new(faults::armed(), faults::ended())))
}

/// Shows one fault.
#[utoipa::path(
    get,
    path = "/v1/faults/{id}",
    operation_id = "getFault",
    summary = "Show a fault that is armed, or has ended lately",
    tag = "faults",
    params(("id" = u64, Path, description = "The fault's id")),
    responses(
        (status = 200, description = "The fault", body = FaultDocument),
        (status = 401, response = Unauthorized),
        (status = 403, response = FaultsDisabled),
        (status = 404, response = FaultNotFound),
    ),
)]
pub async fn show(id: web::Path<String>, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    require_enabled(&state)?;
    let fault = id.parse().ok().and_then(faults::find).ok_or_else(|| Problem::fault_not_found(&id))?;
    Ok(HttpResponse::Ok().json(FaultDocument::from(fault)))
}

/// Clears all faults.
#[utoipa::path(
    delete,
    path = "/v1/faults",
    operation_id = "clearFaults",
    summary = "Clear all faults of this process",
    description = "What hangs goes on; a delay that has begun runs to its end.",
    tag = "faults",
    responses(
        (status = 204, description = "Nothing is armed any more"),
        (status = 401, response = Unauthorized),
        (status = 403, response = FaultsDisabled),
        (
            status = 422,
            description = "unknown-field: there is no parameter that would leave some armed",
            body = ProblemDocument,
            content_type = "application/problem+json",
        ),
    ),
)]
pub async fn clear_all(
    request: HttpRequest,
    state: web::Data<ControlState>,
) -> Result<HttpResponse, Problem> {
    require_enabled(&state)?;
    fault_request::no_parameters(request.query_string())?;
    faults::clear(None);
    Ok(HttpResponse::NoContent().finish())
}

/// Clears one fault.
#[utoipa::path(
    delete,
    path = "/v1/faults/{id}",
    operation_id = "clearFault",
    summary = "Clear a fault",
    description = "What hangs goes on; a delay that has begun runs to its end.",
    tag = "faults",
    params(("id" = u64, Path, description = "The fault's id")),
    responses(
        (status = 204, description = "It is armed no longer"),
        (status = 401, response = Unauthorized),
        (status = 403, response = FaultsDisabled),
        (status = 404, response = FaultNotFound),
    ),
)]
pub async fn clear(id: web::Path<String>, state: web::Data<ControlState>) -> Result<HttpResponse, Problem> {
    require_enabled(&state)?;
    // Of what has ended nothing is left to clear, and nobody is told that it failed.
    match id.parse().ok().filter(|id| faults::find(*id).is_some()) {
        Some(id) => faults::clear(Some(id)),
        None => return Err(Problem::fault_not_found(&id)),
    };
    Ok(HttpResponse::NoContent().finish())
}
