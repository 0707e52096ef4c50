//! Answers that several operations describe alike.

use utoipa::ToResponse;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Describes a problem.
fn problem(description: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content)
}

/// What everything under `/v1` answers without the token.
pub struct Unauthorized;

impl ToResponse<'_> for Unauthorized {
    fn response() -> (&'static str, RefOr<Response>) {
        let challenge = HeaderBuilder::new()
            .description(Some("Bearer realm=\"nyc311\""))
            .schema(ObjectBuilder::new().schema_type(Type::String))
            .build();
        let response =
            problem("unauthorized: the token is missing or wrong").header("WWW-Authenticate", challenge);
        ("Unauthorized", response.build().into())
    }
}

/// What a body that is not JSON is answered with.
pub struct MalformedJson;

impl ToResponse<'_> for MalformedJson {
    fn response() -> (&'static str, RefOr<Response>) {
        ("MalformedJson", problem("malformed-json: the body is not JSON").build().into())
    }
}

/// What a body is answered with that is sent too slowly.
pub struct BodyLate;

impl ToResponse<'_> for BodyLate {
    fn response() -> (&'static str, RefOr<Response>) {
        ("BodyLate", problem("the body did not come whole in time").build().into())
    }
}

/// What a body is answered with that is too long.
pub struct BodyTooLarge;

impl ToResponse<'_> for BodyTooLarge {
    fn response() -> (&'static str, RefOr<Response>) {
        let response = problem("body-too-large: it has more bytes than http.max_body_bytes");
        ("BodyTooLarge", response.build().into())
    }
}

/// What a body of another type is answered with.
pub struct UnsupportedMediaType;

impl ToResponse<'_> for UnsupportedMediaType {
    fn response() -> (&'static str, RefOr<Response>) {
        let accept = HeaderBuilder::new()
            .description(Some("application/json"))
            .schema(ObjectBuilder::new().schema_type(Type::String))
            .build();
        let response = problem("unsupported-media-type: a body must be application/json in UTF-8");
        ("UnsupportedMediaType", response.header("Accept", accept).build().into())
    }
}

/// What is answered to an id that no poll has.
pub struct PollNotFound;

impl ToResponse<'_> for PollNotFound {
    fn response() -> (&'static str, RefOr<Response>) {
        ("PollNotFound", problem("poll-not-found").build().into())
    }
}

/// What is answered to an id that no reconciliation has.
pub struct ReconciliationNotFound;

impl ToResponse<'_> for ReconciliationNotFound {
    fn response() -> (&'static str, RefOr<Response>) {
        ("ReconciliationNotFound", problem("reconciliation-not-found").build().into())
    }
}

/// What is answered to an id that no fault has.
pub struct FaultNotFound;

impl ToResponse<'_> for FaultNotFound {
    fn response() -> (&'static str, RefOr<Response>) {
        (
            "FaultNotFound",
            problem("fault-not-found: no fault has this id, or it ended long ago").build().into(),
        )
    }
}

/// What everything about faults is answered with where they are switched off.
pub struct FaultsDisabled;

impl ToResponse<'_> for FaultsDisabled {
    fn response() -> (&'static str, RefOr<Response>) {
        ("FaultsDisabled", problem("feature-disabled: faults.enabled is not set").build().into())
    }
}

/// What is answered while there is no database to ask.
pub struct DatabaseAway;

impl ToResponse<'_> for DatabaseAway {
    fn response() -> (&'static str, RefOr<Response>) {
        let seconds = HeaderBuilder::new()
            .description(Some("Seconds"))
            .schema(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)))
            .build();
        let response = problem("dependency-unavailable: the database is away").header("Retry-After", seconds);
        ("DatabaseAway", response.build().into())
    }
}
