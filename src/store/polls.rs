//! Keeps polls: what was asked for, how far it got, how it ended.
//!
//! A poll's state outlives the process. Whoever runs one holds a lease with a token, and every step is
//! refused once the token is another's. What can repeat after a crash: [`Store::record_page`] follows
//! Kafka's acknowledgement, so a page may be published twice, never skipped;
//! [`Store::begin_storing`] and [`Store::finish_poll`] may be called again by whoever takes over.

mod lease;
mod progress;
mod submit;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

pub use self::lease::LeasedPoll;
pub use self::progress::{PageRecord, PollError, RawEnd, SourcePosition};
pub use self::submit::NewPoll;
use super::queue::Queue;
pub use super::queue::{Cancel, Lease, LeaseError, Submitted};
use super::{Store, StoreError};
pub use crate::poll::{PollState, Trigger, Window, WindowOn};

/// What became of a poll's rows; once the poll has ended they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PollCounts {
    pub pages: i64,
    pub fetched: i64,
    pub published: i64,
    /// What a restart published again: arrivals less fetched.
    pub republished: i64,
    pub stored: i64,
    pub duplicate: i64,
    pub reenriched: i64,
    pub dead_lettered: i64,
}

/// One poll, as the API shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    pub id: Uuid,
    pub state: PollState,
    pub attempt: i32,
    pub trigger: Trigger,
    pub idempotency_key: Option<String>,
    /// The body as it was asked for.
    pub request: serde_json::Value,
    /// 1 for the next to run; none unless queued.
    pub queue_position: Option<i64>,
    pub window: Window,
    /// The last row whose page is acknowledged: `:updated_at` and `:id`.
    pub cursor: Option<(Timestamp, String)>,
    pub newest_source_updated_at: Option<Timestamp>,
    pub newest_created_at: Option<Timestamp>,
    pub counts: PollCounts,
    pub error: Option<PollError>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub storing_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub cancel_requested_at: Option<Timestamp>,
}

/// What the metrics say about all polls together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollOverview {
    pub queued: i64,
    pub last_success_at: Option<Timestamp>,
    pub newest_source_updated_at: Option<Timestamp>,
}

/// The queue of polls. One from the durable cursor on is small, and freshness waits for it; a backfill may
/// take days, and nothing is late by it.
const POLLS: Queue = Queue {
    table: "poll",
    id: "poll_id",
    active: "'running', 'storing'",
    first: "running",
    order: "(p.window_since is not null or p.window_until is not null), p.queued_at, p.poll_id",
    acquire_lock: 0x6e79_6333_3131_0003,
    submission_lock: 0x6e79_6333_3131_0002,
};

/// Reads polls as the API shows them; a condition and an order follow.
const SELECT_POLL: &str = "
    select p.poll_id, p.state, p.attempt, p.trigger, p.idempotency_key, p.request,
           p.window_on, p.window_since, p.window_until, p.cursor_updated_at, p.cursor_row_id,
           p.newest_source_updated_at, p.newest_created_at, p.pages, p.fetched, p.published,
           n.stored, n.duplicate, n.reenriched, n.dead_lettered,
           case when p.state = 'succeeded' then p.republished
                else greatest(n.stored + n.duplicate + n.reenriched + n.dead_lettered - p.fetched, 0)
           end as republished,
           p.error_code, p.error_stage, p.error_detail, p.error_http_status, p.error_retryable,
           p.created_at, p.started_at, p.storing_at, p.finished_at, p.cancel_requested_at,
           case when p.state = 'queued' then
               (select count(*) from nyc311.poll q
                where q.state = 'queued'
                  and (q.window_since is not null or q.window_until is not null, q.queued_at, q.poll_id)
                      <= (p.window_since is not null or p.window_until is not null, p.queued_at, p.poll_id))
           end as queue_position
    from nyc311.poll p
    cross join lateral (
        select p.stored, p.duplicate, p.reenriched, p.dead_lettered
        where p.state in ('succeeded', 'failed', 'cancelled')
        union all
        select coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint,
               coalesce(sum(reenriched), 0)::bigint, coalesce(sum(dead_lettered), 0)::bigint
        from nyc311.poll_partition where poll_id = p.poll_id
        having p.state not in ('succeeded', 'failed', 'cancelled')
    ) n";

/// How many rows of the poll `p` have arrived.
const ARRIVED: &str = "
    (select coalesce(sum(n.stored + n.duplicate + n.reenriched + n.dead_lettered), 0)::bigint
     from nyc311.poll_partition n where n.poll_id = p.poll_id)";

