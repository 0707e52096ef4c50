//! A list of polls, in pages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use super::poll::PollDocument;

/// How many polls a page has where nobody says how many.
pub const LIST_DEFAULT: u16 = 50;
/// How many polls a page may have.
pub const LIST_MAX: u16 = 500;

/// The form of a page's token: the id of a poll, and the check sum that keeps callers from making up their
/// own.
pub const PAGE_TOKEN: &str = "^[0-9a-f]{40}$";

/// A page of polls, newest first
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollList)]
pub struct PollListDocument {
    pub polls: Vec<PollDocument>,
    #[schema(schema_with = next_page_token)]
    pub next_page_token: Option<String>,
}

pub(super) fn next_page_token() -> Schema {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .pattern(Some(PAGE_TOKEN))
        .description(Some("The parameter page_token of the next page; null where this is the last one"))
        .into()
}
