//! What a reconciliation does about a difference: months are polled again, and rows that are gone from the
//! source are marked.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{ReconciliationRun, unsettled};
use crate::actors::poll_run::{RunError, failed};
use crate::poll::{PollState, Trigger, Window, WindowOn};
use crate::reconciliation::{Month, MonthAction};
use crate::socrata::{Keys, KeysRequest, WhichKeys};
use crate::store::StoreError;
use crate::store::polls::{Cancel, NewPoll, Submitted};
use crate::store::reconciliations::{Gone, KeyPage, ReconciledMonth, Reconciliation};
use crate::supervision::{Named, Wait};
use crate::telemetry::events;

/// How often a poll that was asked for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a full queue is left alone.
const QUEUE_FULL: Duration = Duration::from_secs(5);
/// So many keys make an address of some 5 KB, which every server takes.
const LISTED_KEYS: usize = 300;
/// So many rows that may be gone are read at once: finding them reads the month, and they take a megabyte.
const ROWS_AT_ONCE: i64 = 9_000;

/// Neighbouring months, by the first moment of the first and of the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    first: Month,
    since: Timestamp,
    until: Timestamp,
}

/// Joins months that follow upon each other: a poll each would read the source no faster.
fn stretches(months: impl Iterator<Item = Month>) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for month in months {
        let Some((since, until)) = month.bounds() else { continue };
        match found.last_mut() {
            Some(last) if last.until == since => last.until = until,
            _ => found.push(Stretch { first: month, since, until }),
        }
    }
    found
}

