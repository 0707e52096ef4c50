//! What is done to every text: NUL out, twice-encoded text decoded, blanks collapsed, and words that say
//! nothing emptied.

use std::borrow::Cow;

use nyc311_json::{Token, Value};

use crate::quality::QualityFlags;

/// Words that the city writes where it has nothing to write.
const NOTHING: [&str; 2] = ["N/A", "Unspecified"];

/// A text after cleaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cleaned<'a> {
    pub(crate) text: Cow<'a, str>,
    /// What was done to it; empty if it stands as stated.
    pub(crate) flags: QualityFlags,
}

/// Cleans the value of a text column; `None` for null, arrays and objects.
#[inline]
pub(crate) fn clean<'a>(value: Value<'a>) -> Option<Cleaned<'a>> {
    match value {
        Value::Text(token) => Some(clean_token(&token)),
        Value::Number(digits) => {
            Some(Cleaned { text: Cow::Borrowed(digits), flags: QualityFlags::default() })
        }
        Value::Bool(value) => {
            let word = if value { "true" } else { "false" };
            Some(Cleaned { text: Cow::Borrowed(word), flags: QualityFlags::default() })
        }
        Value::Null | Value::Nested(_) => None,
    }
}

#[inline]
fn clean_token<'a>(token: &Token<'a>) -> Cleaned<'a> {
    let bytes = token.raw.as_bytes();
    let blank_edge = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    if token.escaped || token.non_ascii || token.double_blank || blank_edge {
        clean_text(token.text())
    } else {
        Cleaned { text: Cow::Borrowed(token.raw), flags: QualityFlags::default() }
    }
}

