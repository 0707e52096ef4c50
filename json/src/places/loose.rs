//! Tells rows apart that are not quite JSON, by quotes and braces alone.
//!
//! A raw control character, an escape that does not exist, `NaN`, `007`, a comma too many: none of them hides
//! where the row ends. A quote or a brace too few or too many does, since everything after it is read
//! wrongly; then the row ends where the next one visibly begins, at `},{"`, which stands in no sound row
//! outside of a list.

use std::ops::Range;

use crate::walk::blank;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    List,
    Object,
}

/// The brackets that are open, where closing ones may be missing or too many.
#[derive(Default)]
struct Depth {
    open: Vec<Open>,
    lists: usize,
    objects: usize,
}

impl Depth {
    fn open(&mut self, kind: Open) {
        self.open.push(kind);
        *self.count(kind) += 1;
    }

    /// Closes the innermost bracket of the kind and what was left open inside; one too many is passed over.
    fn close(&mut self, kind: Open) {
        if *self.count(kind) == 0 {
            return;
        }
        while let Some(open) = self.open.pop() {
            *self.count(open) -= 1;
            if open == kind {
                return;
            }
        }
    }

    fn count(&mut self, kind: Open) -> &mut usize {
        match kind {
            Open::List => &mut self.lists,
            Open::Object => &mut self.objects,
        }
    }

    fn is_outside(&self) -> bool {
        self.open.is_empty()
    }
}

/// Returns the index just past the element of the page's list that begins at `at`; what follows it is a
/// comma, or the bracket that ends the page. None where nothing tells its end.
pub(super) fn element_end(text: &[u8], at: usize) -> Option<usize> {
    balanced_end(text, at).or_else(|| next_row(text, at)).filter(|end| *end > at)
}

/// Walks to where all that the element has opened is closed. None where that would swallow the row that
/// follows.
fn balanced_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = Depth::default();
    let mut at = start;
    loop {
        match *text.get(at)? {
            b'"' => {
                let end = string_end(text, at)?;
                if ends_in_next_row(&text[at + 1..end - 1]) && begins_name(text, end) {
                    return None;
                }
                at = end;
                continue;
            }
            b'{' => {
                // A member begins with its name: an object after a comma is the next row, and a brace is
                // missing.
                if depth.open.last() == Some(&Open::Object) && follows_comma(text, start, at) {
                    return None;
                }
                depth.open(Open::Object);
            }
            b'[' => depth.open(Open::List),
            b'}' => depth.close(Open::Object),
            b']' if depth.is_outside() && blank(text, at + 1) == text.len() => {
                return Some(without_blanks(text, start, at));
            }
            b']' => depth.close(Open::List),
            b',' if depth.is_outside() && !begins_member(text, at + 1) => {
                return Some(without_blanks(text, start, at));
            }
            _ => {}
        }
        at += 1;
    }
}

/// Finds the first place from `at` on where an object ends and the next row or the end of the page follows.
fn next_row(text: &[u8], at: usize) -> Option<usize> {
    let ends = text.get(at..)?.iter().enumerate().filter(|(_, byte)| **byte == b'}');
    ends.map(|(index, _)| at + index + 1).find(|end| {
        let next = blank(text, *end);
        match text.get(next) {
            Some(b']') => blank(text, next + 1) == text.len(),
            Some(b',') => {
                let brace = blank(text, next + 1);
                let quote = blank(text, brace + 1);
                text.get(brace) == Some(&b'{')
                    && text.get(quote) == Some(&b'"')
                    && begins_name(text, quote + 1)
            }
            _ => false,
        }
    })
}

/// Says whether what follows a quote is a name, and not what follows a string that ends there.
fn begins_name(text: &[u8], at: usize) -> bool {
    !matches!(text.get(blank(text, at)), None | Some(b',' | b'}' | b']'))
}