impl ReconciliationRun<'_> {
    /// Polls the months that differ, one stretch after the other.
    pub(super) async fn poll_months(&self, now: &Reconciliation) -> Result<(), RunError> {
        let months = self.environment.store.reconciled_months(now.id).named(Wait::Database).await?;
        let differing = months.iter().filter(|month| month.differs()).map(|month| month.month);
        for stretch in stretches(differing) {
            let poll = self.ask_for_poll(now, stretch).await?;
            self.finished_poll(poll).await?;
        }
        Ok(())
    }

    /// Asks for the poll of a stretch. Its key makes it one poll, however often it is asked for.
    async fn ask_for_poll(&self, now: &Reconciliation, stretch: Stretch) -> Result<Uuid, RunError> {
        let Stretch { first, since, until } = stretch;
        let (store, settings) = (&self.environment.store, &self.environment.settings);
        let new = NewPoll {
            idempotency_key: Some(format!("reconciliation/{}/{}/{first}", now.id, now.attempt)),
            trigger: Trigger::Reconciliation,
            request: json!({"on": WindowOn::CreatedDate, "since": since, "until": until}),
            window: Window { on: WindowOn::CreatedDate, since: Some(since), until: Some(until) },
        };
        let poll = loop {
            match store.submit_poll(&new, settings.poll.max_queued).named(Wait::Database).await? {
                Submitted::Created(poll) | Submitted::Resumed(poll) => {
                    events::poll_entered(PollState::Queued);
                    tracing::info!(poll_id = %poll.id, %since, %until, "months that differ are polled again");
                    break poll;
                }
                Submitted::Existing(poll) => break poll,
                Submitted::QueueFull => tokio::time::sleep(QUEUE_FULL).named(Wait::Pause).await,
                Submitted::KeyConflict => {
                    let key = new.idempotency_key.unwrap_or_default();
                    let detail = format!("another poll has the Idempotency-Key {key}, which is ours");
                    return Err(failed("poll_refused", detail));
                }
            }
        };
        store.note_reconciliation_poll(now.id, self.leased.token, poll.id).named(Wait::Database).await?;
        self.polls.notify_one();
        Ok(poll.id)
    }

    async fn finished_poll(&self, id: Uuid) -> Result<(), RunError> {
        loop {
            let poll = self.environment.store.poll(id).named(Wait::Database).await?;
            let Some(poll) = poll else {
                return Err(failed("poll_failed", format!("poll {id} is gone")));
            };
            match poll.state {
                PollState::Succeeded => return Ok(()),
                PollState::Cancelled => {
                    return Err(failed("poll_cancelled", format!("poll {id} was cancelled")));
                }
                PollState::Failed => {
                    let cause = poll.error.map(|error| format!("{}: {}", error.code, error.detail));
                    let detail = format!("poll {id} failed with {}", cause.unwrap_or_default());
                    return Err(failed("poll_failed", detail));
                }
                PollState::Queued | PollState::Running | PollState::Storing => {}
            }
            tokio::time::sleep(LOOK_EVERY).named(Wait::Pause).await;
        }
    }

    /// Asks the polls of this reconciliation that are still under way to stop.
    pub(super) async fn cancel_polls(&self) -> Result<(), StoreError> {
        let store = &self.environment.store;
        let noted = store.reconciliation(self.id()).await?.map(|now| now.polls).unwrap_or_default();
        for poll in noted {
            if let Cancel::Cancelled { now: true, .. } = store.cancel_poll(poll).await? {
                events::poll_entered(PollState::Cancelled);
            }
        }
        Ok(())
    }

    /// Marks what is gone, in each month that differs and was not walked yet.
    pub(super) async fn withdraw_rows(&self, now: &Reconciliation) -> Result<(), RunError> {
        let months = self.environment.store.reconciled_months(now.id).named(Wait::Database).await?;
        let is_due = |month: &&ReconciledMonth| {
            month.differs() && month.action != MonthAction::Withdraw && month.month != Month::Unknown
        };
        let mut walk = now.walk.clone();
        for month in months.iter().filter(is_due).map(|month| month.month) {
            let after = walk.take().filter(|(walked, _)| *walked == month);
            self.walk_keys(month, after.map(|(_, after)| after)).await?;
            let withdrawn = self.withdraw_month(month).await?;
            let (id, token) = (self.id(), self.leased.token);
            self.environment.store.end_key_walk(id, token, month).named(Wait::Database).await?;
            tracing::info!(%month, withdrawn, "the keys of a month are compared");
        }
        Ok(())
    }

    /// Collects the keys that the source has in a month; `begun` is where a walk of it had come to.
    async fn walk_keys(&self, month: Month, begun: Option<Option<String>>) -> Result<(), RunError> {
        let (store, id, token) = (&self.environment.store, self.id(), self.leased.token);
        let mut after = match begun {
            Some(after) => after,
            None => {
                store.begin_key_walk(id, token, month).named(Wait::Database).await?;
                None
            }
        };
        loop {
            let limit = self.environment.settings.reconciliation.page_keys;
            let which = WhichKeys::OfMonth { month, after: after.clone() };
            let page = self.ask_for_keys(&KeysRequest { which, limit }).await?;
            // A server may give fewer rows than it was asked for, so an empty page alone is the end.
            if page.len == 0 {
                return Ok(());
            }
            if page.last_row_id.is_none() || page.last_row_id == after {
                let detail = format!("a page of the keys of {month} does not go beyond the one before");
                return Err(failed("page_does_not_advance", detail));
            }
            let Keys { rows: keys, last_row_id, .. } = page;
            let page = KeyPage { keys, last_row_id };
            store.record_keys(id, token, &page).named(Wait::Database).await?;
            after = page.last_row_id;
        }
    }

    /// Asks for the rows of a month whose keys were not met, by their keys, and marks those that the source
    /// has not; returns how many. One that it has is in another month there.
    async fn withdraw_month(&self, month: Month) -> Result<u64, RunError> {
        let store = &self.environment.store;
        let (mut after, mut withdrawn) = (None, 0);
        loop {
            let rows = store.rows_without_key(month, after, ROWS_AT_ONCE).named(Wait::Database).await?;
            let Some(last) = rows.last() else { return Ok(withdrawn) };
            after = Some(last.unique_key);
            for rows in rows.chunks(LISTED_KEYS) {
                withdrawn += self.withdraw_gone(rows).await?;
            }
        }
    }

    async fn withdraw_gone(&self, rows: &[Gone]) -> Result<u64, RunError> {
        let keys: Vec<i64> = rows.iter().map(|row| row.unique_key).collect();
        let request = KeysRequest { which: WhichKeys::Listed(keys.clone()), limit: keys.len() };
        let there = self.ask_for_keys(&request).await?;
        let gone: BTreeSet<i64> = there.lack(&keys).copied().collect();
        if gone.is_empty() {
            return Ok(0);
        }
        let rows: Vec<Gone> = rows.iter().filter(|row| gone.contains(&row.unique_key)).cloned().collect();
        let marking = self.environment.store.withdraw(self.id(), self.leased.token, &rows, there.asked_at);
        Ok(marking.named(Wait::Database).await?)
    }

    /// Asks for keys, again while a replica that lags answers.
    async fn ask_for_keys(&self, request: &KeysRequest) -> Result<Keys, RunError> {
        let settings = &self.environment.settings.reconciliation;
        for _ in 0..settings.looks {
            let keys = self.source.fetch_keys(request).named(Wait::Source).await?;
            if !keys.out_of_date {
                return Ok(keys);
            }
            tokio::time::sleep(settings.pause).named(Wait::Pause).await;
        }
        Err(unsettled(format!("only replicas that lag have answered, {} times", settings.looks)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_that_follow_upon_each_other_are_one_poll() {
        let months = ["2025-11", "2025-12", "2026-01", "2026-03", "unknown"];
        let found = stretches(months.into_iter().filter_map(Month::from_word));
        let written: Vec<String> = found
            .iter()
            .map(|stretch| format!("{} {} {}", stretch.first, stretch.since, stretch.until))
            .collect();
        assert_eq!(
            written,
            [
                "2025-11 2025-11-01T04:00:00Z 2026-02-01T05:00:00Z",
                "2026-03 2026-03-01T05:00:00Z 2026-04-01T04:00:00Z"
            ]
        );
    }
}
