//! The grammar: a place in a text, and the steps that move it on.

use crate::error::{CLOSING_QUOTE, COLON, COMMA_OR_BRACE, COMMA_OR_BRACKET, JsonError, NAME, VALUE};
use crate::token::is_wide;

/// Returns the index of the first byte from `at` on that is no white space.
#[inline]
pub fn blank(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// A place in a text. Each step either moves it past what it has read or says what is wrong.
pub(crate) struct Walk<'t> {
    text: &'t [u8],
    pub(crate) at: usize,
    max_depth: usize,
    wide_numbers: bool,
}

impl<'t> Walk<'t> {
    /// Begins at a place; values that are nested deeper than `max_depth` are refused.
    #[inline]
    pub(crate) const fn new(text: &'t [u8], at: usize, max_depth: usize) -> Self {
        Self { text, at, max_depth, wide_numbers: false }
    }

    /// Returns the text that is walked over.
    #[inline]
    pub(crate) const fn text(&self) -> &'t [u8] {
        self.text
    }

    /// Says whether a number so far, at whatever depth, [is wide](is_wide).
    #[inline]
    pub(crate) const fn wide_numbers(&self) -> bool {
        self.wide_numbers
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.malformed(expected))
        }
    }

    #[inline]
    pub(crate) fn skip_blanks(&mut self) {
        self.at = blank(self.text, self.at);
    }

    #[cold]
    pub(crate) fn malformed(&self, expected: &'static str) -> JsonError {
        JsonError::new(self.text, self.at, expected)
    }

    /// Passes over a value.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string(&mut Unseen)
            }
            Some(b'{' | b'[') => self.nested(),
            Some(b'n') => self.literal(b"null"),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.malformed(VALUE)),
        }
    }

    /// Passes over an object or an array with one bit per level, so that no text can exhaust the stack.
    #[inline(never)]
    pub(crate) fn nested(&mut self) -> Result<(), JsonError> {
        let mut levels = Levels::default();
        loop {
            // At a value.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if levels.depth == self.max_depth {
                        return Err(self.malformed("less nesting"));
                    }
                    self.at += 1;
                    let is_object = open == b'{';
                    levels.push(is_object);
                    self.skip_blanks();
                    if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                        if is_object {
                            self.name()?;
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
                let is_object = levels.innermost_is_object();
                match self.peek() {
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    Some(b',') => {
                        self.at += 1;
                        self.skip_blanks();
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    _ if is_object => return Err(self.malformed(COMMA_OR_BRACE)),
                    _ => return Err(self.malformed(COMMA_OR_BRACKET)),
                }
                self.at += 1;
                levels.pop();
                if levels.depth == 0 {
                    return Ok(());
                }
                self.skip_blanks();
            }
        }
    }

    /// Passes over the name of a member and its colon.
    fn name(&mut self) -> Result<(), JsonError> {
        self.expect(b'"', NAME)?;
        self.string(&mut Unseen)?;
        self.colon()
    }

    /// Passes over the colon after a name.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        self.expect(b':', COLON)?;
        self.skip_blanks();
        Ok(())
    }

    /// Passes over a string whose opening quote has been passed, eight bytes at a time: nearly all of a row
    /// is inside of strings. Tells `seen` what stands in it.
    #[inline]
    pub(crate) fn string(&mut self, seen: &mut impl Watch) -> Result<(), JsonError> {
        loop {
            while let Some(chunk) =
                self.text.get(self.at..self.at + 8).and_then(|bytes| bytes.first_chunk::<8>())
            {
                let word = u64::from_le_bytes(*chunk);
                let control = word.wrapping_sub(ONES * 0x20) & !word;
                let stop = (lowest_equal(word, b'"') | lowest_equal(word, b'\\') | control) & HIGH;
                if stop != 0 {
                    // Bytes before the first stop belong to the string; the stop itself is looked at below.
                    let before = (stop & stop.wrapping_neg()) - 1;
                    let step = stop.trailing_zeros() / 8;
                    seen.part(word, before, step);
                    self.at += step as usize;
                    break;
                }
                seen.word(word);
                self.at += 8;
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    seen.escape();
                    self.escape()?;
                }
                Some(0..=0x1F) => return Err(self.malformed("no control character within a text")),
                Some(byte) => {
                    seen.byte(byte);
                    self.at += 1;
                }
                None => return Err(self.malformed(CLOSING_QUOTE)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.malformed("four hexadecimal digits after `\\u`"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.malformed("an escape that JSON has")),
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<(), JsonError> {
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
        self.wide_numbers |= is_wide(self.text.get(start..self.at).unwrap_or_default());
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.malformed("a digit")) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(());
        }
        let same = |(index, byte): &(usize, &u8)| self.text.get(self.at + index) == Some(*byte);
        self.at += word.iter().enumerate().take_while(same).count();
        Err(self.malformed(VALUE))
    }
}

