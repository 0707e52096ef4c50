//! Where values lie in bytes.
//!
//! A row that breaks the grammar costs itself alone: where it ends is told by its quotes and braces
//! (`loose`), and what is wrong with it is for others to say, as with a text that is no valid UTF-8, which is
//! walked over here.

mod loose;

use std::ops::Range;

pub use self::loose::loose_members;
use crate::error::{CLOSING_QUOTE, COMMA_OR_BRACE, JsonError, NAME};
use crate::walk::{Unseen, Walk, blank};

/// Bytes may be nested as deeply as they like: only their levels are counted.
const ANY_DEPTH: usize = usize::MAX;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const END: &str = "the end of the answer after the list of rows";

/// Returns the index just past the value that begins at `at`.
pub fn value_end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let mut walk = Walk::new(text, at, ANY_DEPTH);
    walk.value()?;
    Ok(walk.at)
}

/// Returns where each element of the array lies that `text` consists of. An element that is not JSON is
/// delimited by its quotes and braces; only where these do not tell its end either, the text is refused.
pub fn elements(text: &[u8]) -> Result<Vec<Range<usize>>, JsonError> {
    let begin = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let mut at = blank(text, begin);
    if text.get(at) != Some(&b'[') {
        return Err(JsonError::new(text, at, "`[`, with which a list of rows begins"));
    }
    at = blank(text, at + 1);
    let is_whole = text.trim_ascii_end().ends_with(b"]");
    let mut elements = Vec::new();
    if text.get(at) == Some(&b']') {
        at = blank(text, at + 1);
        return if at < text.len() { Err(JsonError::new(text, at, END)) } else { Ok(elements) };
    }
    loop {
        let end = match element(text, at) {
            Ok(end) => end,
            // An answer that was cut off is asked for again; its last row is no row. But one that ends like a
            // page has a quote too few.
            Err(malformed) if malformed.ended && !(is_whole && malformed.expected == CLOSING_QUOTE) => {
                return Err(malformed.in_row(elements.len() + 1));
            }
            Err(malformed) => {
                loose::element_end(text, at).ok_or_else(|| malformed.in_row(elements.len() + 1))?
            }
        };
        elements.push(at..end);
        at = blank(text, end);
        if text.get(at) == Some(&b']') {
            return Ok(elements);
        }
        at = blank(text, at + 1);
    }
}

/// Returns the index just past the element at `at`, after which the list goes on or ends.
fn element(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let end = value_end(text, at)?;
    let next = blank(text, end);
    match text.get(next) {
        // A brace too many has ended the row before its last members.
        Some(b',') if loose::begins_member(text, next + 1) => {
            Err(JsonError::new(text, next, "a row after the comma"))
        }
        Some(b',') => Ok(end),
        Some(b']') => match blank(text, next + 1) {
            after if after == text.len() => Ok(end),
            after => Err(JsonError::new(text, after, END)),
        },
        _ => Err(JsonError::new(text, next, "a comma or `]` after the row")),
    }
}

