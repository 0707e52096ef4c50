//! Values as they stand in the text.

use std::borrow::Cow;

/// A number with more characters than this is kept as a text.
const MAX_NUMBER: usize = 40;

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub raw: &'a str,
    /// It has a backslash.
    pub escaped: bool,
    pub non_ascii: bool,
    /// It has two blanks in a row.
    pub double_blank: bool,
}

/// One JSON value; numbers, arrays and objects as their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Text(Token<'a>),
    Number(&'a str),
    Bool(bool),
    Nested(&'a str),
}

/// Says whether `jsonb` may have no room for a number: it has none for 1e200000.
#[inline]
pub fn is_wide(number: &[u8]) -> bool {
    number.len() > MAX_NUMBER || number.iter().any(|byte| matches!(byte, b'e' | b'E'))
}

impl<'a> Token<'a> {
    /// Returns the text that the token stands for. A lone surrogate, which no text can hold, becomes U+FFFD.
    #[inline]
    pub fn text(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(position) = rest.find('\\') {
        let (plain, escape) = rest.split_at(position);
        out.push_str(plain);
        let (character, length) = match escape.as_bytes().get(1) {
            Some(b'u') => unicode_escape(escape),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'"') => ('"', 2),
            Some(b'/') => ('/', 2),
            _ => ('\\', 2),
        };
        out.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Decodes `\uXXXX`, with its second half where it is a surrogate pair; returns the character and the length
/// read.
fn unicode_escape(escape: &str) -> (char, usize) {
    let unit = |at: usize| escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    match unit(2) {
        Some(high @ 0xD800..=0xDBFF) if escape.get(6..8) == Some("\\u") => match unit(8) {
            Some(low @ 0xDC00..=0xDFFF) => {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            _ => (char::REPLACEMENT_CHARACTER, 6),
        },
        Some(code) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        None => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_the_replacement_character() {
        assert_eq!(unescape(r"a\ud83d\ude00b"), "a\u{1F600}b");
        assert_eq!(unescape(r"\ud83dx\ude00\ud83d\u0041"), "\u{FFFD}x\u{FFFD}\u{FFFD}A");
    }
}
