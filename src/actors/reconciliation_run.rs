//! One run of a reconciliation: what the source counts by month is held against what is here, and what can be
//! repaired is.
//!
//! Three comparisons at most, with a repair between each two:
//!
//! 1. `comparing`: months that agree are done. Where all do, the reconciliation has succeeded, at the cost of
//!    one question (two, while rows are newer than the durable cursor).
//! 2. `polling`: each stretch of months that differ is polled again, by backfills through the same queue as
//!    all polls. It brings what is missing, and versions that were changed here. Then all is compared again.
//! 3. `withdrawing`: in a month that still differs the source's keys are walked, and a row of ours whose key
//!    is not there is asked for by its key. One that the source then does not have is withdrawn: marked, not
//!    deleted. Then all is compared for the last time; a difference that stays fails the reconciliation.
//!
//! # What is a difference
//!
//! Both sides move while they are counted, see [`crate::reconciliation::Difference`]; and what two looks in a
//! row do not find alike is none ([`looks`]). An answer of a replica that lags is no look.
//!
//! # What is durable, in which order
//!
//! Each step is one PostgreSQL transaction that the lease's token guards: a comparison with where it leads;
//! the id of a poll; a page of keys with the place behind it; rows that are marked with their number.
//!
//! | a crash | what follows |
//! |---|---|
//! | in a comparison | it is made again |
//! | after a poll was asked for, before its id is noted | it is asked for again under its key, and is the same poll |
//! | in a walk | it goes on behind the last page |
//! | before rows are marked, or after | the source is asked for them again, or they are marked |
//!
//! # Why a row that is marked is gone
//!
//! Its version was read before the source was asked, and is still the version when it is marked; whatever
//! brought it here, the source has been asked after that, by its key alone, and has not had it. If it comes
//! back, the page that brings it arrives later, and takes the mark away (`store::write`).

mod looks;
mod repair;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::Instrument;
use uuid::Uuid;

use self::looks::{Compared, Looks};
use super::environment::Environment;
use super::poll_run::{CANCELLED, RunEnd, RunError, failed, poll_error};
use crate::reconciliation::{
    Month, MonthAction, MonthState, OurMonth, ReconciliationState, SourceMonth, settled_until,
};
use crate::socrata::{Counted, MonthsRequest, SocrataClient};
use crate::store::polls::PollError;
use crate::store::reconciliations::{
    Found, Lease, LeaseError, LeasedReconciliation, ReconciledMonth, Reconciliation, Step,
};
use crate::supervision::{Life, Named, Wait};

/// How many months an error names.
const NAMED: usize = 12;

/// Everything that a run needs.
pub struct ReconciliationRun<'a> {
    pub environment: &'a Arc<Environment>,
    pub source: &'a SocrataClient,
    pub life: &'a Life,
    pub leased: LeasedReconciliation,
    /// Wakes the queue of polls.
    pub polls: &'a Notify,
    pub stop: watch::Receiver<bool>,
}

