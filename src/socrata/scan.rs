//! Walks over JSON text without building anything from it.
//!
//! Rows are published byte for byte, so a page is never decoded: it is only walked, strictly by the grammar of
//! RFC 8259, to find where its values begin and end. A row that breaks the grammar costs itself alone: where it ends
//! is told by its quotes and braces (`loose.rs`), and what is wrong with it is the enricher's to say, as with a text
//! that is no valid UTF-8, which is walked over here.

mod loose;

use std::ops::Range;

pub use loose::loose_members;

/// Says where a text stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub at: usize,
    /// The text ended where more was due, as it does when an answer is cut off.
    pub ended: bool,
    /// What JSON has in this place.
    pub expected: &'static str,
    /// The row of the page that it is in or follows, counted from 1; 0 outside of rows.
    pub row: usize,
}

#[derive(Clone, Copy)]
enum Open {
    Array,
    Object,
}

/// Walks over values; keeps its stack between calls so that a page of rows costs one allocation.
#[derive(Default)]
pub struct Scanner {
    open: Vec<Open>,
}

impl Scanner {
    /// Returns the index just past the value that begins at `at`.
    pub fn value(&mut self, text: &[u8], at: usize) -> Result<usize, Malformed> {
        self.open.clear();
        let mut at = at;
        'value: loop {
            at = match text.get(at) {
                Some(b'"') => string(text, at)?,
                Some(b'{') => {
                    let inside = blank(text, at + 1);
                    if text.get(inside) == Some(&b'}') {
                        inside + 1
                    } else {
                        self.open.push(Open::Object);
                        at = name(text, inside)?;
                        continue 'value;
                    }
                }
                Some(b'[') => {
                    let inside = blank(text, at + 1);
                    if text.get(inside) == Some(&b']') {
                        inside + 1
                    } else {
                        self.open.push(Open::Array);
                        at = inside;
                        continue 'value;
                    }
                }
                Some(b't') => literal(text, at, b"true")?,
                Some(b'f') => literal(text, at, b"false")?,
                Some(b'n') => literal(text, at, b"null")?,
                Some(b'-' | b'0'..=b'9') => number(text, at)?,
                _ => return Err(malformed(text, at, VALUE)),
            };
            while let Some(open) = self.open.last() {
                at = blank(text, at);
                match (open, text.get(at)) {
                    (Open::Array, Some(b',')) => {
                        at = blank(text, at + 1);
                        continue 'value;
                    }
                    (Open::Object, Some(b',')) => {
                        at = name(text, blank(text, at + 1))?;
                        continue 'value;
                    }
                    (Open::Array, Some(b']')) | (Open::Object, Some(b'}')) => {
                        self.open.pop();
                        at += 1;
                    }
                    (Open::Array, _) => return Err(malformed(text, at, "a comma or `]`")),
                    (Open::Object, _) => return Err(malformed(text, at, "a comma or `}`")),
                }
            }
            return Ok(at);
        }
    }

    /// Returns where each element of the array lies that `text` consists of. An element that is not JSON is
    /// delimited by its quotes and braces; only where these do not tell its end either, the text is refused.
    pub fn elements(&mut self, text: &[u8]) -> Result<Vec<Range<usize>>, Malformed> {
        let begin = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let mut at = blank(text, begin);
        if text.get(at) != Some(&b'[') {
            return Err(malformed(text, at, "`[`, with which a list of rows begins"));
        }
        at = blank(text, at + 1);
        let is_whole = text.trim_ascii_end().ends_with(b"]");
        let mut elements = Vec::new();
        if text.get(at) == Some(&b']') {
            at = blank(text, at + 1);
            return if at < text.len() { Err(malformed(text, at, END)) } else { Ok(elements) };
        }
        loop {
            let end = match self.element(text, at) {
                Ok(end) => end,
                // An answer that was cut off is asked for again; its last row is no row. But one that ends like a page
                // has a quote too few.
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
    fn element(&mut self, text: &[u8], at: usize) -> Result<usize, Malformed> {
        let end = self.value(text, at)?;
        let next = blank(text, end);
        match text.get(next) {
            // A brace too many has ended the row before its last members.
            Some(b',') if loose::begins_member(text, next + 1) => {
                Err(malformed(text, next, "a row after the comma"))
            }
            Some(b',') => Ok(end),
            Some(b']') => match blank(text, next + 1) {
                after if after == text.len() => Ok(end),
                after => Err(malformed(text, after, END)),
            },
            _ => Err(malformed(text, next, "a comma or `]` after the row")),
        }
    }

    /// Calls `member` with the places of the name (as written, without its quotes) and the value of each member of an
    /// object. Returns the index just past the object.
    pub fn members(
        &mut self,
        text: &[u8],
        at: usize,
        mut member: impl FnMut(Range<usize>, Range<usize>),
    ) -> Result<usize, Malformed> {
        if text.get(at) != Some(&b'{') {
            return Err(malformed(text, at, "`{`"));
        }
        let mut at = blank(text, at + 1);
        if text.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        loop {
            let name_start = at + 1;
            if text.get(at) != Some(&b'"') {
                return Err(malformed(text, at, NAME));
            }
            at = string(text, at)?;
            let name_end = at - 1;
            at = colon(text, at)?;
            let end = self.value(text, at)?;
            member(name_start..name_end, at..end);
            at = blank(text, end);
            match text.get(at) {
                Some(b',') => at = blank(text, at + 1),
                Some(b'}') => return Ok(at + 1),
                _ => return Err(malformed(text, at, "a comma or `}`")),
            }
        }
    }
}

/// Skips white space.
pub fn blank(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const VALUE: &str = "a value";
const NAME: &str = "the name of a field in double quotes";
const CLOSING_QUOTE: &str = "the closing quote of a text";
const END: &str = "the end of the answer after the list of rows";

fn malformed(text: &[u8], at: usize, expected: &'static str) -> Malformed {
    Malformed { at: at.min(text.len()), ended: at >= text.len(), expected, row: 0 }
}

impl Malformed {
    fn in_row(self, row: usize) -> Self {
        Self { row, ..self }
    }
}

fn name(text: &[u8], at: usize) -> Result<usize, Malformed> {
    if text.get(at) != Some(&b'"') {
        return Err(malformed(text, at, NAME));
    }
    colon(text, string(text, at)?)
}

fn colon(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = blank(text, at);
    if text.get(at) != Some(&b':') {
        return Err(malformed(text, at, "a colon after the name of a field"));
    }
    Ok(blank(text, at + 1))
}

fn literal(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Malformed> {
    for (offset, expected) in word.iter().enumerate() {
        if text.get(at + offset) != Some(expected) {
            return Err(malformed(text, at + offset, VALUE));
        }
    }
    Ok(at + word.len())
}

fn number(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Ok(at)
}

fn digits(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let count = text[at.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { Err(malformed(text, at, "a digit")) } else { Ok(at + count) }
}

/// Skips the string that begins at `at`, eight bytes at a time: nearly all of a page is inside of strings.
fn string(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut at = at + 1;
    loop {
        at += ordinary(&text[at.min(text.len())..]);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match text.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') => {
                    for digit in at + 2..at + 6 {
                        if !text.get(digit).is_some_and(u8::is_ascii_hexdigit) {
                            return Err(malformed(text, digit, "four hexadecimal digits after `\\u`"));
                        }
                    }
                    at += 6;
                }
                _ => return Err(malformed(text, at + 1, "an escape that JSON has")),
            },
            Some(_) => return Err(malformed(text, at, "no control character within a text")),
            None => return Err(malformed(text, at, CLOSING_QUOTE)),
        }
    }
}

/// Counts the leading bytes that are neither a quote, nor a backslash, nor a control character.
fn ordinary(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // A borrow can only mark bytes above one that is rightly marked, so the lowest mark is always true.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let marks = control | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
        if marks != 0 {
            return index * 8 + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn elements(text: &[u8]) -> Option<Vec<&[u8]>> {
        let ranges = Scanner::default().elements(text).ok()?;
        Some(ranges.into_iter().map(|range| &text[range]).collect())
    }

    fn expected(text: &str) -> Option<Vec<&[u8]>> {
        let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        Some(raw.into_iter().map(|value| value.get().as_bytes()).collect())
    }

    /// Asserts that JSON is split as `serde_json` does it, and that of anything else every byte is in an element, but for
    /// one comma between two and white space.
    fn assert_split_without_loss(text: &str) {
        let found = elements(text.as_bytes());
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
            prop_assert_eq!(elements(text.as_bytes()), expected(&text));
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
            let refused = Scanner::default().elements(cut).unwrap_err();
            prop_assert!(refused.ended, "{refused:?} in {:?}", String::from_utf8_lossy(cut));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Scanner::default().elements(&bytes);
            let _ = Scanner::default().members(&bytes, 0, |_, _| ());
        }

        #[test]
        fn never_panics_on_json_like_bytes(text in "[\\[\\]{},:\"\\\\0-9.eE+\\-tfnu \n\u{1}]{0,60}") {
            assert_split_without_loss(&text);
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let mut text = vec![b'['; 1_000_000];
        assert!(Scanner::default().elements(&text).unwrap_err().ended);
        text.extend(vec![b']'; 1_000_000]);
        assert_eq!(Scanner::default().elements(&text).unwrap().len(), 1);
    }

    #[test]
    fn a_text_that_is_no_utf8_spoils_only_its_row() {
        assert_eq!(elements(b"[{\"a\":\"\xff\"},1]").unwrap(), [b"{\"a\":\"\xff\"}".as_slice(), b"1"]);
    }

    #[test]
    fn members_are_named_as_written() {
        let text = br#" {"a" : [1,{"b":2}] ,":id":"row-1","":null}"#;
        let mut found = Vec::new();
        let end = Scanner::default()
            .members(text, 1, |name, value| found.push((text[name].to_vec(), text[value].to_vec())))
            .unwrap();
        assert_eq!(end, text.len());
        let expected: [(&[u8], &[u8]); 3] =
            [(b"a", br#"[1,{"b":2}]"#), (b":id", br#""row-1""#), (b"", b"null")];
        assert!(found.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).eq(expected));
    }
}
