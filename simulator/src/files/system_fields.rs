//! Gives a row the system fields that it does not bring along.

use std::ops::Range;

use jiff::Timestamp;

use crate::night;
use crate::row_id::{hash, hidden_number, write_id, write_version};
use crate::soql::{SYSTEM_FIELDS, read_fixed, read_floating, write_fixed};
use crate::stamp::at_millisecond;

/// No request is older than the city's dataset; a date below is a blunder.
const FIRST_SANE_YEAR_MS: i64 = 946_684_800_000;
/// Nor newer than this: 2100.
const LAST_SANE_YEAR_MS: i64 = 4_102_444_800_000;
/// A request is closed within this time, or the date is a blunder.
const LONGEST_CASE_MS: i64 = 2_200 * night::DAY_MS;
/// Where a row without any sane date is put: the first night of 2020.
const NIGHT_WITHOUT_DATE: i64 = 18_263;
/// Batches of one night, as the rows of a file are spread over them.
const TICKS: u64 = 3;

/// What a row says of itself, as found in its text: strings without their quotes.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub unique_key: Option<Range<usize>>,
    pub created_date: Option<Range<usize>>,
    pub closed_date: Option<Range<usize>>,
    pub resolution_date: Option<Range<usize>>,
    /// In the order of `SYSTEM_FIELDS`.
    pub system: [Option<Range<usize>>; 4],
}

/// A row's place in the source's order.
#[derive(Debug)]
pub struct Placed {
    pub updated_at: Timestamp,
    pub row_number: u64,
    pub version: Vec<u8>,
    /// Members to add, each with its comma in front.
    pub added: Vec<u8>,
}

/// Places a row, and writes the system fields that it lacks.
pub fn place(text: &[u8], row: &Range<usize>, found: &Found) -> Placed {
    let bytes = &text[row.clone()];
    let given = |field: usize| found.system[field].clone().map(|range| &text[range]);
    let bits = hash(bytes);

    let dates = Dates::read(text, found);
    let updated_at = given(3)
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(read_fixed)
        .unwrap_or_else(|| at_millisecond(night::updated_at_ms(dates.latest_night(), bits % TICKS)));
    let created_at = at_millisecond(night::created_at_ms(dates.first_night())).min(updated_at);
    let mut id = Vec::with_capacity(18);
    match (given(0), &found.unique_key) {
        (Some(given), _) => id.extend_from_slice(given),
        (None, Some(key)) => write_id(key_number(&text[key.clone()]), &mut id),
        (None, None) => write_id(bits, &mut id),
    }
    let mut version = Vec::with_capacity(17);
    match given(1) {
        Some(given) => version.extend_from_slice(given),
        None => write_version(bits, &mut version),
    }
    let (created, updated) = (write_fixed(created_at), write_fixed(updated_at));
    let values: [&[u8]; 4] = [&id, &version, created.as_bytes(), updated.as_bytes()];
    let mut added = Vec::new();
    if bytes.first() == Some(&b'{') {
        let is_empty = bytes[1..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
        let lacking =
            SYSTEM_FIELDS.iter().zip(values).zip(&found.system).filter(|(_, given)| given.is_none());
        for ((field, value), _) in lacking {
            if !(is_empty && added.is_empty()) {
                added.push(b',');
            }
            added.push(b'"');
            added.extend_from_slice(field.as_bytes());
            added.extend_from_slice(b"\":\"");
            added.extend_from_slice(value);
            added.push(b'"');
        }
    }
    Placed { updated_at, row_number: hidden_number(&id), version, added }
}

/// Keys are counters in another order than time; other texts get a number by their hash.
fn key_number(key: &[u8]) -> u64 {
    std::str::from_utf8(key).ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| hash(key))
}

struct Dates {
    created: Option<i64>,
    latest: Option<i64>,
}

impl Dates {
    fn read(text: &[u8], found: &Found) -> Self {
        let date = |range: &Option<Range<usize>>| {
            let value = std::str::from_utf8(&text[range.clone()?]).ok()?;
            read_floating(value)
                .map(Timestamp::as_millisecond)
                .filter(|at| (FIRST_SANE_YEAR_MS..LAST_SANE_YEAR_MS).contains(at))
        };
        let created = date(&found.created_date);
        let in_time =
            |at: &i64| created.is_none_or(|created| (created..created + LONGEST_CASE_MS).contains(at));
        let others = [&found.closed_date, &found.resolution_date];
        let latest = others.into_iter().filter_map(date).filter(in_time).chain(created).max();
        Self { created, latest }
    }

    fn latest_night(&self) -> i64 {
        self.latest.map_or(NIGHT_WITHOUT_DATE, |at| night::night_of(night::service_day(at)))
    }

    fn first_night(&self) -> i64 {
        self.created.or(self.latest).map_or(NIGHT_WITHOUT_DATE, |at| night::night_of(night::service_day(at)))
    }
}