impl ReconciliationRun<'_> {
    /// Runs the reconciliation until it has ended or something gets in the way.
    pub async fn run(self) -> RunEnd {
        let span = tracing::info_span!("reconciliation", reconciliation_id = %self.id());
        async {
            tracing::info!(state = self.leased.reconciliation.state.as_str(), "reconciliation runs");
            let mut stop = self.stop.clone();
            let outcome = tokio::select! {
                outcome = self.life.work("the run of a reconciliation", self.carry_on()) => outcome,
                interruption = self.life.work("the lease of a reconciliation", self.keep_lease()) => {
                    Err(interruption)
                }
                _ = stop.wait_for(|stop| *stop).named(Wait::Idle) => Err(RunError::Stopped),
            };
            self.conclude(outcome).named(Wait::Database).await
        }
        .instrument(span)
        .await
    }

    fn id(&self) -> Uuid {
        self.leased.reconciliation.id
    }

    async fn conclude(&self, outcome: Result<(), RunError>) -> RunEnd {
        let (store, id, token) = (&self.environment.store, self.id(), self.leased.token);
        let recorded = match outcome {
            Ok(()) => return RunEnd::Ended,
            Err(RunError::Failed(error)) if error.code == CANCELLED => {
                if let Err(error) = self.cancel_polls().await {
                    tracing::warn!(%error, "the polls of a cancelled reconciliation go on");
                }
                tracing::info!("reconciliation is cancelled");
                store.step_reconciliation(id, token, &Step::Cancelled).await
            }
            Err(RunError::Failed(error)) => {
                tracing::error!(code = error.code, detail = error.detail, "reconciliation failed");
                store.step_reconciliation(id, token, &Step::Failed(error)).await
            }
            Err(RunError::LeaseLost | RunError::GaveWay) => {
                tracing::warn!("reconciliation belongs to somebody else");
                return RunEnd::Ended;
            }
            Err(RunError::Stopped) => {
                // Released, so that whoever starts next need not wait for the lease to pass.
                let released = store.renew_reconciliation(id, token, Duration::ZERO).await.is_ok();
                tracing::info!(released, "reconciliation stops with the process and goes on later");
                return RunEnd::Stopped;
            }
            Err(RunError::Interrupted(detail)) => return RunEnd::Interrupted(detail),
        };
        match recorded {
            Ok(()) | Err(LeaseError::Lost) => RunEnd::Ended,
            Err(LeaseError::Store(error)) if error.may_pass() => RunEnd::Interrupted(error.to_string()),
            Err(LeaseError::Store(error)) => RunEnd::Broken(error.to_string()),
        }
    }

    /// Renews the lease until something ends the run: it is lost, or a cancellation was asked for.
    async fn keep_lease(&self) -> RunError {
        let lease = self.environment.settings.poll.lease;
        loop {
            let store = &self.environment.store;
            let renewed = store.renew_reconciliation(self.id(), self.leased.token, lease);
            match renewed.named(Wait::Database).await {
                Ok(Lease::Held { cancel_requested: true }) => return failed(CANCELLED, String::new()),
                Ok(Lease::Held { .. }) => {}
                Ok(Lease::Lost) => return RunError::LeaseLost,
                // Whoever takes over meanwhile has another token, and every step of ours is refused.
                Err(error) => tracing::debug!(%error, "lease was not renewed, and is tried again"),
            }
            tokio::time::sleep((lease / 4).min(Duration::from_millis(500))).named(Wait::Pause).await;
        }
    }

    async fn carry_on(&self) -> Result<(), RunError> {
        let (id, token) = (self.id(), self.leased.token);
        let store = &self.environment.store;
        loop {
            let now = store.reconciliation(id).named(Wait::Database).await?;
            let now = now.ok_or(RunError::LeaseLost)?;
            let next = match now.state {
                ReconciliationState::Comparing => {
                    self.compare(&now).await?;
                    continue;
                }
                ReconciliationState::Polling => {
                    self.poll_months(&now).await?;
                    Step::On(ReconciliationState::Comparing, 2)
                }
                ReconciliationState::Withdrawing => {
                    self.withdraw_rows(&now).await?;
                    Step::On(ReconciliationState::Comparing, 3)
                }
                ReconciliationState::Queued => return Err(RunError::LeaseLost),
                ReconciliationState::Succeeded
                | ReconciliationState::Failed
                | ReconciliationState::Cancelled => return Ok(()),
            };
            store.step_reconciliation(id, token, &next).named(Wait::Database).await?;
        }
    }

    /// Makes a comparison and records it with where it leads.
    async fn compare(&self, now: &Reconciliation) -> Result<(), RunError> {
        let store = &self.environment.store;
        let compared = self.look_until_settled(now).await?;
        let before = store.reconciled_months(now.id).named(Wait::Database).await?;
        let found = found(&compared, now.round, &before);
        let differing = found.months.iter().filter(|month| month.differs()).count();
        let (months, round) = (found.months.len(), now.round);
        let step = match (differing, round) {
            (0, _) => Step::Succeeded,
            (_, 1) => Step::On(ReconciliationState::Polling, 1),
            (_, 2) => Step::On(ReconciliationState::Withdrawing, 2),
            _ => Step::Failed(difference_stays(&found)),
        };
        let (missing, surplus) = (found.missing, found.surplus);
        if let Step::Failed(error) = &step {
            tracing::error!(detail = error.detail, "the source and the tables differ");
        } else if differing == 0 {
            tracing::info!(months, round, "the source and the tables agree");
        } else {
            tracing::warn!(months, differing, missing, surplus, round, "months differ");
        }
        store.record_comparison(now.id, self.leased.token, &found, &step).named(Wait::Database).await?;
        Ok(())
    }

    /// Looks at both sides until each month agrees, or has been found to differ alike twice.
    async fn look_until_settled(&self, now: &Reconciliation) -> Result<BTreeMap<Month, Compared>, RunError> {
        let settings = &self.environment.settings.reconciliation;
        let mut looks = Looks::default();
        for look in 1..=settings.looks {
            if look > 1 {
                tokio::time::sleep(settings.pause).named(Wait::Pause).await;
            }
            match self.look(now, looks.pending()).await? {
                Some(seen) => looks.take(seen),
                None => tracing::info!(look, "a replica that lags has answered, it is asked again"),
            }
            if looks.are_settled() {
                return Ok(looks.compared());
            }
        }
        let pending: Vec<String> =
            looks.pending().into_iter().flatten().take(NAMED).map(|month| month.to_string()).collect();
        let moving = match pending.is_empty() {
            true => "only replicas that lag have answered".to_owned(),
            false => format!("no two looks in a row were alike at {}", pending.join(", ")),
        };
        let detail = format!(
            "{moving}, {} looks long: ask again when the source has published, or raise reconciliation.looks",
            settings.looks
        );
        Err(unsettled(detail))
    }

    /// Counts both sides, of these months alone where some are named; none where a replica lags.
    ///
    /// First the settled time, then the source, then the tables: what polls store meanwhile can only make
    /// ours more, which the next look finds to be theirs too.
    async fn look(
        &self,
        now: &Reconciliation,
        only: Option<Vec<Month>>,
    ) -> Result<Option<BTreeMap<Month, (SourceMonth, OurMonth)>>, RunError> {
        let (store, settings) = (&self.environment.store, &self.environment.settings);
        let position = store.source_position(settings.source.dataset()).named(Wait::Database).await?;
        let stored = position.and_then(|position| position.stored_updated_at);
        let request = MonthsRequest {
            since: now.since.map(Month::containing),
            until: now.until.map(Month::containing),
            settled_until: None,
        };
        let all = self.source.count_months(&request).named(Wait::Source).await?;
        let settled_until = settled_until(stored, all.answered_at, settings.source.visibility_lag);
        let is_newer = |counted: &Counted| {
            counted.months.iter().any(|month| month.newest.is_some_and(|newest| newest > settled_until))
        };
        let settled = match is_newer(&all) {
            false => all.clone(),
            true => {
                let request = MonthsRequest { settled_until: Some(settled_until), ..request };
                self.source.count_months(&request).named(Wait::Source).await?
            }
        };
        if all.out_of_date || settled.out_of_date {
            return Ok(None);
        }
        let mut theirs: BTreeMap<Month, SourceMonth> = BTreeMap::new();
        for month in &all.months {
            let counted = theirs.entry(month.month).or_default();
            (counted.count, counted.newest) = (month.rows, month.newest);
        }
        for month in &settled.months {
            let counted = theirs.entry(month.month).or_default();
            (counted.settled, counted.settled_newest) = (month.rows, month.newest);
        }
        let months = match only {
            Some(months) => months,
            None => {
                let ours = store.our_months(now.since, now.until).named(Wait::Database).await?;
                theirs.keys().copied().chain(ours).collect()
            }
        };
        let letters = store.dead_letters_by_month().named(Wait::Database).await?;
        let mut seen = BTreeMap::new();
        for month in months {
            let mut ours = store.count_month(month).named(Wait::Database).await?;
            (ours.dead_lettered, ours.moved) = letters.get(&month).copied().unwrap_or_default();
            seen.insert(month, (theirs.get(&month).copied().unwrap_or_default(), ours));
        }
        Ok(Some(seen))
    }
}

