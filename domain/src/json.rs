//! JSON text of an object, and how to write and clean it.

use std::borrow::Cow;

use nyc311_json::{JsonError, Members, Token, Value, is_wide};

/// Nesting beyond this is refused, so that what passes here also passes in PostgreSQL.
const MAX_DEPTH: usize = 64;

/// Nesting beyond this is refused in the city's rows, which have two levels. Less than above, since `details`
/// adds one.
const MAX_ROW_DEPTH: usize = 48;

/// Begins at an object of ours.
pub(crate) fn members(text: &str) -> Result<Members<'_>, JsonError> {
    Members::of(text, MAX_DEPTH)
}

/// Begins at a row of the city's.
pub(crate) fn row_members(text: &str) -> Result<Members<'_>, JsonError> {
    Members::of(text, MAX_ROW_DEPTH)
}

/// The text of a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<'a>(pub Cow<'a, str>);

impl Json<'_> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What had to be taken out of a JSON text so that PostgreSQL can hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cleaned {
    pub(crate) nul: bool,
    pub(crate) surrogate: bool,
}

/// Collects members into the text of an object.
#[derive(Debug, Default)]
pub(crate) struct ObjectWriter {
    text: String,
}

impl ObjectWriter {
    /// Appends a member whose text is already JSON.
    pub(crate) fn push_member(&mut self, member: &str) {
        self.separate();
        self.text.push_str(member);
    }

    /// Appends a member with a text as its value.
    pub(crate) fn push_text(&mut self, key: &str, value: &str) {
        self.separate();
        push_string(&mut self.text, key);
        self.text.push(':');
        push_string(&mut self.text, value);
    }

    fn separate(&mut self) {
        if self.text.is_empty() {
            self.text.reserve(512);
            self.text.push('{');
        } else {
            self.text.push(',');
        }
    }

    /// Returns the object, or `None` if it has no members.
    pub(crate) fn finish(mut self) -> Option<Json<'static>> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push('}');
        Some(Json(Cow::Owned(self.text)))
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    escape(text, |piece| out.push_str(piece));
    out.push('"');
}

/// Appends `text` as a JSON string to bytes.
#[inline]
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(text, |piece| out.extend_from_slice(piece.as_bytes()));
    out.push(b'"');
}

/// Hands out `text` piece by piece with quotes, backslashes and control characters escaped.
#[inline]
fn escape(text: &str, mut push: impl FnMut(&str)) {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    // Without an early end the compiler looks at sixteen bytes at a time, and most texts have nothing to
    // escape.
    if !text.bytes().fold(false, |found, byte| found | special(byte)) {
        return push(text);
    }
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !special(byte) {
            continue;
        }
        push(text.get(written..at).unwrap_or_default());
        written = at + 1;
        match byte {
            b'"' => push("\\\""),
            b'\\' => push("\\\\"),
            b'\n' => push("\\n"),
            b'\r' => push("\\r"),
            b'\t' => push("\\t"),
            control => push(&format!("\\u{control:04x}")),
        }
    }
    push(text.get(written..).unwrap_or_default());
}

/// Removes from JSON text what PostgreSQL's `jsonb` refuses: `\u0000`, and halves of surrogate pairs, which
/// become U+FFFD.
pub(crate) fn clean_for_postgres(text: &str) -> (Cow<'_, str>, Cleaned) {
    let mut cleaned = Cleaned::default();
    if !text.contains("\\u") {
        return (Cow::Borrowed(text), cleaned);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        let (plain, escape) = rest.split_at(position);
        out.push_str(plain);
        let unit = |at: usize| escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let length = if escape.as_bytes().get(1) == Some(&b'u') { 6 } else { 2 };
        let second = (escape.get(6..8) == Some("\\u")).then(|| unit(8)).flatten();
        let length = match (length, unit(2), second) {
            (6, Some(0), _) => {
                cleaned.nul = true;
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (6, Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (6, Some(0xD800..=0xDFFF), _) => {
                cleaned.surrogate = true;
                out.push(char::REPLACEMENT_CHARACTER);
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            (length, _, _) => length,
        };
        let (keep, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        out.push_str(keep);
        rest = after;
    }
    out.push_str(rest);
    if cleaned == Cleaned::default() { (Cow::Borrowed(text), cleaned) } else { (Cow::Owned(out), cleaned) }
}

/// Turns the wide numbers of a JSON text into the texts that they are, since `jsonb` may have no room for
/// them.
pub(crate) fn quote_wide_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(start) = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        let (before, token) = rest.split_at(start);
        out.push_str(before);
        let is_string = token.starts_with('"');
        let end = if is_string { end_of_string(token) } else { end_of_number(token) };
        let (token, after) = token.split_at_checked(end).unwrap_or((token, ""));
        if !is_string && is_wide(token.as_bytes()) {
            push_string(&mut out, token);
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn end_of_string(token: &str) -> usize {
    let mut escaped = false;
    let closing = token.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    closing.map_or(token.len(), |before| before + 2)
}

fn end_of_number(token: &str) -> usize {
    let after =
        token.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    after.unwrap_or(token.len())
}

/// Returns the value of a member as plain text, or `None` where it is null, an array or an object.
pub(crate) fn scalar_text<'a>(value: Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(token) => Some(token.text()),
        Value::Number(digits) => Some(Cow::Borrowed(digits)),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Null | Value::Nested(_) => None,
    }
}

/// Says whether a key, which may be written with escapes, is `name`.
pub(crate) fn key_is(key: &Token<'_>, name: &str) -> bool {
    if key.escaped { key.text() == name } else { key.raw == name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nul_and_half_pairs_leave_json_text() {
        let (text, cleaned) = clean_for_postgres(r#"{"a\u0000":"x\\u0000\ud83d\ude00\ud83dz\udc00"}"#);
        assert_eq!(text, "{\"a\":\"x\\\\u0000\\ud83d\\ude00\u{FFFD}z\u{FFFD}\"}");
        assert_eq!(cleaned, Cleaned { nul: true, surrogate: true });
    }

    #[test]
    fn text_without_them_is_borrowed() {
        assert!(matches!(clean_for_postgres(r#"{"a":"\u00e9\\u"}"#).0, Cow::Borrowed(_)));
    }

    #[test]
    fn wide_numbers_become_texts_and_nothing_else_does() {
        for (text, quoted) in [
            (r#"{"a":1e200000}"#, r#"{"a":"1e200000"}"#),
            (r#"[-1.5E+3,-0.25,{"b\"1e5":["1e5",2]}]"#, r#"["-1.5E+3",-0.25,{"b\"1e5":["1e5",2]}]"#),
            (r#""\\":1e5"#, r#""\\":"1e5""#),
            (r#"true"#, r#"true"#),
        ] {
            assert_eq!(quote_wide_numbers(text), quoted);
        }
        let digits = "9".repeat(41);
        assert_eq!(quote_wide_numbers(&digits), format!("\"{digits}\""));
    }

    proptest! {
        #[test]
        fn strings_read_back_with_serde_json(text in any::<String>()) {
            let mut out = String::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn cleaning_again_changes_nothing(text in r#"([a-z"\\]|\\u[0d][08][0c]0){0,12}"#) {
            let (once, _) = clean_for_postgres(&text);
            let (twice, _) = clean_for_postgres(&once);
            prop_assert_eq!(&once, &twice);
        }
    }
}