/// Cleans a text. Cleaning what was cleaned changes nothing.
pub(crate) fn clean_text(text: Cow<'_, str>) -> Cleaned<'_> {
    let mut cleaned = Cleaned { text, flags: QualityFlags::default() };
    if cleaned.text.contains('\0') {
        cleaned.text = Cow::Owned(cleaned.text.replace('\0', ""));
        cleaned.flags.insert(QualityFlags::NUL_STRIPPED);
    }
    if cleaned.text.contains(char::REPLACEMENT_CHARACTER) {
        cleaned.flags.insert(QualityFlags::TEXT_DAMAGED);
    }
    // A no-break space may be a blank or half of an encoded character, so one step can make room for the
    // other. Both only ever shorten the text or turn it into plain blanks, so this ends.
    loop {
        let decoded = decode_twice_encoded(&cleaned.text);
        let spaced = collapse_blanks(decoded.as_deref().unwrap_or(&cleaned.text));
        if decoded.is_some() {
            cleaned.flags.insert(QualityFlags::DOUBLE_ENCODING_REPAIRED);
        }
        if spaced.is_some() {
            cleaned.flags.insert(QualityFlags::BLANKS_COLLAPSED);
        }
        match spaced.or(decoded) {
            Some(text) => cleaned.text = Cow::Owned(text),
            None => return cleaned,
        }
    }
}

/// Says whether a text carries nothing: it is empty or one of the words for that.
#[inline]
pub(crate) fn says_nothing(text: &str) -> bool {
    text.is_empty()
        || (matches!(text.len(), 3 | 11) && NOTHING.iter().any(|word| word.eq_ignore_ascii_case(text)))
}

/// Trims a text and makes each run of blanks one blank; `None` where that changes nothing.
pub(crate) fn collapse_blanks(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let mut collapsed = String::with_capacity(text.len());
    collapsed.push_str(words.next().unwrap_or_default());
    for word in words {
        collapsed.push(' ');
        collapsed.push_str(word);
    }
    (collapsed != text).then_some(collapsed)
}

/// Decodes text that was encoded as UTF-8 twice: the apostrophe of `Transportation’s`, for one, arrives as
/// the three characters U+00E2 U+0080 U+0099, which are its three bytes. A run of characters beyond ASCII is
/// decoded where each of them stands for one byte and all bytes together are UTF-8 again.
///
/// Proper text has hardly a letter with two or three signs behind it that form a character together. One sign
/// it has: `É’` and `É®`, as in `CAFÉ’S` and `CAFÉ®`, are the bytes of `ɒ` and `ɮ`. So two characters are
/// decoded only where the first is `Â` or `Ã`, which stand before no sign, and which encode all the letters
/// and signs of Western Europe; and three only where the first is `â`, before which no proper text has two
/// signs, and which encodes quotation marks, dashes and all that typographers use (`Olé”…` stays as it is).
///
/// Returns `None` where there is nothing to decode.
pub fn decode_twice_encoded(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let mut current: Option<String> = None;
    // Text may have been through it more than once; every round shortens it.
    while let Some(decoded) = decode_once(current.as_deref().unwrap_or(text)) {
        current = Some(decoded);
    }
    current
}

fn decode_once(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut changed = false;
    let mut run = Vec::new();
    let mut run_start = None;
    let mut flush = |run: &mut Vec<u8>, run_text: &str, decoded: &mut String| {
        match std::str::from_utf8(run) {
            Ok(meant) if !run.is_empty() && !meant.contains(is_no_proof) => {
                decoded.push_str(meant);
                changed = true;
            }
            _ => decoded.push_str(run_text),
        }
        run.clear();
    };
    for (at, character) in text.char_indices() {
        match byte_of(character) {
            Some(byte) => {
                run_start.get_or_insert(at);
                run.push(byte);
            }
            None => {
                if let Some(start) = run_start.take() {
                    flush(&mut run, text.get(start..at).unwrap_or_default(), &mut decoded);
                }
                decoded.push(character);
            }
        }
    }
    if let Some(start) = run_start {
        flush(&mut run, text.get(start..).unwrap_or_default(), &mut decoded);
    }
    changed.then_some(decoded)
}

/// Says whether a character is two bytes of which the first is none of `Â` (0xC2) and `Ã` (0xC3), or three of
/// which the first is not `â` (0xE2).
fn is_no_proof(meant: char) -> bool {
    matches!(meant, '\u{100}'..='\u{7ff}' | '\u{800}'..='\u{1fff}' | '\u{3000}'..='\u{ffff}')
}

/// Returns the byte that a character beyond ASCII stood for: its own number (Latin-1), or its place in
/// Windows-1252.
fn byte_of(character: char) -> Option<u8> {
    const WINDOWS_1252: [(char, u8); 27] = [
        ('€', 0x80),
        ('‚', 0x82),
        ('ƒ', 0x83),
        ('„', 0x84),
        ('…', 0x85),
        ('†', 0x86),
        ('‡', 0x87),
        ('ˆ', 0x88),
        ('‰', 0x89),
        ('Š', 0x8A),
        ('‹', 0x8B),
        ('Œ', 0x8C),
        ('Ž', 0x8E),
        ('‘', 0x91),
        ('’', 0x92),
        ('“', 0x93),
        ('”', 0x94),
        ('•', 0x95),
        ('–', 0x96),
        ('—', 0x97),
        ('˜', 0x98),
        ('™', 0x99),
        ('š', 0x9A),
        ('›', 0x9B),
        ('œ', 0x9C),
        ('ž', 0x9E),
        ('Ÿ', 0x9F),
    ];
    match u32::from(character) {
        code @ 0x80..=0xFF => u8::try_from(code).ok(),
        0..=0x7F => None,
        _ => WINDOWS_1252.iter().find(|(special, _)| *special == character).map(|(_, byte)| *byte),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(text: &str) -> (String, Vec<&'static str>) {
        let cleaned = clean_text(Cow::Borrowed(text));
        (cleaned.text.into_owned(), cleaned.flags.names().collect())
    }

    #[test]
    fn blanks_are_trimmed_and_collapsed() {
        assert_eq!(
            cleaned("  NORTH    4 STREET\t\r\n"),
            ("NORTH 4 STREET".to_owned(), vec!["blanks_collapsed"])
        );
        assert_eq!(cleaned("WEST 63 STREET"), ("WEST 63 STREET".to_owned(), vec![]));
    }

    #[test]
    fn text_encoded_twice_is_decoded() {
        let (text, flags) = cleaned(
            "the Department of Transportation\u{e2}\u{80}\u{99}s \u{e2}\u{80}\u{9c}Learn More\u{e2}\u{80}\u{9d} link",
        );
        assert_eq!(text, "the Department of Transportation’s “Learn More” link");
        assert_eq!(flags, ["double_encoding_repaired"]);
        assert_eq!(decode_twice_encoded("â€™ and Ã©"), Some("’ and é".to_owned()));
    }

    #[test]
    fn encoded_no_break_space_becomes_a_blank() {
        let (text, flags) = cleaned("closed.\u{c2}\u{a0} Please");
        assert_eq!(
            (text.as_str(), flags),
            ("closed. Please", vec!["blanks_collapsed", "double_encoding_repaired"])
        );
    }

    #[test]
    fn proper_text_beyond_ascii_stands() {
        let texts = [
            "Café “Olé” – naïve",
            "PEÑA’S",
            "50 °C",
            "10 £",
            "señor ½",
            "CAFÉ’S CORNER",
            "“CAFÉ” loud",
            "CAFÉ®",
            "CAFÉ\u{a0}BAR",
            "CAFÉ’S \u{d0}\u{9c}",
            "Olé”…",
        ];
        for text in texts {
            assert_eq!(decode_twice_encoded(text), None, "{text}");
        }
        assert_eq!(cleaned("CAFÉ\u{a0}BAR"), ("CAFÉ BAR".to_owned(), vec!["blanks_collapsed"]));
        assert_eq!(decode_twice_encoded("â„¢ \u{f0}\u{9f}\u{98}\u{80}"), Some("™ 😀".to_owned()));
    }

    #[test]
    fn nul_is_stripped_and_damage_is_doubted() {
        assert_eq!(cleaned("a\0b"), ("ab".to_owned(), vec!["nul_stripped"]));
        assert_eq!(cleaned("a\u{FFFD}"), ("a\u{FFFD}".to_owned(), vec!["text_damaged"]));
    }

    #[test]
    fn words_for_nothing_say_nothing() {
        assert!(["", "N/A", "n/a", "UNSPECIFIED", "Unspecified"].into_iter().all(says_nothing));
        assert!(!["NA", "None", "Unknown", "0 Unspecified", "N/A descriptor"].into_iter().any(says_nothing));
    }

    fn twice_encoded(text: &str) -> String {
        text.bytes().map(char::from).collect()
    }

    proptest! {
        #[test]
        fn cleaning_again_changes_nothing(text in any::<String>(), latin in "[a\u{80}-\u{ff}â€™ \u{a0}\u{0}]{0,12}") {
            for text in [text, latin] {
                let once = clean_text(Cow::Borrowed(&text)).text.into_owned();
                let again = clean_text(Cow::Borrowed(&once));
                prop_assert_eq!(&*again.text, once.as_str());
                prop_assert!(!again.flags.contains(QualityFlags::DOUBLE_ENCODING_REPAIRED));
            }
        }

        #[test]
        fn any_text_encoded_twice_comes_back(text in "[a-z ’“”é–…]{0,20}") {
            prop_assume!(decode_twice_encoded(&text).is_none());
            let decoded = decode_twice_encoded(&twice_encoded(&text));
            prop_assert_eq!(decoded.unwrap_or_else(|| text.clone()), text);
        }
    }
}
