//! Takes polls in and lets them be cancelled; the idempotency key decides what a repeated request means.

use uuid::Uuid;

use super::{FROZEN_COUNTS, Poll, PollState, Trigger, Window};
use crate::fault_point;
use crate::store::{Store, StoreError};

/// Submissions take turns, so that the queue's bound and the keys hold between processes.
const SUBMISSION_LOCK: i64 = 0x6e79_6333_3131_0002;

/// A poll that is asked for.
#[derive(Debug, Clone)]
pub struct NewPoll {
    pub idempotency_key: Option<String>,
    pub trigger: Trigger,
    /// The body as parsed, as requested: what a repeated key is compared with.
    pub request: serde_json::Value,
    pub window: Window,
}

/// What became of a request for a poll.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// A new poll waits in the queue.
    Created(Poll),
    /// The same request after a failure or a cancellation: the same poll, queued again at its cursor.
    Resumed(Poll),
    /// The same request once more; nothing happened.
    Existing(Poll),
    /// The key belongs to another request.
    KeyConflict,
    /// As many polls wait as may.
    QueueFull,
}

/// What became of a request to cancel.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancel {
    /// It is cancelled: by this request, or it had been before.
    Cancelled {
        poll: Poll,
        now: bool,
    },
    /// It runs; whoever runs it has been asked to stop.
    Requested(Poll),
    /// It had ended before.
    Finished(Poll),
    Unknown,
}

impl Store {
    /// Queues a poll, unless its key is known or the queue is full.
    pub async fn submit_poll(&self, new: &NewPoll, max_queued: u32) -> Result<Submitted, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            transaction.execute("select pg_advisory_xact_lock($1)", &[&SUBMISSION_LOCK]).await?;
            let known = match &new.idempotency_key {
                None => None,
                Some(key) => {
                    transaction
                        .query_opt(
                            "select poll_id, request = $2, state in ('failed', 'cancelled')
                             from nyc311.poll where idempotency_key = $1 for no key update",
                            &[key, &new.request],
                        )
                        .await?
                }
            };
            if let Some(row) = &known {
                let (id, same, resumable): (Uuid, bool, bool) = (row.get(0), row.get(1), row.get(2));
                if !same {
                    return Ok(Submitted::KeyConflict);
                }
                if !resumable {
                    return Ok(Submitted::Existing(Poll::read_existing(&transaction, id).await?));
                }
            }
            let row =
                transaction.query_one("select count(*) from nyc311.poll where state = 'queued'", &[]).await?;
            if row.get::<_, i64>(0) >= i64::from(max_queued) {
                return Ok(Submitted::QueueFull);
            }
            let submitted = match known {
                Some(row) => {
                    let id: Uuid = row.get(0);
                    transaction.execute(RESUME, &[&id]).await?;
                    Submitted::Resumed(Poll::read_existing(&transaction, id).await?)
                }
                None => {
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
    pub async fn cancel_poll(&self, id: Uuid) -> Result<Cancel, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            // the lock comes first, so that the state is read after whoever held it has committed
            transaction
                .query_opt("select from nyc311.poll where poll_id = $1 for no key update", &[&id])
                .await?;
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
                    Cancel::Cancelled { poll: Poll::read_existing(&transaction, id).await?, now: true }
                }
                PollState::Running | PollState::Storing => {
                    transaction
                        .execute(
                            "update nyc311.poll
                             set cancel_requested_at = coalesce(cancel_requested_at, now())
                             where poll_id = $1",
                            &[&id],
                        )
                        .await?;
                    Cancel::Requested(Poll::read_existing(&transaction, id).await?)
                }
                PollState::Cancelled => Cancel::Cancelled { poll, now: false },
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
