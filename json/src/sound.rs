//! Single values of a row that is not quite JSON.

use std::ops::Range;

use crate::places::{loose_members, value_end};
use crate::walk::blank;

/// Finds the value of a field in a row that is not quite JSON, if it is sound in itself. Of several the last,
/// as elsewhere.
pub fn sound_value(row: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut found = None;
    loose_members(row, |member, value| {
        let is_sound = &row[member] == name && value_end(row, value.start) == Ok(value.end);
        if is_sound && is_text(&row[value.clone()]) {
            found = Some(value);
        }
    });
    found.or_else(|| last_value(row, name))
}

/// Finds the last sound value under a name where a quote or a bracket too many hides which members there are.
/// Within a text the name would have a backslash before its closing quote.
fn last_value(row: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let quoted = [b"\"", name, b"\""].concat();
    let places = row.windows(quoted.len()).enumerate().rev().filter(|(_, window)| *window == quoted);
    places.map(|(place, _)| place + quoted.len()).find_map(|end| {
        let colon = blank(row, end);
        let start = blank(row, colon + 1);
        let value = start..value_end(row, start).ok()?;
        let ends = matches!(row.get(blank(row, value.end)), Some(b',' | b'}'));
        (row.get(colon) == Some(&b':') && ends && is_text(&row[value.clone()])).then_some(value)
    })
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}
