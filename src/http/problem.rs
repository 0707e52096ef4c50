//! Errors in the making: each kind with its status, its texts and its headers.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::Value;

use crate::documents::{FieldError, IdempotencyKey, KeyFault, ProblemCode, ProblemDocument};
use crate::store::{StoreError, StoreErrorKind};

/// How long a caller should leave a database alone that is away.
const RETRY_UNAVAILABLE_SECONDS: u32 = 5;
/// How long a caller should leave a full queue alone: about as long as a poll takes.
const RETRY_QUEUE_SECONDS: u32 = 30;

/// Why a request is refused, or could not be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    /// None for what HTTP says well enough by itself.
    code: Option<ProblemCode>,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(header::HeaderName, String)>,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: Option<ProblemCode>,
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
        Self::new(StatusCode::BAD_REQUEST, Some(ProblemCode::MalformedJson), "the body is not JSON", detail)
    }

    /// Names every field that is unknown or wrong; unknown ones give the problem its type, since they may
    /// explain the others.
    pub fn fields(unknown: Vec<FieldError>, invalid: Vec<FieldError>) -> Self {
        let (code, title) = if unknown.is_empty() {
            (ProblemCode::InvalidField, "a field is not valid")
        } else {
            (ProblemCode::UnknownField, "a field is not known")
        };
        let errors: Vec<_> = unknown.into_iter().chain(invalid).collect();
        let detail = errors
            .iter()
            .map(|error| match error.pointer.as_str() {
                "" => format!("the body {}", error.detail),
                pointer => format!("{pointer}: {}", error.detail),
            })
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

    /// Refuses a header that is no key.
    pub fn invalid_key(shown: &str, fault: KeyFault) -> Self {
        let detail = match fault {
            KeyFault::Character(_) => "has characters that are not printable ASCII".to_owned(),
            KeyFault::Empty => "is empty".to_owned(),
            KeyFault::TooLong(_) => format!("has more than {} characters", IdempotencyKey::MAX_CHARACTERS),
        };
        Self::invalid_field(&format!("/{}", IdempotencyKey::HEADER), shown, detail)
    }

    pub fn idempotency_conflict(what: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Some(ProblemCode::IdempotencyConflict),
            "the idempotency key belongs to another request",
            format!(
                "a {what} with this Idempotency-Key was asked for with another body; send the same body, or another key"
            ),
        )
    }

    pub fn poll_not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Some(ProblemCode::PollNotFound),
            "there is no such poll",
            format!("no poll has the id {id:?}"),
        )
    }

    pub fn poll_finished(state: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            Some(ProblemCode::PollFinished),
            "the poll has ended",
            format!("the poll is {state}, so there is nothing to cancel"),
        )
    }

    pub fn reconciliation_not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Some(ProblemCode::ReconciliationNotFound),
            "there is no such reconciliation",
            format!("no reconciliation has the id {id:?}"),
        )
    }

    pub fn reconciliation_finished(state: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            Some(ProblemCode::ReconciliationFinished),
            "the reconciliation has ended",
            format!("the reconciliation is {state}, so there is nothing to cancel"),
        )
    }

    pub fn queue_full(what: &str, max_queued: u32) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Some(ProblemCode::QueueFull),
            "as many wait as may",
            format!("{max_queued} {what} wait already (poll.max_queued); try again when one has run"),
        )
        .with_header(header::RETRY_AFTER, RETRY_QUEUE_SECONDS.to_string())
    }

    pub fn faults_disabled() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            Some(ProblemCode::FeatureDisabled),
            "the feature is switched off",
            "faults cannot be armed: faults.enabled is not set; start the service with NYC311_FAULTS__ENABLED=true where it may be broken on purpose",
        )
    }

    pub fn fault_not_found(id: &str) -> Self {
        let detail = format!("no fault has the id {id:?}; GET /v1/faults lists them");
        Self::new(StatusCode::NOT_FOUND, Some(ProblemCode::FaultNotFound), "there is no such fault", detail)
    }

    pub fn too_many_faults(detail: String) -> Self {
        let title = "as many faults are armed as may be";
        Self::new(StatusCode::CONFLICT, Some(ProblemCode::TooManyFaults), title, detail)
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
        Self::new(StatusCode::UNAUTHORIZED, Some(ProblemCode::Unauthorized), "a token is needed", detail)
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }

    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some(ProblemCode::UnsupportedMediaType),
            "the body is not application/json",
            detail,
        )
        .with_header(header::ACCEPT, "application/json")
    }

    pub fn body_too_large(max_bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Some(ProblemCode::BodyTooLarge),
            "the body is too large",
            format!("a body may have {max_bytes} bytes (http.max_body_bytes)"),
        )
    }

    pub fn database_away(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Some(ProblemCode::DependencyUnavailable),
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

    /// What arrived of the body says nothing about what is still to come, so the connection is of no more
    /// use.
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
    fn response(&self, instance: &str) -> HttpResponse {
        let document = ProblemDocument {
            kind: ProblemDocument::kind_of(self.code),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            instance: instance.to_owned(),
            errors: self.errors.clone(),
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

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", ProblemDocument::kind_of(self.code), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Makes the answer but for the path, which [`name_instance`] adds.
    fn error_response(&self) -> HttpResponse<BoxBody> {
        self.response("")
    }
}

/// Names the path of the request in the problem that it came to: a problem itself does not know it.
pub async fn name_instance(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let path = request.path().to_owned();
    let answered = next.call(request).await?.map_into_boxed_body();
    let problem = answered.response().error().and_then(|error| error.as_error::<Problem>());
    match problem.map(|problem| problem.response(&path)) {
        Some(response) => Ok(answered.into_response(response)),
        None => Ok(answered),
    }
}

impl From<StoreError> for Problem {
    /// Tells a database that is away, or not ready for this program, from a fault of the program. Callers
    /// learn no internals.
    fn from(error: StoreError) -> Self {
        let passing = match error.kind() {
            StoreErrorKind::Unavailable | StoreErrorKind::TimedOut | StoreErrorKind::Conflict => true,
            StoreErrorKind::ForeignDatabase | StoreErrorKind::UnfitDatabase | StoreErrorKind::Tls => true,
            // The role, the database or the tables are not there: somebody is setting it up.
            StoreErrorKind::SignIn | StoreErrorKind::NoSuchDatabase | StoreErrorKind::NoSuchTable => true,
            StoreErrorKind::Refused | StoreErrorKind::MissingPrivilege | StoreErrorKind::Unknown => false,
        };
        if passing {
            tracing::warn!(%error, "a request could not be answered, the database is away");
            Problem::database_away(
                "the database gave no answer in time; what was asked of it may have been done all the same: read again, and send a POST again with its Idempotency-Key",
            )
        } else {
            tracing::error!(%error, "a request failed");
            Problem::internal()
        }
    }
}