/// The source could not be compared with: asking again later may help.
fn unsettled(detail: String) -> RunError {
    RunError::Failed(PollError { retryable: true, ..poll_error("source_unsettled", detail) })
}

/// Writes down what a comparison has found. A month whose poll was asked for keeps that, whatever it says
/// now.
fn found(compared: &BTreeMap<Month, Compared>, round: i16, before: &[ReconciledMonth]) -> Found {
    let mut found = Found::default();
    for (month, Compared { theirs, ours, difference }) in compared {
        let differs = !difference.is_none();
        found.missing += difference.missing;
        found.surplus += difference.surplus;
        found.stale += i64::from(difference.stale);
        let is_polled = round == 1 && differs && *month != Month::Unknown;
        let known = before.iter().find(|known| known.month == *month);
        found.months.push(ReconciledMonth {
            month: *month,
            source_count: theirs.count,
            our_count: ours.count,
            dead_lettered: ours.dead_lettered,
            source_newest: theirs.newest,
            our_newest: ours.newest,
            action: if is_polled { MonthAction::Poll } else { MonthAction::Nothing },
            state: if differs { MonthState::Differs } else { MonthState::Agrees },
            keys_missing: known.and_then(|known| known.keys_missing),
            keys_changed: known.and_then(|known| known.keys_changed),
        });
    }
    // A month that neither side has any more, since what was here is withdrawn.
    for gone in before.iter().filter(|known| !compared.contains_key(&known.month)) {
        found.months.push(ReconciledMonth {
            source_count: 0,
            our_count: 0,
            dead_lettered: 0,
            source_newest: None,
            our_newest: None,
            action: MonthAction::Nothing,
            state: MonthState::Agrees,
            ..gone.clone()
        });
    }
    found
}

