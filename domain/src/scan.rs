//! Reads one JSON object from its text, member by member, without building a tree.
//!
//! Strict as RFC 8259 and bounded in depth, so that what passes here also passes in PostgreSQL. Strings are handed out as they stand
//! between their quotes together with what the pass saw in them (escapes, bytes beyond ASCII, double blanks), because most strings
//! of most rows need no work at all and the pass has to touch every byte anyway.

use std::borrow::Cow;

/// Nesting beyond this is refused.
const MAX_DEPTH: u32 = 64;

/// Nesting beyond this is refused in the city's rows, which have two levels. Less than above, since `details` adds one.
const MAX_ROW_DEPTH: u32 = 48;

/// A number with more characters than this is kept as a text.
const MAX_NUMBER: usize = 40;

/// Text that is not one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) at_byte: usize,
    pub(crate) expected: &'static str,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) raw: &'a str,
    pub(crate) escaped: bool,
    pub(crate) non_ascii: bool,
    pub(crate) double_blank: bool,
}

/// One JSON value; numbers, arrays and objects as their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Text(Token<'a>),
    Number(&'a str),
    Bool(bool),
    Nested(&'a str),
}

/// A member of an object: its key, its value and the text of the whole member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) key: Token<'a>,
    pub(crate) value: Value<'a>,
    pub(crate) text: &'a str,
}

/// Walks the members of one object.
pub(crate) struct Members<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    started: bool,
    max_depth: u32,
    wide_numbers: bool,
}

impl<'a> Members<'a> {
    /// Begins at an object of ours.
    pub(crate) fn of(text: &'a str) -> Result<Self, Malformed> {
        Self::begin(text, MAX_DEPTH)
    }

    /// Begins at a row of the city's.
    pub(crate) fn of_row(text: &'a str) -> Result<Self, Malformed> {
        Self::begin(text, MAX_ROW_DEPTH)
    }

    fn begin(text: &'a str, max_depth: u32) -> Result<Self, Malformed> {
        let mut members =
            Self { text, bytes: text.as_bytes(), at: 0, started: false, max_depth, wide_numbers: false };
        members.skip_blanks();
        members.expect(b'{', "an object")?;
        Ok(members)
    }

    /// Says whether a number so far, at whatever depth, [is wide](is_wide).
    pub(crate) const fn wide_numbers(&self) -> bool {
        self.wide_numbers
    }

