//! What the rules of a row work on.

use std::borrow::Cow;

use nyc311_json::Value;

use crate::json::{self, ObjectWriter};
use crate::quality::QualityFlags;
use crate::row::{Field, Row};

/// A row on its way: the flags that it has earned so far, and what the city said where something else now
/// stands.
pub(super) struct Enrichment<'a> {
    pub(super) raw: &'a [u8],
    pub(super) row: Row<'a>,
    pub(super) flags: QualityFlags,
    pub(super) stated: ObjectWriter,
    /// The fields that are in `stated` already, one bit each: what came first is what the city said.
    pub(super) kept: u64,
}

const _: () = assert!(Field::COUNT <= u64::BITS as usize, "`kept` has a bit for each field");

/// Returns a value as the row has it, an array or an object as its JSON.
pub(super) fn as_stated(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Nested(text) => Cow::Borrowed(text),
        other => json::scalar_text(other).unwrap_or_default(),
    }
}

/// Shortens a stated value for a message.
pub(super) fn excerpt(stated: &str) -> String {
    stated.chars().take(60).collect()
}