/// Calls `member` with the places of the name (as written, without its quotes) and the value of each member
/// of the object that begins at `at`. Returns the index just past the object.
pub fn members(
    text: &[u8],
    at: usize,
    mut member: impl FnMut(Range<usize>, Range<usize>),
) -> Result<usize, JsonError> {
    let mut walk = Walk::new(text, at, ANY_DEPTH);
    walk.expect(b'{', "`{`")?;
    walk.skip_blanks();
    if walk.peek() == Some(b'}') {
        return Ok(walk.at + 1);
    }
    loop {
        walk.expect(b'"', NAME)?;
        let name = walk.at;
        walk.string(&mut Unseen)?;
        let name = name..walk.at - 1;
        walk.colon()?;
        let value = walk.at;
        walk.value()?;
        member(name, value..walk.at);
        walk.skip_blanks();
        match walk.peek() {
            Some(b',') => walk.at += 1,
            Some(b'}') => return Ok(walk.at + 1),
            _ => return Err(walk.malformed(COMMA_OR_BRACE)),
        }
        walk.skip_blanks();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn split(text: &[u8]) -> Option<Vec<&[u8]>> {
        let ranges = elements(text).ok()?;
        Some(ranges.into_iter().map(|range| &text[range]).collect())
    }

    fn expected(text: &str) -> Option<Vec<&[u8]>> {
        let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        Some(raw.into_iter().map(|value| value.get().as_bytes()).collect())
    }

    /// Asserts that JSON is split as `serde_json` does it, and that of anything else every byte is in an
    /// element, but for one comma between two and white space.
    fn assert_split_without_loss(text: &str) {
        let found = split(text.as_bytes());
        if let Some(expected) = expected(text) {
            assert_eq!(found, Some(expected));
        } else if let Some(found) = found {
            let mut rest = text.trim_ascii().strip_prefix('[').unwrap().trim_ascii_start().as_bytes();
            for (index, element) in found.iter().enumerate() {
                if index > 0 {
                    rest = rest.strip_prefix(b",").unwrap().trim_ascii_start();
                }
                assert!(!element.is_empty(), "{text}");
                rest = rest.strip_prefix(*element).unwrap().trim_ascii_start();
            }
            assert_eq!(rest, b"]", "{text}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            "[ -~\u{e9}\u{2019}]{0,40}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn finds_the_elements_that_serde_json_finds(rows in prop::collection::vec(json(), 0..12), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) }.unwrap();
            prop_assert_eq!(split(text.as_bytes()), expected(&text));
        }

        #[test]
        fn a_spoiled_page_is_refused_or_split_without_loss(
            rows in prop::collection::vec(json(), 0..6),
            spoil in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{},:\"\\\\0-9.eE+\\-tfnu \n\u{1}a]"), 1..4),
        ) {
            let mut text: Vec<char> = serde_json::to_string(&rows).unwrap().chars().collect();
            for (place, new) in spoil {
                let place = place.index(text.len());
                text[place] = new.chars().next().unwrap();
            }
            let text: String = text.into_iter().collect();
            assert_split_without_loss(&text);
        }

        #[test]
        fn every_cut_page_is_refused_as_cut_off(rows in prop::collection::vec(json(), 0..6), cut: prop::sample::Index) {
            let text = serde_json::to_vec(&rows).unwrap();
            let cut = &text[..cut.index(text.len())];
            let refused = elements(cut).unwrap_err();
            prop_assert!(refused.ended, "{refused:?} in {:?}", String::from_utf8_lossy(cut));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = elements(&bytes);
            let _ = members(&bytes, 0, |_, _| ());
        }

        #[test]
        fn never_panics_on_json_like_bytes(text in "[\\[\\]{},:\"\\\\0-9.eE+\\-tfnu \n\u{1}]{0,60}") {
            assert_split_without_loss(&text);
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let mut text = vec![b'['; 1_000_000];
        assert!(elements(&text).unwrap_err().ended);
        text.extend(vec![b']'; 1_000_000]);
        assert_eq!(elements(&text).unwrap().len(), 1);
    }

    #[test]
    fn levels_are_told_apart_however_deep_they_lie() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 1_000] {
            let opening: String =
                (0..depth).map(|level| if level % 3 == 0 { "[" } else { "{\"a\":" }).collect();
            let closing: String =
                (0..depth).rev().map(|level| if level % 3 == 0 { ",2]" } else { ",\"b\":2}" }).collect();
            let text = format!("{opening}1{closing}");
            assert_eq!(value_end(text.as_bytes(), 0), Ok(text.len()), "{depth}");
            let last = text.len() - 1;
            let wrong = format!("{}}}", &text[..last]);
            assert_eq!(value_end(wrong.as_bytes(), 0).unwrap_err().at, last, "{depth}");
        }
    }

    #[test]
    fn a_text_that_is_no_utf8_spoils_only_its_row() {
        assert_eq!(split(b"[{\"a\":\"\xff\"},1]").unwrap(), [b"{\"a\":\"\xff\"}".as_slice(), b"1"]);
    }

    #[test]
    fn members_are_named_as_written() {
        let text = br#" {"a" : [1,{"b":2}] ,":id":"row-1","":null}"#;
        let mut found = Vec::new();
        let end =
            members(text, 1, |name, value| found.push((text[name].to_vec(), text[value].to_vec()))).unwrap();
        assert_eq!(end, text.len());
        let expected: [(&[u8], &[u8]); 3] =
            [(b"a", br#"[1,{"b":2}]"#), (b":id", br#""row-1""#), (b"", b"null")];
        assert!(found.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).eq(expected));
    }
}
