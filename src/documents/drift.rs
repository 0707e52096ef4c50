//! What the source says that the rules do not know.

use nyc311_domain::TermKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Schema;

use super::moment::Moment;
use crate::store::Term;
use crate::words;

/// A word of the source that no rule knows, or a column that it names no more
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Drift)]
pub struct DriftDocument {
    #[schema(schema_with = kinds)]
    pub kind: String,
    pub value: String,
    /// Whether a rule knows the word
    pub known: bool,
    /// The time of the earliest version of a request that has it; null where no version has a time
    pub first_source_updated_at: Option<Moment>,
    /// When this service saw it first
    pub first_seen_at: Moment,
    /// When the source stopped to name the column; null while it does, and for words
    pub vanished_at: Option<Moment>,
}

fn kinds() -> Schema {
    words::schema(TermKind::ALL.map(TermKind::as_str))
}

impl From<Term> for DriftDocument {
    fn from(term: Term) -> Self {
        Self {
            kind: term.kind.as_str().to_owned(),
            value: term.value,
            known: term.known,
            first_source_updated_at: term.first_source_updated_at.map(Moment::from),
            first_seen_at: term.first_seen_at.into(),
            vanished_at: term.vanished_at.map(Moment::from),
        }
    }
}