/// Freezes the counts of the poll `$1` as its partitions have them.
const FROZEN_COUNTS: &str = "
    (stored, duplicate, reenriched, dead_lettered, republished) = (
        select coalesce(sum(n.stored), 0), coalesce(sum(n.duplicate), 0), coalesce(sum(n.reenriched), 0),
               coalesce(sum(n.dead_lettered), 0),
               greatest(
                   coalesce(sum(n.stored + n.duplicate + n.reenriched + n.dead_lettered), 0) - p.fetched, 0)
        from nyc311.poll_partition n where n.poll_id = p.poll_id)";

impl Poll {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let word = |column: &str| -> String { row.get(column) };
        let unknown = |column: &str| StoreError::other(format!("poll.{column} holds an unknown word"));
        let cursor_updated_at: Option<Timestamp> = row.get("cursor_updated_at");
        let cursor_row_id: Option<String> = row.get("cursor_row_id");
        Ok(Self {
            id: row.get("poll_id"),
            state: PollState::from_word(&word("state")).ok_or_else(|| unknown("state"))?,
            attempt: row.get("attempt"),
            trigger: Trigger::from_word(&word("trigger")).ok_or_else(|| unknown("trigger"))?,
            idempotency_key: row.get("idempotency_key"),
            request: row.get("request"),
            queue_position: row.get("queue_position"),
            window: Window {
                on: WindowOn::from_word(&word("window_on")).ok_or_else(|| unknown("window_on"))?,
                since: row.get("window_since"),
                until: row.get("window_until"),
            },
            cursor: cursor_updated_at.zip(cursor_row_id),
            newest_source_updated_at: row.get("newest_source_updated_at"),
            newest_created_at: row.get("newest_created_at"),
            counts: PollCounts {
                pages: row.get("pages"),
                fetched: row.get("fetched"),
                published: row.get("published"),
                republished: row.get("republished"),
                stored: row.get("stored"),
                duplicate: row.get("duplicate"),
                reenriched: row.get("reenriched"),
                dead_lettered: row.get("dead_lettered"),
            },
            error: PollError::from_row(row),
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            storing_at: row.get("storing_at"),
            finished_at: row.get("finished_at"),
            cancel_requested_at: row.get("cancel_requested_at"),
        })
    }

    /// Reads one poll inside whatever transaction the caller has.
    async fn read(
        client: &impl deadpool_postgres::GenericClient,
        id: Uuid,
    ) -> Result<Option<Self>, StoreError> {
        let row = client.query_opt(&format!("{SELECT_POLL} where p.poll_id = $1"), &[&id]).await?;
        row.as_ref().map(Self::from_row).transpose()
    }

    async fn read_existing(
        client: &impl deadpool_postgres::GenericClient,
        id: Uuid,
    ) -> Result<Self, StoreError> {
        Self::read(client, id).await?.ok_or_else(|| StoreError::other("a poll vanished while it was read"))
    }
}

impl Store {
    /// Returns one poll.
    pub async fn poll(&self, id: Uuid) -> Result<Option<Poll>, StoreError> {
        let client = self.client().await?;
        self.bounded(Poll::read(&client, id)).await
    }

    /// Returns what the metrics say about all polls together.
    pub async fn poll_overview(&self) -> Result<PollOverview, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let row = client
                .query_one(
                    "select count(*) filter (where state = 'queued'),
                            max(finished_at) filter (where state = 'succeeded'),
                            max(newest_source_updated_at)
                     from nyc311.poll",
                    &[],
                )
                .await?;
            Ok(PollOverview {
                queued: row.get(0),
                last_success_at: row.get(1),
                newest_source_updated_at: row.get(2),
            })
        })
        .await
    }

    /// Returns when the latest poll from the durable cursor on was asked for, and whether it has ended.
    pub async fn latest_incremental_poll(&self) -> Result<Option<(Timestamp, bool)>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let row = client
                .query_opt(
                    "select created_at, state in ('succeeded', 'failed', 'cancelled') from nyc311.poll
                     where window_since is null and window_until is null order by poll_id desc limit 1",
                    &[],
                )
                .await?;
            Ok(row.map(|row| (row.get(0), row.get(1))))
        })
        .await
    }

    /// Lists polls, newest first: those in one of the states (any, where none is given) that are older
    /// than `before`.
    pub async fn list_polls(
        &self,
        states: &[PollState],
        limit: i64,
        before: Option<Uuid>,
    ) -> Result<Vec<Poll>, StoreError> {
        let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let sql = format!(
            "{SELECT_POLL}
             where (cardinality($1::text[]) = 0 or p.state = any ($1)) and ($2::uuid is null or p.poll_id < $2)
             order by p.poll_id desc limit $3"
        );
        let client = self.client().await?;
        self.bounded(async {
            let rows = client.query(&sql, &[&words, &before, &limit]).await?;
            rows.iter().map(Poll::from_row).collect()
        })
        .await
    }
}
