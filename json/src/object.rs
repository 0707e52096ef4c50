//! One object, member by member, without a tree.
//!
//! Strings are handed out as they stand between their quotes together with what the walk saw in them
//! (escapes, bytes beyond ASCII, double blanks), because most strings of most rows need no work at all and
//! the walk has to touch every byte anyway.

use crate::error::{COMMA_OR_BRACE, JsonError, NAME, VALUE};
use crate::token::{Token, Value};
use crate::walk::{Seen, Walk};

/// A member of an object: its key, its value and the text of the whole member.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub key: Token<'a>,
    pub value: Value<'a>,
    pub text: &'a str,
}

/// Walks the members of one object.
pub struct Members<'a> {
    text: &'a str,
    walk: Walk<'a>,
    started: bool,
}

impl<'a> Members<'a> {
    /// Begins at the object that the text consists of; a value that is nested deeper than `max_depth` is
    /// refused when its turn comes.
    pub fn of(text: &'a str, max_depth: usize) -> Result<Self, JsonError> {
        let mut walk = Walk::new(text.as_bytes(), 0, max_depth);
        walk.skip_blanks();
        walk.expect(b'{', "an object")?;
        Ok(Self { text, walk, started: false })
    }

    /// Says whether a number so far, at whatever depth, [is wide](crate::is_wide).
    #[inline]
    pub const fn wide_numbers(&self) -> bool {
        self.walk.wide_numbers()
    }

    /// Returns the next member, or `None` at the end of the object, which must also be the end of the text.
    #[inline]
    #[allow(clippy::should_implement_trait)] // the first error ends it, which an iterator would not say
    pub fn next(&mut self) -> Result<Option<Member<'a>>, JsonError> {
        Ok(self.next_expecting(&[])?.map(|(member, _)| member))
    }

    /// Returns the next member, and which of the `expected` keys it has, if any. To compare a key with a few
    /// likely ones is quicker than to read it and then look it up.
    #[inline(always)]
    pub fn next_expecting(
        &mut self,
        expected: &[&'static str],
    ) -> Result<Option<(Member<'a>, Option<usize>)>, JsonError> {
        if !self.begin_member()? {
            return Ok(None);
        }
        let start = self.walk.at;
        self.walk.expect(b'"', NAME)?;
        let found = expected.iter().position(|name| self.key_is(name));
        let key = match found.and_then(|index| expected.get(index)) {
            Some(name) => {
                self.walk.at += name.len() + 1;
                Token { raw: name, escaped: false, non_ascii: false, double_blank: false }
            }
            None => self.string()?,
        };
        self.walk.colon()?;
        let value = self.value()?;
        let text = self.since(start);
        Ok(Some((Member { key, value, text }, found)))
    }

    /// Steps to the next member, or says that there is none.
    #[inline(always)]
    fn begin_member(&mut self) -> Result<bool, JsonError> {
        let walk = &mut self.walk;
        walk.skip_blanks();
        match walk.peek() {
            Some(b'}') => {
                walk.at += 1;
                walk.skip_blanks();
                return if walk.at == self.text.len() {
                    Ok(false)
                } else {
                    Err(walk.malformed("the end of the text"))
                };
            }
            Some(b',') if self.started => {
                walk.at += 1;
                walk.skip_blanks();
            }
            _ if self.started => return Err(walk.malformed(COMMA_OR_BRACE)),
            _ => {}
        }
        self.started = true;
        Ok(true)
    }

    /// Says whether the key whose opening quote has been passed is `name`. The closing quote is looked at
    /// first: it rules most others out.
    #[inline(always)]
    fn key_is(&self, name: &str) -> bool {
        let (bytes, at) = (self.walk.text(), self.walk.at);
        let end = at + name.len();
        bytes.get(end) == Some(&b'"') && bytes.get(at..end) == Some(name.as_bytes())
    }

    #[inline(always)]
    fn value(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.walk.at;
        match self.walk.peek() {
            Some(b'"') => {
                self.walk.at += 1;
                self.string().map(Value::Text)
            }
            Some(b'{' | b'[') => {
                self.walk.nested()?;
                Ok(Value::Nested(self.since(start)))
            }
            Some(b'n') => self.walk.literal(b"null").map(|()| Value::Null),
            Some(b't') => self.walk.literal(b"true").map(|()| Value::Bool(true)),
            Some(b'f') => self.walk.literal(b"false").map(|()| Value::Bool(false)),
            Some(b'-' | b'0'..=b'9') => {
                self.walk.number()?;
                Ok(Value::Number(self.since(start)))
            }
            _ => Err(self.walk.malformed(VALUE)),
        }
    }

    /// Reads a string whose opening quote has been passed.
    #[inline]
    fn string(&mut self) -> Result<Token<'a>, JsonError> {
        let start = self.walk.at;
        let mut seen = Seen::default();
        self.walk.string(&mut seen)?;
        Ok(Token {
            raw: self.text.get(start..self.walk.at - 1).unwrap_or_default(),
            escaped: seen.escaped(),
            non_ascii: seen.non_ascii(),
            double_blank: seen.double_blank(),
        })
    }

    /// Returns the text from `start` on. Both ends are structural bytes, which are ASCII and so always
    /// character boundaries.
    #[inline]
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.walk.at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(text: &str) -> Result<Vec<(String, Value<'_>)>, JsonError> {
        let mut members = Members::of(text, 64)?;
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
