//! The name that a caller gives to a request, so that it can be repeated.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// A key that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    Empty,
    /// It is not printable ASCII.
    Character(char),
    /// It has so many characters.
    TooLong(usize),
}

impl IdempotencyKey {
    pub const HEADER: &str = "Idempotency-Key";
    pub const MAX_CHARACTERS: usize = 512;

    /// Reads a key.
    pub fn read(text: &str) -> Result<Self, KeyFault> {
        if let Some(wrong) = text.chars().find(|c| !(' '..='~').contains(c)) {
            return Err(KeyFault::Character(wrong));
        }
        match text.len() {
            0 => Err(KeyFault::Empty),
            1..=Self::MAX_CHARACTERS => Ok(Self(text.to_owned())),
            characters => Err(KeyFault::TooLong(characters)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IntoParams for IdempotencyKey {
    /// Describes the header. Blanks at its ends belong to HTTP and not to the key, so a key has none there.
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(Self::MAX_CHARACTERS))
            .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
            .examples(["nightly/2026-01-31"]);
        let header = ParameterBuilder::new()
            .name(Self::HEADER)
            .parameter_in(ParameterIn::Header)
            .description(Some("Printable ASCII; send it once"))
            .schema(Some(schema));
        vec![header.build()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_printable() {
        let longest = "k".repeat(IdempotencyKey::MAX_CHARACTERS);
        for right in ["k", " a key ~", &longest] {
            assert_eq!(IdempotencyKey::read(right).unwrap().as_str(), right);
        }
        let longer = format!("{longest}k");
        for (wrong, fault) in [
            ("", KeyFault::Empty),
            ("a\tb", KeyFault::Character('\t')),
            ("clé", KeyFault::Character('é')),
            (&longer, KeyFault::TooLong(513)),
        ] {
            assert_eq!(IdempotencyKey::read(wrong), Err(fault), "{wrong}");
        }
    }
}
