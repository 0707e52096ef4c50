//! Takes reconciliations in and lets them be cancelled; the idempotency key decides what a repeated request
//! means.

use jiff::Timestamp;
use uuid::Uuid;

use super::{RECONCILIATIONS, Reconciliation};
use crate::fault_point;
use crate::reconciliation::ReconciliationState;
use crate::store::queue::{Cancel, Known, Submitted};
use crate::store::{Store, StoreError};

/// A reconciliation that is asked for.
#[derive(Debug, Clone)]
pub struct NewReconciliation {
    pub idempotency_key: Option<String>,
    /// The body as parsed, as requested: what a repeated key is compared with.
    pub request: serde_json::Value,
    /// Bounds of whole months.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Store {
    /// Queues a reconciliation, unless its key is known or the queue is full. One that has failed or was
    /// cancelled begins again: what it compared then says nothing of today.
    pub async fn submit_reconciliation(
        &self,
        new: &NewReconciliation,
        max_queued: u32,
    ) -> Result<Submitted<Reconciliation>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            let key = new.idempotency_key.as_deref();
            let read = |id| Reconciliation::read_existing(&transaction, id);
            let submitted = match RECONCILIATIONS.look_up(&transaction, key, &new.request, max_queued).await?
            {
                Known::KeyConflict => return Ok(Submitted::KeyConflict),
                Known::QueueFull => return Ok(Submitted::QueueFull),
                Known::Existing(id) => return Ok(Submitted::Existing(read(id).await?)),
                Known::Resumable(id) => {
                    transaction.execute(BEGIN_AGAIN, &[&id]).await?;
                    let months = "delete from nyc311.reconciliation_month where reconciliation_id = $1";
                    transaction.execute(months, &[&id]).await?;
                    Submitted::Resumed(read(id).await?)
                }
                Known::New => {
                    let id = Uuid::now_v7();
                    transaction
                        .execute(
                            "insert into nyc311.reconciliation
                                 (reconciliation_id, idempotency_key, request, since, until)
                             values ($1, $2, $3, $4, $5)",
                            &[&id, &new.idempotency_key, &new.request, &new.since, &new.until],
                        )
                        .await?;
                    Submitted::Created(read(id).await?)
                }
            };
            fault_point!("reconciliation:submit:before");
            transaction.commit().await?;
            fault_point!("reconciliation:submit:after");
            Ok(submitted)
        })
        .await
    }

    /// Cancels a queued reconciliation at once and asks a running one to stop.
    pub async fn cancel_reconciliation(&self, id: Uuid) -> Result<Cancel<Reconciliation>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            RECONCILIATIONS.lock(&transaction, id).await?;
            let known = "select from nyc311.reconciliation where reconciliation_id = $1";
            if transaction.query_opt(known, &[&id]).await?.is_none() {
                return Ok(Cancel::Unknown);
            }
            let found = Reconciliation::read_existing(&transaction, id).await?;
            let cancel = match found.state {
                ReconciliationState::Queued => {
                    let sql = "update nyc311.reconciliation
                               set state = 'cancelled', finished_at = now(), cancel_requested_at = now()
                               where reconciliation_id = $1";
                    transaction.execute(sql, &[&id]).await?;
                    let cancelled = Reconciliation::read_existing(&transaction, id).await?;
                    Cancel::Cancelled { cancelled, now: true }
                }
                ReconciliationState::Comparing
                | ReconciliationState::Polling
                | ReconciliationState::Withdrawing => {
                    RECONCILIATIONS.ask_to_stop(&transaction, id).await?;
                    Cancel::Requested(found)
                }
                ReconciliationState::Cancelled => Cancel::Cancelled { cancelled: found, now: false },
                ReconciliationState::Succeeded | ReconciliationState::Failed => Cancel::Finished(found),
            };
            fault_point!("reconciliation:cancel:before");
            transaction.commit().await?;
            fault_point!("reconciliation:cancel:after");
            Ok(cancel)
        })
        .await
    }
}

/// Queues the reconciliation `$1` again, from its beginning.
const BEGIN_AGAIN: &str = "
    update nyc311.reconciliation
    set state = 'queued', attempt = attempt + 1, queued_at = clock_timestamp(), started_at = null,
        finished_at = null, cancel_requested_at = null, round = 1, withdrawn = 0, polls = '{}',
        walk_month = null, walk_row_id = null, missing = null, surplus = null, stale = null,
        error_code = null, error_stage = null, error_detail = null, error_http_status = null,
        error_retryable = null
    where reconciliation_id = $1";