    /// Returns the next member, or `None` at the end of the object, which must also be the end of the text.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Member<'a>>, Malformed> {
        Ok(self.next_expecting(&[])?.map(|(member, _)| member))
    }

    /// Returns the next member, and which of the `expected` keys it has, if any. To compare a key with a few likely ones is quicker than
    /// to read it and then look it up.
    #[inline(always)]
    pub(crate) fn next_expecting(
        &mut self,
        expected: &[&'static str],
    ) -> Result<Option<(Member<'a>, Option<usize>)>, Malformed> {
        if !self.begin_member()? {
            return Ok(None);
        }
        let start = self.at;
        self.expect(b'"', "a key")?;
        let found = expected.iter().position(|name| self.key_is(name));
        let key = match found.and_then(|index| expected.get(index)) {
            Some(name) => {
                self.at += name.len() + 1;
                Token { raw: name, escaped: false, non_ascii: false, double_blank: false }
            }
            None => self.string()?,
        };
        self.skip_blanks();
        self.expect(b':', "a colon")?;
        self.skip_blanks();
        let value = self.value()?;
        let text = self.slice(start, self.at);
        Ok(Some((Member { key, value, text }, found)))
    }

    /// Steps to the next member, or says that there is none.
    #[inline(always)]
    fn begin_member(&mut self) -> Result<bool, Malformed> {
        self.skip_blanks();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                self.skip_blanks();
                return if self.at == self.bytes.len() {
                    Ok(false)
                } else {
                    Err(self.malformed("the end of the text"))
                };
            }
            Some(b',') if self.started => {
                self.at += 1;
                self.skip_blanks();
            }
            _ if self.started => return Err(self.malformed("a comma or a closing brace")),
            _ => {}
        }
        self.started = true;
        Ok(true)
    }

    /// Says whether the key whose opening quote has been passed is `name`. The closing quote is looked at first: it rules most others out.
    #[inline(always)]
    fn key_is(&self, name: &str) -> bool {
        let end = self.at + name.len();
        self.bytes.get(end) == Some(&b'"') && self.bytes.get(self.at..end) == Some(name.as_bytes())
    }

    #[inline(always)]
    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(Value::Text(self.string()?))
            }
            Some(b'{' | b'[') => self.nested().map(Value::Nested),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            _ => Err(self.malformed("a value")),
        }
    }

    /// Walks an object or an array with one bit per level, so that no text can exhaust the stack.
    #[inline(never)]
    fn nested(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        let mut is_object: u64 = 0;
        let mut depth: u32 = 0;
        loop {
            // At a value.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == self.max_depth {
                        return Err(self.malformed("less nesting"));
                    }
                    self.at += 1;
                    depth += 1;
                    is_object = (is_object << 1) | u64::from(open == b'{');
                    self.skip_blanks();
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        if open == b'{' {
                            self.key_and_colon()?;
                        }
                        continue;
                    }
                }
                _ => {
                    self.value()?;
                    self.skip_blanks();
                }
            }
            // After a value, or before the end of an empty level.
            loop {
                let object = is_object & 1 == 1;
                match self.peek() {
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    Some(b',') => {
                        self.at += 1;
                        self.skip_blanks();
                        if object {
                            self.key_and_colon()?;
                        }
                        break;
                    }
                    _ => return Err(self.malformed("a comma or the end of the value")),
                }
                self.at += 1;
                depth -= 1;
                is_object >>= 1;
                if depth == 0 {
                    return Ok(self.slice(start, self.at));
                }
                self.skip_blanks();
            }
        }
    }

    fn key_and_colon(&mut self) -> Result<(), Malformed> {
        self.expect(b'"', "a key")?;
        self.string()?;
        self.skip_blanks();
        self.expect(b':', "a colon")?;
        self.skip_blanks();
        Ok(())
    }

    /// Reads a string whose opening quote has been passed, eight bytes at a time.
    #[inline]
    fn string(&mut self) -> Result<Token<'a>, Malformed> {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        /// Sets the high bit of each byte that equals `byte`; only the lowest mark is sure, a borrow may set others above it.
        fn lowest_equal(word: u64, byte: u8) -> u64 {
            let difference = word ^ (ONES * u64::from(byte));
            difference.wrapping_sub(ONES) & !difference
        }
        /// Sets the high bit of exactly those bytes that equal `byte`.
        fn equal(word: u64, byte: u8) -> u64 {
            let difference = word ^ (ONES * u64::from(byte));
            !(((difference & !HIGH) + !HIGH) | difference) & HIGH
        }
        let start = self.at;
        let mut token = Token { raw: "", escaped: false, non_ascii: false, double_blank: false };
        let mut high = 0_u64;
        let mut last_was_blank = 0_u64;
        let mut double_blank = 0_u64;
        loop {
            while let Some(chunk) =
                self.bytes.get(self.at..self.at + 8).and_then(|bytes| bytes.first_chunk::<8>())
            {
                let word = u64::from_le_bytes(*chunk);
                let control = word.wrapping_sub(ONES * 0x20) & !word;
                let stop = (lowest_equal(word, b'"') | lowest_equal(word, b'\\') | control) & HIGH;
                let blanks = equal(word, b' ');
                if stop != 0 {
                    // Bytes before the first stop belong to the string; the stop itself is looked at below.
                    let before = (stop & stop.wrapping_neg()) - 1;
                    let blanks = blanks & before;
                    double_blank |= blanks & ((blanks << 8) | last_was_blank);
                    high |= word & before;
                    let step = stop.trailing_zeros() / 8;
                    last_was_blank = if step == 0 {
                        last_was_blank
                    } else {
                        u64::from(blanks & (0x80 << (8 * (step - 1))) != 0) << 7
                    };
                    self.at += step as usize;
                    break;
                }
                double_blank |= blanks & ((blanks << 8) | last_was_blank);
                last_was_blank = blanks >> 56;
                high |= word;
                self.at += 8;
            }
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.malformed("the end of a string"));
            };
            match byte {
                b'"' => {
                    token.raw = self.slice(start, self.at);
                    token.non_ascii = high & HIGH != 0;
                    token.double_blank = double_blank != 0;
                    self.at += 1;
                    return Ok(token);
                }
                b'\\' => {
                    token.escaped = true;
                    last_was_blank = 0;
                    self.escape()?;
                }
                0..=0x1F => return Err(self.malformed("no control character in a string")),
                _ => {
                    let blank = u64::from(byte == b' ') << 7;
                    double_blank |= blank & last_was_blank;
                    last_was_blank = blank;
                    high |= u64::from(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.malformed("four hexadecimal digits"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.malformed("an escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = self.slice(start, self.at);
        self.wide_numbers |= is_wide(number);
        Ok(number)
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.malformed("a value"))
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.malformed(expected))
        }
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Cuts between two structural bytes, which are ASCII and so always character boundaries.
    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { at_byte: self.at, expected }
    }
}

