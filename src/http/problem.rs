//! Errors as callers get them: problem documents of RFC 9457.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use serde_json::Value;

use crate::store::{StoreError, StoreErrorKind};

/// How long a caller should leave a database alone that is away.
const RETRY_UNAVAILABLE_SECONDS: u32 = 5;
/// How long a caller should leave a full queue alone: about as long as a poll takes.
const RETRY_QUEUE_SECONDS: u32 = 30;

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer into the body, or `/` and the name of a query parameter or header.
    pub pointer: String,
    pub value: Value,
    pub detail: String,
}

/// An error answer in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    /// The last part of the type's URN; none for what HTTP says well enough by itself.
    code: Option<&'static str>,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(header::HeaderName, String)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    errors: &'a [FieldError],
}

impl Problem {
    fn new(
        status: StatusCode,
        code: Option<&'static str>,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, code, title, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    pub fn malformed_json(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("malformed-json"), "the body is not JSON", detail)
    }

    /// Names every field that is unknown or wrong; unknown ones give the problem its type, since they may explain the others.
    pub fn fields(unknown: Vec<FieldError>, invalid: Vec<FieldError>) -> Self {
        let (code, title) = if unknown.is_empty() {
            ("invalid-field", "a field is not valid")
        } else {
            ("unknown-field", "a field is not known")
        };
        let errors: Vec<_> = unknown.into_iter().chain(invalid).collect();
        let detail = errors
            .iter()
            .map(|error| format!("{}: {}", error.pointer, error.detail))
            .collect::<Vec<_>>()
            .join("; ");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Some(code), title, detail).with_errors(errors)
    }

    pub fn invalid_field(pointer: &str, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::fields(
            Vec::new(),
            vec![FieldError { pointer: pointer.to_owned(), value: value.into(), detail: detail.into() }],
        )
    }

    pub fn idempotency_conflict() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("idempotency-conflict"),
            "the idempotency key belongs to another request",
            "a poll with this Idempotency-Key was asked for with another body; send the same body, or another key",
        )
    }

    pub fn poll_not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Some("poll-not-found"),
            "there is no such poll",
            format!("no poll has the id {id:?}"),
        )
    }

    pub fn poll_finished(state: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            Some("poll-finished"),
            "the poll has ended",
            format!("the poll is {state}, so there is nothing to cancel"),
        )
    }

    pub fn queue_full(max_queued: u32) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Some("queue-full"),
            "as many polls wait as may",
            format!("{max_queued} polls wait already (poll.max_queued); try again when one has run"),
        )
        .with_header(header::RETRY_AFTER, RETRY_QUEUE_SECONDS.to_string())
    }

    /// Refuses a caller without the token (`given` is false) or with a wrong one.
    pub fn unauthorized(given: bool) -> Self {
        let (detail, challenge) = if given {
            ("the token is not the one of http.token", "Bearer realm=\"nyc311\", error=\"invalid_token\"")
        } else {
            (
                "send the header `Authorization: Bearer TOKEN` with the token of http.token",
                "Bearer realm=\"nyc311\"",
            )
        };
        Self::new(StatusCode::UNAUTHORIZED, Some("unauthorized"), "a token is needed", detail)
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }

    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some("unsupported-media-type"),
            "the body is not application/json",
            detail,
        )
        .with_header(header::ACCEPT, "application/json")
    }

    pub fn body_too_large(max_bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Some("body-too-large"),
            "the body is too large",
            format!("a body may have {max_bytes} bytes (http.max_body_bytes)"),
        )
    }

    pub fn database_away(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Some("dependency-unavailable"),
            "the database is away",
            detail,
        )
        .with_header(header::RETRY_AFTER, RETRY_UNAVAILABLE_SECONDS.to_string())
    }

    pub fn method_not_allowed(method: &str, allowed: &'static str) -> Self {
        let detail = format!("{method} is not possible here; {allowed} are");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, None, "Method Not Allowed", detail)
            .with_header(header::ALLOW, allowed)
    }

    /// What arrived of the body says nothing about what is still to come, so the connection is of no more use.
    pub fn request_timeout(limit: Duration) -> Self {
        let detail = format!("the body was not whole within {} s; send it again", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, None, "Request Timeout", detail)
            .with_header(header::CONNECTION, "close")
    }

    pub fn no_such_resource() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            None,
            "Not Found",
            "there is nothing at this path; /openapi.json lists what there is",
        )
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            None,
            "Internal Server Error",
            "the service failed; its log says why",
        )
    }

    /// Makes the answer; `instance` is the path of the request.
    pub fn response(&self, instance: &str) -> HttpResponse {
        let code =
            self.code.map_or_else(|| "about:blank".to_owned(), |code| format!("urn:nyc311:problem:{code}"));
        let document = Document {
            r#type: code,
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            errors: &self.errors,
        };
        let mut response = HttpResponseBuilder::new(self.status);
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.as_str()));
        }
        response
            .content_type("application/problem+json")
            .body(serde_json::to_string(&document).unwrap_or_default())
    }
}

impl From<StoreError> for Problem {
    /// Tells a database that is away, or not ready for this program, from a fault of the program. Callers learn no internals.
    fn from(error: StoreError) -> Self {
        let passing = match error.kind() {
            StoreErrorKind::Unavailable | StoreErrorKind::TimedOut | StoreErrorKind::Conflict => true,
            StoreErrorKind::ForeignDatabase | StoreErrorKind::UnfitDatabase => true,
            // The role, the database or the tables are not there: somebody is setting it up.
            StoreErrorKind::SignIn | StoreErrorKind::NoSuchDatabase | StoreErrorKind::NoSuchTable => true,
            StoreErrorKind::Refused | StoreErrorKind::MissingPrivilege | StoreErrorKind::Unknown => false,
        };
        if passing {
            tracing::warn!(%error, "a request could not be answered, the database is away");
            Problem::database_away(
                "the database does not answer; the request may have been carried out, send it again with its Idempotency-Key",
            )
        } else {
            tracing::error!(%error, "a request failed");
            Problem::internal()
        }
    }
}