/// The levels that are open, one bit each: the bit of an object is set. The innermost has the lowest bit.
#[derive(Default)]
struct Levels {
    bits: u64,
    depth: usize,
    /// The bits of the outer levels, 64 at a time.
    outer: Vec<u64>,
}

impl Levels {
    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.outer.push(self.bits);
        }
        self.bits = (self.bits << 1) | u64::from(is_object);
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
        if self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    #[inline]
    const fn innermost_is_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

/// Is told what stands in a string, in order.
pub(crate) trait Watch {
    /// Eight bytes of the string.
    fn word(&mut self, word: u64);
    /// The first `count` of eight bytes, less than eight of them, under the mask `before`.
    fn part(&mut self, word: u64, before: u64, count: u32);
    fn byte(&mut self, byte: u8);
    fn escape(&mut self);
}

/// Looks away: the string is only passed over.
pub(crate) struct Unseen;

impl Watch for Unseen {
    #[inline(always)]
    fn word(&mut self, _: u64) {}
    #[inline(always)]
    fn part(&mut self, _: u64, _: u64, _: u32) {}
    #[inline(always)]
    fn byte(&mut self, _: u8) {}
    #[inline(always)]
    fn escape(&mut self) {}
}

/// Notes bytes beyond ASCII, double blanks and escapes.
#[derive(Default)]
pub(crate) struct Seen {
    high: u64,
    last_was_blank: u64,
    double_blank: u64,
    escaped: bool,
}

impl Seen {
    #[inline]
    pub(crate) const fn escaped(&self) -> bool {
        self.escaped
    }

    #[inline]
    pub(crate) const fn non_ascii(&self) -> bool {
        self.high & HIGH != 0
    }

    #[inline]
    pub(crate) const fn double_blank(&self) -> bool {
        self.double_blank != 0
    }
}

impl Watch for Seen {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        let blanks = equal(word, b' ');
        self.double_blank |= blanks & ((blanks << 8) | self.last_was_blank);
        self.last_was_blank = blanks >> 56;
        self.high |= word;
    }

    #[inline(always)]
    fn part(&mut self, word: u64, before: u64, count: u32) {
        let blanks = equal(word, b' ') & before;
        self.double_blank |= blanks & ((blanks << 8) | self.last_was_blank);
        self.high |= word & before;
        if count > 0 {
            self.last_was_blank = u64::from(blanks & (0x80 << (8 * (count - 1))) != 0) << 7;
        }
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        let blank = u64::from(byte == b' ') << 7;
        self.double_blank |= blank & self.last_was_blank;
        self.last_was_blank = blank;
        self.high |= u64::from(byte);
    }

    #[inline(always)]
    fn escape(&mut self) {
        self.escaped = true;
        self.last_was_blank = 0;
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Sets the high bit of each byte that equals `byte`; only the lowest mark is sure, a borrow may set others
/// above it.
#[inline(always)]
fn lowest_equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    difference.wrapping_sub(ONES) & !difference
}

/// Sets the high bit of exactly those bytes that equal `byte`.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let difference = word ^ (ONES * u64::from(byte));
    !(((difference & !HIGH) + !HIGH) | difference) & HIGH
}
