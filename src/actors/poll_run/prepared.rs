//! A page of the source made ready for Kafka: each row with its partition, and where the walk goes on.

use std::sync::Arc;

use bytes::Bytes;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use nyc311_domain::{RawHead, peek};

use super::error::{RunError, failed};
use super::succession::{Succession, Verdict};
use super::walk::Walk;
use crate::actors::environment::Environment;
use crate::kafka::RawRow;
use crate::socrata::{Cursor, Page, salvaged};

/// A row with a longer `:id` is none to go on from: the next question would have to quote it, and an address
/// has an end. The city's have 19 bytes.
const MAX_ROW_ID_BYTES: usize = 1000;

/// A page with what was found in its rows.
pub(super) struct Prepared {
    pub(super) rows: Arc<[RawRow]>,
    pub(super) last: Option<Cursor>,
    pub(super) newest_updated_at: Option<Timestamp>,
    pub(super) newest_created_at: Option<Timestamp>,
    pub(super) answered_at: Timestamp,
    pub(super) out_of_date: bool,
    pub(super) columns: Option<String>,
    /// Which row `last` is.
    pub(super) last_index: Option<usize>,
    /// Asking on would bring nothing that is new.
    pub(super) is_last: bool,
}

impl Prepared {
    /// Prepares the answer to the walk's request; none where it is the end of the source.
    pub(super) fn new(page: Page, walk: &Walk, environment: &Environment) -> Result<Option<Self>, RunError> {
        let mut rows = Vec::with_capacity(page.len());
        let (mut newest_updated_at, mut newest_created_at) = (None, None);
        let mut succession = Succession::after(walk.request.after.as_ref());
        for value in page.rows() {
            let (partition, borough) = with_head(&value, |head| {
                succession.note(&head);
                newest_updated_at = newest_updated_at.max(head.updated_at);
                newest_created_at = newest_created_at.max(head.created_at);
                (environment.partition_map.partition(&head, &value), head.borough)
            });
            rows.push(RawRow { value, borough, partition });
        }
        let last_index = succession.last();
        let last = last_index.and_then(|index| cursor_behind(&rows[index].value));
        let is_full = rows.len() >= walk.request.limit;
        let is_last = match succession.verdict(&rows, &walk.previous, is_full) {
            Verdict::Advances => false,
            Verdict::LastPage => true,
            Verdict::End => return Ok(None),
            Verdict::Wrong { code, detail } => return Err(failed(code, detail)),
        };
        Ok(Some(Self {
            rows: rows.into(),
            last,
            last_index,
            newest_updated_at: newest_updated_at.map(stored_precision),
            newest_created_at,
            // A server without a clock of its own is read by ours; the lag is taken off either.
            answered_at: page.head.answered_at.unwrap_or_else(Timestamp::now),
            out_of_date: page.head.out_of_date,
            columns: page.head.fields,
            is_last,
        }))
    }
}

/// Reads what the walk needs of a row, also of one that is not quite JSON. An `:id` that no question could
/// quote counts as none.
fn with_head<T>(row: &[u8], read: impl FnOnce(RawHead<'_>) -> T) -> T {
    let quotable = |head: RawHead<'_>| {
        let row_id = head.row_id.filter(|row_id| row_id.len() <= MAX_ROW_ID_BYTES);
        read(RawHead { row_id, ..head })
    };
    let head = peek(row);
    if head == RawHead::default() { quotable(peek(&salvaged(row))) } else { quotable(head) }
}

/// Returns where the walk goes on behind a row that can be gone on from.
fn cursor_behind(value: &Bytes) -> Option<Cursor> {
    with_head(value, |head| Some(Cursor::of_row(head.updated_at?, &head.row_id?, value)))
}

/// Rounds down to what PostgreSQL can hold: a durable cursor above the row that it comes from would pass over
/// rows.
fn stored_precision(at: Timestamp) -> Timestamp {
    let floor = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor);
    at.round(floor).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_a_time_is_never_later() {
        for (at, stored) in [
            ("2026-05-11T01:37:29.631250999Z", "2026-05-11T01:37:29.63125Z"),
            ("1969-12-31T23:59:59.000000999Z", "1969-12-31T23:59:59Z"),
            ("2026-05-11T01:37:29.63125Z", "2026-05-11T01:37:29.63125Z"),
        ] {
            assert_eq!(stored_precision(at.parse().unwrap()), stored.parse::<Timestamp>().unwrap());
        }
    }
}
