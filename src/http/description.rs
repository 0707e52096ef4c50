//! The description of the API, OpenAPI 3.1, generated from the documents and from the operations.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as Description, PathItem, RefOr};
use utoipa::{Modify, OpenApi};

use super::responses::{
    BodyLate, BodyTooLarge, DatabaseAway, FaultNotFound, FaultsDisabled, MalformedJson, PollNotFound,
    ReconciliationNotFound, Unauthorized, UnsupportedMediaType,
};
use super::{faults, health, pipeline, polls, reconciliations};

/// The description as it is served; it is the same as long as the program is.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| Api::openapi().to_json().unwrap_or_default());

#[derive(OpenApi)]
#[openapi(
    info(
        title = "nyc311 control API",
        version = "1",
        description = "Polls of New York's 311 service requests, and the pipeline that brings them into PostgreSQL. \
                       GET answers HEAD too. Errors are problem documents (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "http://127.0.0.1:8311")),
    security(("token" = [])),
    paths(
        polls::submit,
        polls::list,
        polls::show,
        polls::cancel,
        reconciliations::submit,
        reconciliations::list,
        reconciliations::show,
        reconciliations::cancel,
        pipeline::show,
        faults::arm,
        faults::list,
        faults::show,
        faults::clear_all,
        faults::clear,
        health::alive,
        health::ready,
        health::metrics,
        show,
    ),
    components(responses(
        Unauthorized, MalformedJson, BodyLate, BodyTooLarge, UnsupportedMediaType, PollNotFound,
        ReconciliationNotFound, FaultNotFound, FaultsDisabled,
        DatabaseAway
    )),
    modifiers(&WhatHolds),
)]
struct Api;

/// Adds what is true of every document, and what no type says.
struct WhatHolds;

impl Modify for WhatHolds {
    fn modify(&self, description: &mut Description) {
        if let Some(components) = &mut description.components {
            components.add_security_scheme("token", token());
            components.schemas.values_mut().for_each(state_every_field);
        }
        let operations = description.paths.paths.values_mut().flat_map(operations);
        for body in operations.filter_map(|operation| operation.request_body.as_mut()) {
            // An empty body is `{}`.
            body.required = Some(utoipa::openapi::Required::False);
        }
    }
}

fn token() -> SecurityScheme {
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.description = Some("The setting http.token; needed under /v1 when it is set".to_owned());
    SecurityScheme::Http(token)
}

/// Every field of an answer is always there, null where it has no value, and there are no others. The body of
/// a request is described by hand, and no object.
fn state_every_field(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema
        && !object.properties.is_empty()
    {
        object.required = object.properties.keys().cloned().collect();
        object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.post, &mut path.delete].into_iter().flatten()
}

/// Answers with the description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getDescription",
    summary = "This document",
    description = "It is generated from what the service answers with.",
    tag = "description",
    security(),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn show() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI.as_str())
}
