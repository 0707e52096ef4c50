//! Takes polls in and lets them be cancelled; the idempotency key decides what a repeated request means.

use uuid::Uuid;

use super::{FROZEN_COUNTS, POLLS, Poll, PollState, Trigger, Window};
use crate::fault_point;
use crate::store::queue::{Cancel, Known, Submitted};
use crate::store::{Store, StoreError};

/// A poll that is asked for.
#[derive(Debug, Clone)]
pub struct NewPoll {
    pub idempotency_key: Option<String>,
    pub trigger: Trigger,
    /// The body as parsed, as requested: what a repeated key is compared with.
    pub request: serde_json::Value,
    pub window: Window,
}

impl Store {
    /// Queues a poll, unless its key is known or the queue is full.
    pub async fn submit_poll(&self, new: &NewPoll, max_queued: u32) -> Result<Submitted<Poll>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            let key = new.idempotency_key.as_deref();
            let submitted = match POLLS.look_up(&transaction, key, &new.request, max_queued).await? {
                Known::KeyConflict => return Ok(Submitted::KeyConflict),
                Known::QueueFull => return Ok(Submitted::QueueFull),
                Known::Existing(id) => {
                    return Ok(Submitted::Existing(Poll::read_existing(&transaction, id).await?));
                }
                Known::Resumable(id) => {
                    transaction.execute(RESUME, &[&id]).await?;
                    Submitted::Resumed(Poll::read_existing(&transaction, id).await?)
                }
                Known::New => {
                    let id = Uuid::now_v7();
                    transaction
                        .execute(
                            "insert into nyc311.poll
                                 (poll_id, trigger, idempotency_key, request,
                                  window_on, window_since, window_until)
                             values ($1, $2, $3, $4, $5, $6, $7)",
                            &[
                                &id,
                                &new.trigger.as_str(),
                                &new.idempotency_key,
                                &new.request,
                                &new.window.on.as_str(),
                                &new.window.since,
                                &new.window.until,
                            ],
                        )
                        .await?;
                    Submitted::Created(Poll::read_existing(&transaction, id).await?)
                }
            };
            fault_point!("control:submit:before");
            transaction.commit().await?;
            fault_point!("control:submit:after");
            Ok(submitted)
        })
        .await
    }

    /// Cancels a queued poll at once and asks a running one to stop.
    pub async fn cancel_poll(&self, id: Uuid) -> Result<Cancel<Poll>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            POLLS.lock(&transaction, id).await?;
            let Some(poll) = Poll::read(&transaction, id).await? else {
                return Ok(Cancel::Unknown);
            };
            let cancel = match poll.state {
                PollState::Queued => {
                    let sql = format!(
                        "update nyc311.poll p
                         set state = 'cancelled', finished_at = now(), cancel_requested_at = now(),
                             {FROZEN_COUNTS}
                         where poll_id = $1"
                    );
                    transaction.execute(&sql, &[&id]).await?;
                    Cancel::Cancelled { cancelled: Poll::read_existing(&transaction, id).await?, now: true }
                }
                PollState::Running | PollState::Storing => {
                    POLLS.ask_to_stop(&transaction, id).await?;
                    Cancel::Requested(Poll::read_existing(&transaction, id).await?)
                }
                PollState::Cancelled => Cancel::Cancelled { cancelled: poll, now: false },
                PollState::Succeeded | PollState::Failed => Cancel::Finished(poll),
            };
            fault_point!("control:cancel:before");
            transaction.commit().await?;
            fault_point!("control:cancel:after");
            Ok(cancel)
        })
        .await
    }
}

/// Queues the poll `$1` again. It goes on at its cursor; without one, or with one that Kafka's loss has
/// made worthless, it starts again and counts what it fetches from nought.
const RESUME: &str = "
    update nyc311.poll p
    set state = 'queued', attempt = attempt + 1, queued_at = clock_timestamp(), started_at = null,
        storing_at = null, finished_at = null, cancel_requested_at = null, cursor_lost = false, setbacks = 0,
        cursor_updated_at = case when k.kept then cursor_updated_at end,
        cursor_row_id = case when k.kept then cursor_row_id end,
        pages = case when k.kept then pages else 0 end,
        fetched = case when k.kept then fetched else 0 end,
        published = case when k.kept then published else 0 end,
        newest_source_updated_at = case when k.kept then newest_source_updated_at end,
        newest_created_at = case when k.kept then newest_created_at end,
        arrived_before = case when k.kept then arrived_before else k.arrived end,
        error_code = null, error_stage = null, error_detail = null, error_http_status = null,
        error_retryable = null
    from (select poll_id, not cursor_lost and cursor_row_id is not null as kept,
                 (select coalesce(sum(n.stored + n.duplicate + n.reenriched + n.dead_lettered), 0)
                  from nyc311.poll_partition n where n.poll_id = $1) as arrived
          from nyc311.poll where poll_id = $1) k
    where p.poll_id = k.poll_id";
