//! A poll as callers see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::Moment;
use crate::poll::{PollState, Trigger, WindowOn};
use crate::store::polls::{Poll, PollError};
use crate::telemetry::labels::StageName;

/// Every field is always there
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Poll)]
pub struct PollDocument {
    pub id: Uuid,
    #[schema(inline)]
    pub state: PollState,
    /// How often it was queued: 1, and 1 more each time that it was asked for again after it failed or was
    /// cancelled
    #[schema(minimum = 1)]
    pub attempt: i32,
    #[schema(inline)]
    pub trigger: Trigger,
    pub idempotency_key: Option<String>,
    /// 1 is next; null unless queued
    #[schema(minimum = 1)]
    pub queue_position: Option<i64>,
    pub window: WindowDocument,
    pub cursor: CursorDocument,
    pub newest: NewestDocument,
    pub counts: CountsDocument,
    pub error: Option<PollErrorDocument>,
    pub created_at: Moment,
    pub started_at: Option<Moment>,
    /// When all pages were in Kafka
    pub storing_at: Option<Moment>,
    pub finished_at: Option<Moment>,
    pub cancel_requested_at: Option<Moment>,
}

/// What the poll reads: [since, until), or from the durable cursor on where both are null
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollWindow)]
pub struct WindowDocument {
    #[schema(inline)]
    pub on: WindowOn,
    /// Inclusive
    pub since: Option<Moment>,
    /// Exclusive
    pub until: Option<Moment>,
}

/// The last row whose page Kafka has acknowledged
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollCursor)]
pub struct CursorDocument {
    pub updated_at: Option<Moment>,
    pub row_id: Option<String>,
}

/// The greatest times seen
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollNewest)]
pub struct NewestDocument {
    pub source_updated_at: Option<Moment>,
    pub created_at: Option<Moment>,
}

/// Rows, but for pages. On success fetched + republished = stored + duplicate + reenriched + dead_lettered;
/// counts of an ended poll never change
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollCounts)]
pub struct CountsDocument {
    #[schema(minimum = 0)]
    pub pages: i64,
    #[schema(minimum = 0)]
    pub fetched: i64,
    #[schema(minimum = 0)]
    pub published: i64,
    /// What a restart published again
    #[schema(minimum = 0)]
    pub republished: i64,
    #[schema(minimum = 0)]
    pub stored: i64,
    /// Versions that the tables had already
    #[schema(minimum = 0)]
    pub duplicate: i64,
    /// Known versions that newer rules have made something else of
    #[schema(minimum = 0)]
    pub reenriched: i64,
    #[schema(minimum = 0)]
    pub dead_lettered: i64,
}

impl CountsDocument {
    /// Returns how many rows have come to their end.
    pub fn arrived(&self) -> i64 {
        self.stored + self.duplicate + self.reenriched + self.dead_lettered
    }
}

/// Why the poll failed
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PollError)]
pub struct PollErrorDocument {
    /// Stable; docs/api.md lists them
    #[schema(example = "source_unavailable")]
    pub code: String,
    #[schema(value_type = StageName, inline)]
    pub stage: String,
    pub detail: String,
    /// What the source answered, where that is the reason
    pub http_status: Option<u16>,
    /// Whether the same poll may succeed later
    pub retryable: bool,
}

impl From<&PollError> for PollErrorDocument {
    fn from(error: &PollError) -> Self {
        Self {
            code: error.code.clone(),
            stage: error.stage.clone(),
            detail: error.detail.clone(),
            http_status: error.http_status,
            retryable: error.retryable,
        }
    }
}

impl From<&Poll> for PollDocument {
    fn from(poll: &Poll) -> Self {
        let counts = &poll.counts;
        Self {
            id: poll.id,
            state: poll.state,
            attempt: poll.attempt,
            trigger: poll.trigger,
            idempotency_key: poll.idempotency_key.clone(),
            queue_position: poll.queue_position,
            window: WindowDocument {
                on: poll.window.on,
                since: poll.window.since.map(Moment::from),
                until: poll.window.until.map(Moment::from),
            },
            cursor: CursorDocument {
                updated_at: poll.cursor.as_ref().map(|(updated_at, _)| Moment::from(*updated_at)),
                row_id: poll.cursor.as_ref().map(|(_, row_id)| row_id.clone()),
            },
            newest: NewestDocument {
                source_updated_at: poll.newest_source_updated_at.map(Moment::from),
                created_at: poll.newest_created_at.map(Moment::from),
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
            error: poll.error.as_ref().map(PollErrorDocument::from),
            created_at: poll.created_at.into(),
            started_at: poll.started_at.map(Moment::from),
            storing_at: poll.storing_at.map(Moment::from),
            finished_at: poll.finished_at.map(Moment::from),
            cancel_requested_at: poll.cancel_requested_at.map(Moment::from),
        }
    }
}
