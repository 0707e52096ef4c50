//! Lets one process at a time run a poll, and lets a backfill give way.

use std::time::Duration;

use uuid::Uuid;

use super::{POLLS, Poll};
use crate::fault_point;
use crate::store::queue::{Lease, LeaseError};
use crate::store::{Store, StoreError};

/// A poll that this process runs, as long as it renews in time.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedPoll {
    pub poll: Poll,
    pub token: Uuid,
    /// It had waited in the queue, and nobody has run it since.
    pub taken_from_queue: bool,
}

impl Store {
    /// Takes the poll to work on: one that is under way and whose lease has passed, or was this owner's
    /// before it restarted; else, when none is under way, the first of the queue, in which the polls from the
    /// durable cursor on stand before all backfills.
    pub async fn acquire_poll(&self, owner: &str, lease: Duration) -> Result<Option<LeasedPoll>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            let Some(taken) = POLLS.acquire(&transaction, owner, lease).await? else { return Ok(None) };
            let poll = Poll::read_existing(&transaction, taken.id).await?;
            fault_point!("poller:acquire:before");
            transaction.commit().await?;
            fault_point!("poller:acquire:after");
            Ok(Some(LeasedPoll { poll, token: taken.token, taken_from_queue: taken.from_queue }))
        })
        .await
    }

    /// Prolongs a lease. One that has passed but that nobody took is still held.
    pub async fn renew_lease(&self, id: Uuid, token: Uuid, lease: Duration) -> Result<Lease, StoreError> {
        fault_point!("poller:renew:before");
        let client = self.client().await?;
        let renewed = self.bounded(POLLS.renew(&client, id, token, lease)).await?;
        fault_point!("poller:renew:after");
        Ok(renewed)
    }

    /// Tells whether a poll from the durable cursor on waits, to which a backfill gives way.
    pub async fn incremental_poll_waits(&self) -> Result<bool, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let sql = format!("select exists ({WAITING_INCREMENTAL})");
            Ok(client.query_one(&sql, &[]).await?.get(0))
        })
        .await
    }

    /// Puts a running backfill back into the queue, at its place and with its cursor, where a poll from the
    /// durable cursor on waits; tells whether one does.
    pub async fn give_way(&self, id: Uuid, token: Uuid) -> Result<bool, LeaseError> {
        let client = self.client().await?;
        self.leased(async {
            let sql = format!(
                "update nyc311.poll
                 set state = 'queued', lease_owner = null, lease_token = null, lease_until = null
                 where poll_id = $1 and lease_token = $2 and state = 'running'
                   and cancel_requested_at is null and exists ({WAITING_INCREMENTAL})"
            );
            fault_point!("poller:give_way:before");
            let gave_way = client.execute(&sql, &[&id, &token]).await?;
            fault_point!("poller:give_way:after");
            Ok(gave_way > 0)
        })
        .await
    }
}

const WAITING_INCREMENTAL: &str = "
    select from nyc311.poll q
    where q.state = 'queued' and q.window_since is null and q.window_until is null";
