//! Keeps reconciliations: what was asked for, what was found by month, how they ended.
//!
//! As with polls, the state outlives the process, and whoever runs one holds a lease with a token: every step
//! is refused once the token is another's. `actors::reconciliation_run` has the order of the steps.

mod counts;
mod steps;
mod submit;
mod withdraw;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

pub use self::steps::{Found, LeasedReconciliation, Step};
pub use self::submit::NewReconciliation;
pub use self::withdraw::{Gone, KeyPage};
use super::polls::PollError;
use super::queue::Queue;
pub use super::queue::{Cancel, Lease, LeaseError, Submitted};
use super::{Store, StoreError};
use crate::reconciliation::{Month, MonthAction, MonthState, ReconciliationState};

/// One reconciliation, as the API shows it, without its months.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciliation {
    pub id: Uuid,
    pub state: ReconciliationState,
    pub attempt: i32,
    /// The first moment of its first month.
    pub since: Option<Timestamp>,
    /// The first moment of the month after its last one.
    pub until: Option<Timestamp>,
    /// Which comparison is the next, or was the last: 1 to 3.
    pub round: i16,
    pub withdrawn: i64,
    pub polls: Vec<Uuid>,
    /// The month whose keys are being walked, and the last row of it that was.
    pub walk: Option<(Month, Option<String>)>,
    pub error: Option<PollError>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// What the last comparison has found of a month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconciledMonth {
    pub month: Month,
    pub source_count: i64,
    pub our_count: i64,
    pub dead_lettered: i64,
    pub source_newest: Option<Timestamp>,
    pub our_newest: Option<Timestamp>,
    pub action: MonthAction,
    pub state: MonthState,
    /// Of a month that was walked by key: how many keys are there and not here.
    pub keys_missing: Option<i64>,
    /// And how many rows have another `:updated_at`.
    pub keys_changed: Option<i64>,
}

/// What the last comparison of the last reconciliation has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastDifference {
    pub missing: i64,
    pub surplus: i64,
    pub stale: i64,
}

/// The queue of reconciliations, in the order in which they were asked for.
const RECONCILIATIONS: Queue = Queue {
    table: "reconciliation",
    id: "reconciliation_id",
    active: "'comparing', 'polling', 'withdrawing'",
    first: "comparing",
    order: "p.queued_at, p.reconciliation_id",
    acquire_lock: 0x6e79_6333_3131_0011,
    submission_lock: 0x6e79_6333_3131_0012,
};

/// Reads reconciliations; a condition and an order follow.
const SELECT: &str = "
    select reconciliation_id, state, attempt, since, until, round, withdrawn, polls, walk_month, walk_row_id,
           error_code, error_stage, error_detail, error_http_status, error_retryable, created_at, finished_at
    from nyc311.reconciliation";

impl Reconciliation {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let unknown =
            |column: &str| StoreError::other(format!("reconciliation.{column} holds an unknown word"));
        let state: &str = row.get("state");
        let walk_month: Option<&str> = row.get("walk_month");
        let walk = walk_month.map(|month| {
            let month = Month::from_word(month).ok_or_else(|| unknown("walk_month"))?;
            Ok::<_, StoreError>((month, row.get("walk_row_id")))
        });
        Ok(Self {
            id: row.get("reconciliation_id"),
            state: ReconciliationState::from_word(state).ok_or_else(|| unknown("state"))?,
            attempt: row.get("attempt"),
            since: row.get("since"),
            until: row.get("until"),
            round: row.get("round"),
            withdrawn: row.get("withdrawn"),
            polls: row.get("polls"),
            walk: walk.transpose()?,
            error: PollError::from_row(row),
            created_at: row.get("created_at"),
            finished_at: row.get("finished_at"),
        })
    }

    /// Reads one inside whatever transaction the caller has.
    async fn read_existing(
        client: &impl deadpool_postgres::GenericClient,
        id: Uuid,
    ) -> Result<Self, StoreError> {
        let row = client.query_opt(&format!("{SELECT} where reconciliation_id = $1"), &[&id]).await?;
        let row = row.ok_or_else(|| StoreError::other("a reconciliation vanished while it was read"))?;
        Self::from_row(&row)
    }
}

impl ReconciledMonth {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let unknown =
            |column: &str| StoreError::other(format!("reconciliation_month.{column} holds an unknown word"));
        let word = |column: &str| -> &str { row.get(column) };
        Ok(Self {
            month: Month::from_word(word("month")).ok_or_else(|| unknown("month"))?,
            source_count: row.get("source_count"),
            our_count: row.get("our_count"),
            dead_lettered: row.get("dead_lettered"),
            source_newest: row.get("source_newest"),
            our_newest: row.get("our_newest"),
            action: MonthAction::from_word(word("action")).ok_or_else(|| unknown("action"))?,
            state: MonthState::from_word(word("state")).ok_or_else(|| unknown("state"))?,
            keys_missing: row.get("keys_missing"),
            keys_changed: row.get("keys_changed"),
        })
    }
}

impl Store {
    /// Returns one reconciliation.
    pub async fn reconciliation(&self, id: Uuid) -> Result<Option<Reconciliation>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let row = client.query_opt(&format!("{SELECT} where reconciliation_id = $1"), &[&id]).await?;
            row.as_ref().map(Reconciliation::from_row).transpose()
        })
        .await
    }

    /// Returns the months of a reconciliation, in the order of the calendar.
    pub async fn reconciled_months(&self, id: Uuid) -> Result<Vec<ReconciledMonth>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select month, source_count, our_count, dead_lettered, source_newest, our_newest, action,
                            state, keys_missing, keys_changed
                     from nyc311.reconciliation_month where reconciliation_id = $1 order by month",
                    &[&id],
                )
                .await?;
            rows.iter().map(ReconciledMonth::from_row).collect()
        })
        .await
    }

    /// Lists reconciliations, newest first: those in one of the states (any, where none is given) that are
    /// older than `before`.
    pub async fn list_reconciliations(
        &self,
        states: &[ReconciliationState],
        limit: i64,
        before: Option<Uuid>,
    ) -> Result<Vec<Reconciliation>, StoreError> {
        let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let sql = format!(
            "{SELECT}
             where (cardinality($1::text[]) = 0 or state = any ($1))
               and ($2::uuid is null or reconciliation_id < $2)
             order by reconciliation_id desc limit $3"
        );
        let client = self.client().await?;
        self.bounded(async {
            let rows = client.query(&sql, &[&words, &before, &limit]).await?;
            rows.iter().map(Reconciliation::from_row).collect()
        })
        .await
    }

    /// Returns what the last reconciliation has found that came to a comparison and has ended; none before
    /// the first.
    pub async fn last_difference(&self) -> Result<Option<LastDifference>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let row = client
                .query_opt(
                    "select missing, surplus, stale from nyc311.reconciliation
                     where state in ('succeeded', 'failed') and missing is not null
                     order by finished_at desc limit 1",
                    &[],
                )
                .await?;
            Ok(row.map(|row| LastDifference { missing: row.get(0), surplus: row.get(1), stale: row.get(2) }))
        })
        .await
    }
}
