//! Reads the fields of a request, and names everything that is wrong with it at once.

use actix_web::HttpRequest;
use jiff::Timestamp;
use nyc311_notation::parse_instant;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::documents::{FieldError, IdempotencyKey};

/// The fields of a body; `null` is the same as leaving one out.
pub(super) struct Fields<'b> {
    fields: &'b Map<String, Value>,
    unknown: Vec<FieldError>,
    invalid: Vec<FieldError>,
}

impl<'b> Fields<'b> {
    /// Takes a body that may have these fields.
    pub(super) fn of(body: &'b Value, known: &[&str]) -> Result<Self, Problem> {
        let Value::Object(fields) = body else {
            return Err(Problem::invalid_field("", body.clone(), "is not an object"));
        };
        let unknown = fields
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .map(|(name, value)| unknown_field(&pointer(name), value.clone(), name, known))
            .collect();
        Ok(Self { fields, unknown, invalid: Vec::new() })
    }

    /// Returns what a field says.
    pub(super) fn stated(&self, name: &str) -> Option<&'b Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Reads a point in time.
    pub(super) fn moment(&mut self, name: &str) -> Option<Timestamp> {
        match self.stated(name)?.as_str().map(parse_instant) {
            Some(Ok(moment)) => return Some(moment),
            Some(Err(error)) => self.refuse_stated(name, error.to_string()),
            None => self.refuse_stated(name, "is not a text"),
        }
        None
    }

    /// Refuses what a field says.
    pub(super) fn refuse_stated(&mut self, name: &str, detail: impl Into<String>) {
        let value = self.stated(name).cloned().unwrap_or_default();
        self.invalid.push(FieldError { pointer: pointer(name), value, detail: detail.into() });
    }

    /// Returns what was read, unless something was refused.
    pub(super) fn accept<T>(self, read: T) -> Result<T, Problem> {
        if self.unknown.is_empty() && self.invalid.is_empty() {
            Ok(read)
        } else {
            Err(Problem::fields(self.unknown, self.invalid))
        }
    }
}

/// Reads the key by which a repeated request is known.
pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut given = request.headers().get_all(IdempotencyKey::HEADER);
    let Some(key) = given.next() else { return Ok(None) };
    // What is not UTF-8 becomes a character that no key has.
    let shown = String::from_utf8_lossy(key.as_bytes());
    if given.next().is_some() {
        return Err(Problem::invalid_field(
            &format!("/{}", IdempotencyKey::HEADER),
            shown.as_ref(),
            "is sent twice",
        ));
    }
    match IdempotencyKey::read(&shown) {
        Ok(key) => Ok(Some(key.as_str().to_owned())),
        Err(fault) => Err(Problem::invalid_key(&shown, fault)),
    }
}

/// Refuses a field that nobody reads, with the name that is most like its own.
pub(super) fn unknown_field(pointer: &str, value: Value, name: &str, known: &[&str]) -> FieldError {
    let nearest = known
        .iter()
        .max_by(|left, right| strsim::jaro_winkler(name, left).total_cmp(&strsim::jaro_winkler(name, right)))
        .copied()
        .unwrap_or_default();
    let detail = format!("is not known; the nearest name is {nearest:?}, and there are {}", known.join(", "));
    FieldError { pointer: pointer.to_owned(), value, detail }
}

/// Escapes a name as RFC 6901 asks.
pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