/// Says whether `jsonb` may have no room for a number: it has none for 1e200000.
pub(crate) fn is_wide(number: &str) -> bool {
    number.len() > MAX_NUMBER || number.bytes().any(|byte| matches!(byte, b'e' | b'E'))
}

impl<'a> Token<'a> {
    /// Returns the text that the token stands for. A lone surrogate, which no text can hold, becomes U+FFFD.
    #[inline]
    pub(crate) fn text(&self) -> Cow<'a, str> {
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

/// Decodes `\uXXXX`, with its second half where it is a surrogate pair; returns the character and the length read.
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
    use proptest::prelude::*;

    fn walk(text: &str) -> Result<Vec<(String, Value<'_>)>, Malformed> {
        let mut members = Members::of(text)?;
        let mut all = Vec::new();
        while let Some(member) = members.next()? {
            all.push((member.key.text().into_owned(), member.value));
        }
        Ok(all)
    }

    fn accepts(text: &str) -> bool {
        walk(text).is_ok()
    }

    #[test]
    fn members_come_in_order_with_their_kind() {
        let members = walk(r#" {"a":"x","b":-1.5e3, "c":null,"d":{"e":[1,{},[]]},"f":true} "#).unwrap();
        let kinds: Vec<_> = members.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let text = Token { raw: "x", escaped: false, non_ascii: false, double_blank: false };
        assert_eq!(
            kinds,
            [
                ("a", Value::Text(text)),
                ("b", Value::Number("-1.5e3")),
                ("c", Value::Null),
                ("d", Value::Nested(r#"{"e":[1,{},[]]}"#)),
                ("f", Value::Bool(true)),
            ]
        );
    }

    #[test]
    fn text_that_is_not_one_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{}x",
            r#"{"a":01}"#,
            r#"{"a":1,}"#,
            r#"{"a":.5}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"\x"}"#,
        ] {
            assert!(!accepts(text), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(accepts(&nested(64)));
        assert!(!accepts(&nested(65)));
        assert!(!accepts(&nested(1_000_000)));
    }

    #[test]
    fn double_blanks_are_seen_across_words_of_eight_bytes() {
        for length in 0..20 {
            for (blanks, seen) in [("  ", true), (" ", false), (" x ", false), (" !", false), ("! ", false)] {
                for tail in 0..10 {
                    let text = format!("{{\"a\":\"{}{blanks}{}\"}}", "x".repeat(length), "y".repeat(tail));
                    let members = walk(&text).unwrap();
                    let Value::Text(token) = members[0].1 else { panic!("a text") };
                    assert_eq!(token.double_blank, seen, "{text}");
                }
            }
        }
    }

    #[test]
    fn lone_surrogates_become_the_replacement_character() {
        assert_eq!(unescape(r"a\ud83d\ude00b"), "a\u{1F600}b");
        assert_eq!(unescape(r"\ud83dx\ude00\ud83d\u0041"), "\u{FFFD}x\u{FFFD}\u{FFFD}A");
    }

    fn json_like() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("-0.5e+7".to_owned()),
            Just("12".to_owned()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        let value = leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[{}]", items.join(", "))),
                proptest::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                    let members: Vec<_> = members
                        .iter()
                        .map(|(k, v)| format!("{} : {v}", serde_json::to_string(k).unwrap()))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        });
        (value, any::<proptest::sample::Index>(), any::<Option<char>>()).prop_map(|(value, index, damage)| {
            let mut text = format!("{{\"k\":{value}}}");
            if let Some(character) = damage {
                let at = index.index(text.len());
                if text.is_char_boundary(at) {
                    text.insert(at, character);
                }
            }
            text
        })
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_serde_json_judges_it(text in json_like()) {
            let judged = serde_json::from_str::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(&text).is_ok();
            // serde_json refuses lone surrogates where it builds text, and only there: none are generated.
            prop_assert_eq!(accepts(&text), judged);
        }

        #[test]
        fn strings_read_as_serde_json_reads_them(text in any::<String>()) {
            let object = format!("{{\"k\":{}}}", serde_json::to_string(&text).unwrap());
            let members = walk(&object).unwrap();
            let Value::Text(token) = members[0].1 else { panic!("a text") };
            prop_assert_eq!(token.text(), text.as_str());
            prop_assert_eq!(token.non_ascii, !text.is_ascii());
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = walk(&text);
        }
    }
}