/// Says which months differ for good, and by what.
fn difference_stays(found: &Found) -> PollError {
    let differing: Vec<&ReconciledMonth> = found.months.iter().filter(|month| month.differs()).collect();
    let mut parts: Vec<String> = differing
        .iter()
        .take(NAMED)
        .map(|month| {
            let mut part = format!(
                "{}: the source has {} rows, {} are here and {} are dead letters",
                month.month, month.source_count, month.our_count, month.dead_lettered
            );
            if let (Some(missing), Some(changed)) = (month.keys_missing, month.keys_changed) {
                part.push_str(&format!("; {missing} keys are missing, {changed} have another :updated_at"));
            }
            part
        })
        .collect();
    if differing.len() > NAMED {
        parts.push(format!("and {} months more", differing.len() - NAMED));
    }
    poll_error("difference_stays", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconciliation::Difference;

    fn compared(count: i64, here: i64) -> Compared {
        let theirs = SourceMonth { count, settled: count, ..SourceMonth::default() };
        let ours = OurMonth { count: here, ..OurMonth::default() };
        Compared { theirs, ours, difference: Difference::of(&theirs, &ours) }
    }

    #[test]
    fn a_difference_is_named_by_month_and_counts() {
        let month = |word: &str| Month::from_word(word).unwrap();
        let months = BTreeMap::from([
            (month("2026-04"), compared(10, 10)),
            (month("2026-05"), compared(10, 8)),
            (Month::Unknown, compared(1, 0)),
        ]);
        let found = found(&months, 1, &[]);
        assert_eq!((found.missing, found.surplus, found.stale), (3, 0, 0));
        let actions: Vec<_> = found.months.iter().map(|month| (month.action, month.differs())).collect();
        assert_eq!(
            actions,
            [(MonthAction::Nothing, false), (MonthAction::Poll, true), (MonthAction::Nothing, true)],
            "rows without a date are in no window"
        );
        let error = difference_stays(&found);
        assert_eq!(
            error.detail,
            "2026-05: the source has 10 rows, 8 are here and 0 are dead letters; \
             unknown: the source has 1 rows, 0 are here and 0 are dead letters"
        );
    }

    #[test]
    fn a_month_that_is_gone_on_both_sides_agrees() {
        let month = Month::from_word("2026-04").unwrap();
        let before = found(&BTreeMap::from([(month, compared(0, 3))]), 1, &[]);
        let after = found(&BTreeMap::new(), 3, &before.months);
        assert_eq!((after.months[0].our_count, after.months[0].differs()), (0, false));
    }
}