/// Says whether a string ends with `},{`: then, if a name follows it, it has run into the next row for a
/// quote too few.
fn ends_in_next_row(inner: &[u8]) -> bool {
    let without = |text: &'_ [u8], byte: u8| text.trim_ascii_end().strip_suffix(&[byte]).map(<[u8]>::len);
    [b'{', b',', b'}'].into_iter().try_fold(inner.len(), |end, byte| without(&inner[..end], byte)).is_some()
}

fn follows_comma(text: &[u8], start: usize, at: usize) -> bool {
    text[start..at].trim_ascii_end().ends_with(b",")
}

/// Says whether a name and a colon come next: then the comma before them did not end the row, though a brace
/// says so.
pub(super) fn begins_member(text: &[u8], at: usize) -> bool {
    let name = blank(text, at);
    text.get(name) == Some(&b'"')
        && string_end(text, name).is_some_and(|end| text.get(blank(text, end)) == Some(&b':'))
}

fn without_blanks(text: &[u8], start: usize, end: usize) -> usize {
    start + text[start..end].trim_ascii_end().len()
}

/// Returns the index just past the string that begins at `at`, whatever it holds.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Calls `member` with the places of the name (without its quotes) and the value of each member that can be
/// told apart in a row that is not quite JSON. A value may be anything.
pub fn loose_members(row: &[u8], mut member: impl FnMut(Range<usize>, Range<usize>)) {
    if row.first() != Some(&b'{') {
        return;
    }
    let mut at = 1;
    while at < row.len() {
        at = blank(row, at);
        let name = match row.get(at) {
            Some(b'"') => string_end(row, at).map(|end| at + 1..end - 1),
            _ => None,
        };
        let colon = name.as_ref().map(|name| blank(row, name.end + 1));
        let named = name.zip(colon.filter(|colon| row.get(*colon) == Some(&b':')));
        let start = named.as_ref().map_or(at, |(_, colon)| blank(row, colon + 1));
        let end = value_end(row, start);
        if let Some((name, _)) = named {
            member(name, start..without_blanks(row, start, end));
        }
        at = end + 1;
    }
}

