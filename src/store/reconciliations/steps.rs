//! Records the steps of a reconciliation that runs, each in one transaction that its lease token guards.

use std::time::Duration;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::{RECONCILIATIONS, ReconciledMonth, Reconciliation};
use crate::fault_point;
use crate::reconciliation::{MonthState, ReconciliationState};
use crate::store::polls::PollError;
use crate::store::queue::{Lease, LeaseError};
use crate::store::{Store, StoreError};

/// A reconciliation that this process runs, as long as it renews in time.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedReconciliation {
    pub reconciliation: Reconciliation,
    pub token: Uuid,
}

/// What a comparison has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Every month of both sides, each with what is done about it next.
    pub months: Vec<ReconciledMonth>,
    pub missing: i64,
    pub surplus: i64,
    pub stale: i64,
}

/// Where a reconciliation goes behind a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// On, to this state; with the number of the comparison that comes next or was the last.
    On(ReconciliationState, i16),
    Succeeded,
    Failed(PollError),
    /// Somebody has asked for it.
    Cancelled,
}

impl Store {
    /// Takes the reconciliation to work on, as [`Store::acquire_poll`] takes a poll.
    pub async fn acquire_reconciliation(
        &self,
        owner: &str,
        lease: Duration,
    ) -> Result<Option<LeasedReconciliation>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            let Some(taken) = RECONCILIATIONS.acquire(&transaction, owner, lease).await? else {
                return Ok(None);
            };
            let reconciliation = Reconciliation::read_existing(&transaction, taken.id).await?;
            fault_point!("reconciliation:acquire:before");
            transaction.commit().await?;
            fault_point!("reconciliation:acquire:after");
            Ok(Some(LeasedReconciliation { reconciliation, token: taken.token }))
        })
        .await
    }

    /// Prolongs a lease. One that has passed but that nobody took is still held.
    pub async fn renew_reconciliation(
        &self,
        id: Uuid,
        token: Uuid,
        lease: Duration,
    ) -> Result<Lease, StoreError> {
        let client = self.client().await?;
        self.bounded(RECONCILIATIONS.renew(&client, id, token, lease)).await
    }

    /// Records what a comparison has found, and goes where that leads. A month keeps what was done about it
    /// before, and what its keys have told.
    pub async fn record_comparison(
        &self,
        id: Uuid,
        token: Uuid,
        found: &Found,
        step: &Step,
    ) -> Result<(), LeaseError> {
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            take_step(&transaction, id, token, step).await?;
            transaction
                .execute(
                    "update nyc311.reconciliation set missing = $2, surplus = $3, stale = $4
                     where reconciliation_id = $1",
                    &[&id, &found.missing, &found.surplus, &found.stale],
                )
                .await?;
            for month in &found.months {
                transaction
                    .execute(
                        RECORD_MONTH,
                        &[
                            &id,
                            &month.month.to_string(),
                            &month.source_count,
                            &month.our_count,
                            &month.dead_lettered,
                            &month.source_newest,
                            &month.our_newest,
                            &month.action.as_str(),
                            &month.state.as_str(),
                        ],
                    )
                    .await?;
            }
            fault_point!("reconciliation:compare:before");
            transaction.commit().await?;
            fault_point!("reconciliation:compare:after");
            Ok(())
        })
        .await
    }

    /// Notes a poll that was asked for, if it is not noted yet.
    pub async fn note_reconciliation_poll(
        &self,
        id: Uuid,
        token: Uuid,
        poll: Uuid,
    ) -> Result<(), LeaseError> {
        let client = self.client().await?;
        self.leased(async {
            fault_point!("reconciliation:note_poll:before");
            let noted = client
                .execute(
                    "update nyc311.reconciliation
                     set polls = case when $3 = any (polls) then polls else polls || $3 end
                     where reconciliation_id = $1 and lease_token = $2 and state = 'polling'",
                    &[&id, &token, &poll],
                )
                .await?;
            fault_point!("reconciliation:note_poll:after");
            if noted == 0 { Err(LeaseError::Lost) } else { Ok(()) }
        })
        .await
    }

    /// Takes a step that brings nothing of its own.
    pub async fn step_reconciliation(&self, id: Uuid, token: Uuid, step: &Step) -> Result<(), LeaseError> {
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            take_step(&transaction, id, token, step).await?;
            fault_point!("reconciliation:step:before");
            transaction.commit().await?;
            fault_point!("reconciliation:step:after");
            Ok(())
        })
        .await
    }
}

async fn take_step(
    transaction: &Transaction<'_>,
    id: Uuid,
    token: Uuid,
    step: &Step,
) -> Result<(), LeaseError> {
    let held = match step {
        Step::On(state, round) => {
            let sql = "update nyc311.reconciliation set state = $3, round = $4
                       where reconciliation_id = $1 and lease_token = $2
                         and state in ('comparing', 'polling', 'withdrawing')";
            transaction.execute(sql, &[&id, &token, &state.as_str(), round]).await?
        }
        Step::Succeeded | Step::Cancelled => {
            let state = if *step == Step::Succeeded { "succeeded" } else { "cancelled" };
            let sql = "update nyc311.reconciliation
                       set state = $3, finished_at = now(), lease_token = null, lease_until = null
                       where reconciliation_id = $1 and lease_token = $2
                         and state in ('comparing', 'polling', 'withdrawing')";
            transaction.execute(sql, &[&id, &token, &state]).await?
        }
        Step::Failed(error) => {
            let sql = "update nyc311.reconciliation
                       set state = 'failed', finished_at = now(), lease_token = null, lease_until = null,
                           error_code = $3, error_stage = $4, error_detail = $5, error_http_status = $6,
                           error_retryable = $7
                       where reconciliation_id = $1 and lease_token = $2
                         and state in ('comparing', 'polling', 'withdrawing')";
            let detail = error.detail.replace('\0', "\u{fffd}");
            let status = error.http_status.map(i32::from);
            let PollError { code, stage, retryable, .. } = error;
            transaction.execute(sql, &[&id, &token, code, stage, &detail, &status, retryable]).await?
        }
    };
    if held == 0 {
        return Err(LeaseError::Lost);
    }
    if !matches!(step, Step::On(..)) {
        // Of a walk that it did not end.
        transaction.execute("delete from nyc311.reconciliation_key", &[]).await?;
    }
    Ok(())
}

const RECORD_MONTH: &str = "
    insert into nyc311.reconciliation_month as m
        (reconciliation_id, month, source_count, our_count, dead_lettered, source_newest, our_newest, action,
         state)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (reconciliation_id, month) do update
    set source_count = excluded.source_count, our_count = excluded.our_count,
        dead_lettered = excluded.dead_lettered, source_newest = excluded.source_newest,
        our_newest = excluded.our_newest, state = excluded.state,
        action = case when excluded.action = 'none' then m.action else excluded.action end";

impl ReconciledMonth {
    /// Tells whether the last comparison has found a difference.
    pub fn differs(&self) -> bool {
        self.state == MonthState::Differs
    }
}
