//! Errors as callers get them: problem documents of RFC 9457.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::words::words;

/// The type of what HTTP says well enough by itself.
const BLANK: &str = "about:blank";
const URN: &str = "urn:nyc311:problem:";

words! {
    /// The kinds of problems: the last part of the type's URN. Callers match on it.
    ProblemCode {
        MalformedJson = "malformed-json",
        InvalidField = "invalid-field",
        UnknownField = "unknown-field",
        IdempotencyConflict = "idempotency-conflict",
        PollNotFound = "poll-not-found",
        PollFinished = "poll-finished",
        ReconciliationNotFound = "reconciliation-not-found",
        ReconciliationFinished = "reconciliation-finished",
        QueueFull = "queue-full",
        Unauthorized = "unauthorized",
        FeatureDisabled = "feature-disabled",
        FaultNotFound = "fault-not-found",
        TooManyFaults = "too-many-faults",
        UnsupportedMediaType = "unsupported-media-type",
        BodyTooLarge = "body-too-large",
        DependencyUnavailable = "dependency-unavailable",
    }
}

impl ProblemCode {
    fn urn(self) -> String {
        format!("{URN}{self}")
    }
}

/// RFC 9457
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    #[serde(rename = "type")]
    #[schema(schema_with = types)]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    /// The answer's HTTP status
    #[serde(default)]
    pub status: u16,
    #[serde(default)]
    pub detail: String,
    /// The path of the request
    #[serde(default)]
    pub instance: String,
    /// Empty where nothing of the request is to blame
    #[serde(default)]
    pub errors: Vec<FieldError>,
}

impl ProblemDocument {
    /// Writes the type of a kind, or of what HTTP says well enough by itself.
    pub fn kind_of(code: Option<ProblemCode>) -> String {
        code.map_or_else(|| BLANK.to_owned(), ProblemCode::urn)
    }

    /// Reads which kind it is; none where HTTP says it by itself, and for kinds of another version.
    pub fn code(&self) -> Option<ProblemCode> {
        ProblemCode::from_word(self.kind.strip_prefix(URN)?)
    }
}

fn types() -> Schema {
    let urns = ProblemCode::ALL.iter().map(|code| code.urn());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(std::iter::once(BLANK.to_owned()).chain(urns)))
        .description(Some("Match on it, never on texts"))
        .into()
}

/// What is wrong with one part of a request
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or / and the name of a parameter or header
    #[schema(example = "/since")]
    pub pointer: String,
    /// What was sent
    pub value: Value,
    pub detail: String,
}