/// Returns where the value that begins at `at` gives way to a comma or to the end of its object.
fn value_end(row: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = row.get(at) {
        match byte {
            b'"' => {
                at = string_end(row, at).unwrap_or(row.len());
                continue;
            }
            b'{' | b'[' => depth += 1,
            b',' | b'}' if depth == 0 => return at,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    row.len()
}

#[cfg(test)]
mod tests {
    use super::super::elements;
    use super::*;

    const BEFORE: &str = r#"{"unique_key":"1","descriptor":"sound",":id":"row-1"}"#;
    const AFTER: &str = r#"{"unique_key":"3","location":{"a":["},{",{"b":1},{"c":2}]},":id":"row-3"}"#;

    /// Rows that are not JSON, each in its own way.
    const ODD: [&str; 34] = [
        "{\"a\":\"x\ty},{\",\"b\":\"},{\",\":id\":\"row-2\"}",
        "{\"a\":\"x\ty\",\":id\":\"row-2\"}",
        "{\"a\":\"x\u{1}y\",\":id\":\"row-2\"}",
        "{\"a\":\"x\0y\",\":id\":\"row-2\"}",
        "{\"a\":\"x\ny\",\":id\":\"row-2\"}",
        r#"{"a":"\x41",":id":"row-2"}"#,
        r#"{"a":"\u12",":id":"row-2"}"#,
        r#"{"a":"\ud800 \udc00\ud800",":id":"row-2"}"#,
        r#"{"a":NaN,":id":"row-2"}"#,
        r#"{"a":-Infinity,":id":"row-2"}"#,
        r#"{"a":007,":id":"row-2"}"#,
        r#"{"a":.5,":id":"row-2"}"#,
        r#"{"a":True,"b":None,":id":"row-2"}"#,
        r#"{"a":1,":id":"row-2",}"#,
        r#"{"a":1,,":id":"row-2"}"#,
        r#"{"a":,":id":"row-2"}"#,
        r#"{"a" "b",":id":"row-2"}"#,
        r#"{'a':'it is',":id":"row-2"}"#,
        r#"{a:1,":id":"row-2"}"#,
        r#"{"a":[1,2],,"b":[{"c":1},{"d":NaN}],":id":"row-2"}"#,
        r#"{"a":[1,2,":id":"row-2"}"#,
        r#"{"a":1],":id":"row-2"}"#,
        r#"{"a":{"b":1}},"c":2,":id":"row-2"}"#,
        r#"{"a":1,":id":"row-2"}}"#,
        r#"{"a":{"b":1,":id":"row-2"}"#,
        r#"{"a":"say "hello" to",":id":"row-2"}"#,
        r#"{"a":"5" pipe",":id":"row-2"}"#,
        r#"{"a":"unterminated,":id":"row-2"}"#,
        r#"{"a":1,":id":"row-2}"#,
        r#"{"a":"C:\",":id":"row-2"}"#,
        r#"{"a":"x" /* why */,":id":"row-2"}"#,
        "\u{feff}{\"a\":1}",
        "nothing",
        "{\"a\":\"x\"} trailing",
    ];

    #[test]
    fn an_odd_row_costs_itself_alone() {
        for odd in ODD {
            for rows in [[BEFORE, odd, AFTER], [odd, BEFORE, AFTER], [BEFORE, AFTER, odd], [odd, odd, odd]] {
                for (between, end) in [(",", ""), ("\n,", "\n"), (" ,\r\n\t", " ")] {
                    let page = format!(" [{}]{end}", rows.join(between));
                    let found = elements(page.as_bytes());
                    let found = found.unwrap_or_else(|error| panic!("{error:?} in {page}"));
                    assert!(found.iter().map(|range| &page[range.clone()]).eq(rows), "{page}");
                }
            }
        }
    }

    #[test]
    fn where_nothing_tells_rows_apart_the_page_is_refused_with_the_place() {
        for (page, at, row, expected) in [
            ("<html>", 0, 0, "`[`"),
            ("[1,]", 3, 2, "a value"),
            ("[{\"a\":1},,{\"a\":1}]", 9, 2, "a value"),
            ("[oops", 1, 1, "a value"),
            ("[{]}", 2, 1, "the name of a field"),
            ("[] []", 3, 0, "the end of the answer"),
            ("[{\"a\":1}] x", 10, 1, "the end of the answer"),
            ("[{\"a\":1} 2", 9, 1, "a comma or `]` after the row"),
        ] {
            let refused = elements(page.as_bytes()).unwrap_err();
            assert!(
                (refused.at, refused.row) == (at, row) && refused.expected.starts_with(expected),
                "{refused:?} in {page}"
            );
        }
    }

    #[test]
    fn an_odd_row_that_was_cut_off_is_no_row() {
        for odd in ODD.iter().filter(|odd| odd.starts_with('{')) {
            let page = format!("[{BEFORE}\n,{}", &odd[..odd.len() - 1]);
            assert!(elements(page.as_bytes()).is_err(), "{page}");
        }
    }

    #[test]
    fn a_byte_order_mark_before_the_page_is_passed_over() {
        let page = "\u{feff}[{\"a\":1}]";
        let found = elements(page.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|range| &page[range.clone()]).collect::<Vec<_>>(), [r#"{"a":1}"#]);
    }

    #[test]
    fn depth_is_no_danger_to_an_odd_row() {
        let page = format!("[{{\"a\":{}{}NaN}},7]", "[".repeat(500_000), "}".repeat(500_000));
        assert!(elements(page.as_bytes()).is_ok());
    }

    #[test]
    fn members_of_an_odd_row_are_found() {
        let row = "{\"a\" : \"x\ty\" , nonsense, 7: 8,\"b\":NaN,\"c\":[1,{\"d\":\",\"}],,\":id\":\"row-2\"}";
        let mut found = Vec::new();
        loose_members(row.as_bytes(), |name, value| found.push((&row[name], &row[value])));
        let expected = [("a", "\"x\ty\""), ("b", "NaN"), ("c", "[1,{\"d\":\",\"}]"), (":id", "\"row-2\"")];
        assert_eq!(found, expected);
    }
}
