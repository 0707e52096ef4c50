//! A poll as callers see it: every field always there, times in UTC with milliseconds.

use jiff::Timestamp;
use serde::Serialize;

use crate::store::polls::{Poll, PollError};

/// Writes a time as every answer of the API does.
pub fn instant(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[derive(Serialize)]
pub struct PollDocument<'a> {
    id: String,
    state: &'static str,
    attempt: i32,
    trigger: &'static str,
    idempotency_key: Option<&'a str>,
    queue_position: Option<i64>,
    window: WindowDocument,
    cursor: CursorDocument<'a>,
    newest: NewestDocument,
    counts: CountsDocument,
    error: Option<&'a PollError>,
    created_at: String,
    started_at: Option<String>,
    storing_at: Option<String>,
    finished_at: Option<String>,
    cancel_requested_at: Option<String>,
}

#[derive(Serialize)]
struct WindowDocument {
    on: &'static str,
    since: Option<String>,
    until: Option<String>,
}

#[derive(Serialize)]
struct CursorDocument<'a> {
    updated_at: Option<String>,
    row_id: Option<&'a str>,
}

#[derive(Serialize)]
struct NewestDocument {
    source_updated_at: Option<String>,
    created_at: Option<String>,
}

#[derive(Serialize)]
struct CountsDocument {
    pages: i64,
    fetched: i64,
    published: i64,
    republished: i64,
    stored: i64,
    duplicate: i64,
    reenriched: i64,
    dead_lettered: i64,
}

impl<'a> From<&'a Poll> for PollDocument<'a> {
    fn from(poll: &'a Poll) -> Self {
        let counts = &poll.counts;
        Self {
            id: poll.id.to_string(),
            state: poll.state.as_str(),
            attempt: poll.attempt,
            trigger: poll.trigger.as_str(),
            idempotency_key: poll.idempotency_key.as_deref(),
            queue_position: poll.queue_position,
            window: WindowDocument {
                on: poll.window.on.as_str(),
                since: poll.window.since.map(instant),
                until: poll.window.until.map(instant),
            },
            cursor: CursorDocument {
                updated_at: poll.cursor.as_ref().map(|(updated_at, _)| instant(*updated_at)),
                row_id: poll.cursor.as_ref().map(|(_, row_id)| row_id.as_str()),
            },
            newest: NewestDocument {
                source_updated_at: poll.newest_source_updated_at.map(instant),
                created_at: poll.newest_created_at.map(instant),
            },
            counts: CountsDocument {
                pages: counts.pages,
                fetched: counts.fetched,
                published: counts.published,
                republished: counts.republished,
                stored: counts.stored,
                duplicate: counts.duplicate,
                reenriched: counts.reenriched,
                dead_lettered: counts.dead_lettered,
            },
            error: poll.error.as_ref(),
            created_at: instant(poll.created_at),
            started_at: poll.started_at.map(instant),
            storing_at: poll.storing_at.map(instant),
            finished_at: poll.finished_at.map(instant),
            cancel_requested_at: poll.cancel_requested_at.map(instant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn times_have_milliseconds_always() {
        assert_eq!(instant("2026-01-01T00:00:00Z".parse().unwrap()), "2026-01-01T00:00:00.000Z");
        assert_eq!(instant("2026-01-01T00:00:00.1234567Z".parse().unwrap()), "2026-01-01T00:00:00.123Z");
    }
}
