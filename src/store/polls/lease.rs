//! Lets one process at a time run a poll: a lease with a token, in the poll's own row.
//!
//! A lease is data, not a lock: a process that stops in the middle of everything holds nothing that
//! another could wait for, and a process that was taken over learns it from its next step.

use std::time::Duration;

use uuid::Uuid;

use super::Poll;
use crate::fault_point;
use crate::faults::{Failure, Injected};
use crate::store::{Store, StoreError};

/// Processes that look for work take turns.
const ACQUIRE_LOCK: i64 = 0x6e79_6333_3131_0003;

/// A poll that this process runs, as long as it renews in time.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedPoll {
    pub poll: Poll,
    pub token: Uuid,
    /// It had waited in the queue, and nobody has run it since.
    pub taken_from_queue: bool,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    Held { cancel_requested: bool },
    Lost,
}

/// Why a step of a running poll was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process runs the poll now, it starts again, or it has ended: stop working on it.
    #[error("the lease on the poll is lost")]
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

impl Store {
    /// Takes the poll to work on: one that is under way and whose lease has passed, or was this owner's
    /// before it restarted; else, when none is under way, the first of the queue.
    pub async fn acquire_poll(&self, owner: &str, lease: Duration) -> Result<Option<LeasedPoll>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            transaction.execute("select pg_advisory_xact_lock($1)", &[&ACQUIRE_LOCK]).await?;
            let active = transaction
                .query_opt(
                    "select poll_id,
                            lease_token is null or lease_until < clock_timestamp() or lease_owner = $1
                     from nyc311.poll where state in ('running', 'storing') for no key update",
                    &[&owner],
                )
                .await?;
            let (id, taken_from_queue): (Uuid, bool) = match active {
                Some(row) if row.get(1) => (row.get(0), false),
                Some(_) => return Ok(None),
                None => {
                    let next = transaction
                        .query_opt(
                            "select poll_id from nyc311.poll where state = 'queued'
                             order by queued_at, poll_id limit 1 for no key update",
                            &[],
                        )
                        .await?;
                    match next {
                        Some(row) => (row.get(0), true),
                        None => return Ok(None),
                    }
                }
            };
            let token = Uuid::new_v4();
            // a cancellation may have come between reading the queue and locking the row
            let taken = transaction
                .execute(
                    "update nyc311.poll
                     set state = case state when 'queued' then 'running' else state end,
                         started_at = coalesce(started_at, clock_timestamp()),
                         lease_owner = $2, lease_token = $3,
                         lease_until = clock_timestamp() + make_interval(secs => $4)
                     where poll_id = $1 and state in ('queued', 'running', 'storing')",
                    &[&id, &owner, &token, &lease.as_secs_f64()],
                )
                .await?;
            if taken == 0 {
                return Ok(None);
            }
            let poll = Poll::read_existing(&transaction, id).await?;
            fault_point!("poller:acquire:before");
            transaction.commit().await?;
            fault_point!("poller:acquire:after");
            Ok(Some(LeasedPoll { poll, token, taken_from_queue }))
        })
        .await
    }

    /// Prolongs a lease. One that has passed but that nobody took is still held.
    pub async fn renew_lease(&self, id: Uuid, token: Uuid, lease: Duration) -> Result<Lease, StoreError> {
        fault_point!("poller:renew:before");
        let client = self.client().await?;
        let renewed = self
            .bounded(async {
                let row = client
                    .query_opt(
                        "update nyc311.poll
                     set lease_until = clock_timestamp() + make_interval(secs => $3)
                     where poll_id = $1 and lease_token = $2 and state in ('running', 'storing')
                     returning cancel_requested_at is not null",
                        &[&id, &token, &lease.as_secs_f64()],
                    )
                    .await?;
                Ok(row.map_or(Lease::Lost, |row| Lease::Held { cancel_requested: row.get(0) }))
            })
            .await?;
        fault_point!("poller:renew:after");
        Ok(renewed)
    }
}
