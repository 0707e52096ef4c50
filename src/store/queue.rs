//! What the queues that are tables have in common: requests are known by their keys, and one of them is under
//! way at a time, run by whoever holds its lease.
//!
//! A lease is data, not a lock: a process that stops in the middle of everything holds nothing that
//! another could wait for, and a process that was taken over learns it from its next step.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::faults::{Failure, Injected};

/// A table whose rows wait, are under way under a lease, and end.
pub(super) struct Queue {
    pub table: &'static str,
    pub id: &'static str,
    /// The states of a row that is under way, as a list of SQL.
    pub active: &'static str,
    /// The first of them.
    pub first: &'static str,
    /// Which of the rows that wait comes next.
    pub order: &'static str,
    /// Processes that look for work take turns by this lock.
    pub acquire_lock: i64,
    /// Submissions take turns by this one, so that the queue's bound and the keys hold between processes.
    pub submission_lock: i64,
}

/// A row that was taken to be worked at.
pub(super) struct Taken {
    pub id: Uuid,
    pub token: Uuid,
    /// It had waited in the queue, and nobody has run it since.
    pub from_queue: bool,
}

/// What is known of a request before it is queued.
pub(super) enum Known {
    /// Nothing: it is to be queued.
    New,
    /// It has failed or was cancelled: it is to be queued again.
    Resumable(Uuid),
    Existing(Uuid),
    /// The key belongs to another request.
    KeyConflict,
    /// It would have to be queued, and as many wait as may.
    QueueFull,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted<T> {
    /// A new one waits in the queue.
    Created(T),
    /// The same request after a failure or a cancellation: the same row, queued again.
    Resumed(T),
    /// The same request once more; nothing happened.
    Existing(T),
    /// The key belongs to another request.
    KeyConflict,
    /// As many wait as may.
    QueueFull,
}

/// What became of a request to cancel.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancel<T> {
    /// It is cancelled: by this request, or it had been before.
    Cancelled {
        cancelled: T,
        now: bool,
    },
    /// It runs; whoever runs it has been asked to stop.
    Requested(T),
    /// It had ended before.
    Finished(T),
    Unknown,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    Held { cancel_requested: bool },
    Lost,
}

/// Why a step of something that is under way was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process runs it now, it starts again, or it has ended: stop working on it.
    #[error("the lease is lost")]
    Lost,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for LeaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Injected> for LeaseError {
    fn from(fault: Injected) -> Self {
        match fault.failure {
            Failure::Fenced => Self::Lost,
            _ => Self::Store(fault.into()),
        }
    }
}

impl Queue {
    /// Looks a request up, in turn with other submissions.
    pub(super) async fn look_up(
        &self,
        transaction: &Transaction<'_>,
        key: Option<&str>,
        request: &serde_json::Value,
        max_queued: u32,
    ) -> Result<Known, StoreError> {
        let Self { table, id, .. } = self;
        transaction.execute("select pg_advisory_xact_lock($1)", &[&self.submission_lock]).await?;
        let known = match key {
            None => None,
            Some(key) => {
                let sql = format!(
                    "select {id}, request = $2, state in ('failed', 'cancelled')
                     from nyc311.{table} where idempotency_key = $1 for no key update"
                );
                transaction.query_opt(&sql, &[&key, request]).await?
            }
        };
        if let Some(row) = &known {
            match (row.get(1), row.get(2)) {
                (false, _) => return Ok(Known::KeyConflict),
                (true, false) => return Ok(Known::Existing(row.get(0))),
                (true, true) => {}
            }
        }
        let sql = format!("select count(*) from nyc311.{table} where state = 'queued'");
        if transaction.query_one(&sql, &[]).await?.get::<_, i64>(0) >= i64::from(max_queued) {
            return Ok(Known::QueueFull);
        }
        Ok(known.map_or(Known::New, |row| Known::Resumable(row.get(0))))
    }

    /// Takes the row to work on: one that is under way and whose lease has passed, or was this owner's
    /// before it restarted; else, when none is under way, the first of the queue.
    pub(super) async fn acquire(
        &self,
        transaction: &Transaction<'_>,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<Taken>, StoreError> {
        let Self { table, id, active, first, order, .. } = self;
        transaction.execute("select pg_advisory_xact_lock($1)", &[&self.acquire_lock]).await?;
        let under_way = format!(
            "select {id}, lease_token is null or lease_until < clock_timestamp() or lease_owner = $1
             from nyc311.{table} where state in ({active}) for no key update"
        );
        let (taken, from_queue): (Uuid, bool) = match transaction.query_opt(&under_way, &[&owner]).await? {
            Some(row) if row.get(1) => (row.get(0), false),
            Some(_) => return Ok(None),
            None => {
                let next = format!(
                    "select {id} from nyc311.{table} p where state = 'queued'
                     order by {order} limit 1 for no key update"
                );
                match transaction.query_opt(&next, &[]).await? {
                    Some(row) => (row.get(0), true),
                    None => return Ok(None),
                }
            }
        };
        let token = Uuid::new_v4();
        // a cancellation may have come between reading the queue and locking the row
        let sql = format!(
            "update nyc311.{table}
             set state = case state when 'queued' then '{first}' else state end,
                 started_at = coalesce(started_at, clock_timestamp()),
                 lease_owner = $2, lease_token = $3,
                 lease_until = clock_timestamp() + make_interval(secs => $4)
             where {id} = $1 and state in ('queued', {active})"
        );
        let held = transaction.execute(&sql, &[&taken, &owner, &token, &lease.as_secs_f64()]).await?;
        Ok((held > 0).then_some(Taken { id: taken, token, from_queue }))
    }

    /// Prolongs a lease. One that has passed but that nobody took is still held.
    pub(super) async fn renew(
        &self,
        client: &impl GenericClient,
        id: Uuid,
        token: Uuid,
        lease: Duration,
    ) -> Result<Lease, StoreError> {
        let Self { table, id: column, active, .. } = self;
        let sql = format!(
            "update nyc311.{table} set lease_until = clock_timestamp() + make_interval(secs => $3)
             where {column} = $1 and lease_token = $2 and state in ({active})
             returning cancel_requested_at is not null"
        );
        let row = client.query_opt(&sql, &[&id, &token, &lease.as_secs_f64()]).await?;
        Ok(row.map_or(Lease::Lost, |row| Lease::Held { cancel_requested: row.get(0) }))
    }

    /// Locks a row, so that what is read of it afterwards is read after whoever held it has committed.
    pub(super) async fn lock(&self, transaction: &Transaction<'_>, id: Uuid) -> Result<(), StoreError> {
        let Self { table, id: column, .. } = self;
        let sql = format!("select from nyc311.{table} where {column} = $1 for no key update");
        transaction.query_opt(&sql, &[&id]).await?;
        Ok(())
    }

    /// Notes that somebody wants a row that is under way to stop.
    pub(super) async fn ask_to_stop(
        &self,
        transaction: &Transaction<'_>,
        id: Uuid,
    ) -> Result<(), StoreError> {
        let Self { table, id: column, .. } = self;
        let sql = format!(
            "update nyc311.{table} set cancel_requested_at = coalesce(cancel_requested_at, now())
             where {column} = $1"
        );
        transaction.execute(&sql, &[&id]).await?;
        Ok(())
    }
}

impl Store {
    /// As [`Store::bounded`], for steps that a lost lease refuses.
    pub(super) async fn leased<T>(
        &self,
        work: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        self.bounded(async { Ok(work.await) }).await?
    }
}
