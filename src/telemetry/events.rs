//! What happens in the pipeline, told by name: each event is the counters and, where there is one, the line
//! of the log that belong to it, so that a stage reads as what it does.

use std::time::{Duration, Instant};

use nyc311_domain::TermKind;

use super::in_flight::InFlight;
use super::labels::{
    Dependency, DriftChange, FaultTarget, Flag, OfPartition, Outcome, Reason, RestartReason, SetAside,
    SourceCode, StageName, TransactionEnd, WaitsOn,
};
use super::metrics::metrics;
use crate::faults::{ArmedFault, Happening, Target};
use crate::poll::PollState;

/// A stage has spent the time since `began` waiting.
pub fn waited(stage: StageName, on: WaitsOn, began: Instant) {
    waited_for(stage, on, began.elapsed());
}

/// A stage has spent some time waiting.
pub fn waited_for(stage: StageName, on: WaitsOn, time: Duration) {
    metrics().stage_wait_seconds_total.of((stage, on)).inc_by(time.as_secs_f64());
}

/// A stage has a batch of so many rows.
pub fn batch_seen(stage: StageName, rows: usize) {
    metrics().batch_rows.of(stage).observe(rows as f64);
}

/// A stage is done with so many rows.
pub fn rows_became(stage: StageName, outcome: Outcome, rows: u64) {
    metrics().records_total.of((stage, outcome)).inc_by(rows);
}

/// Rows were handed on, or acknowledged by the next durable place.
pub fn rows_passed(stage: StageName, rows: u64) {
    rows_became(stage, Outcome::Passed, rows);
}

/// A consumer hands on a batch of so many records; it is in flight until what is returned is dropped.
pub fn batch_taken(stage: StageName, records: usize) -> InFlight {
    batch_seen(stage, records);
    rows_passed(stage, records as u64);
    InFlight::batch(stage)
}

/// A stage has made a dead letter of a row.
pub fn row_set_aside(stage: StageName, reason: Reason) {
    rows_became(stage, Outcome::DeadLettered, 1);
    dead_letters_made(stage, reason, 1);
}

/// Rows became dead letters; what else they count as, the stage that writes them counts.
pub fn dead_letters_made(stage: StageName, reason: Reason, letters: u64) {
    if letters > 0 {
        metrics().dead_letters_total.of((stage, reason)).inc_by(letters);
    }
}

/// A row of a page is more than Kafka takes.
pub fn row_too_large(page: u64, bytes: usize, limit: usize) {
    row_set_aside(StageName::Poller, SetAside::RowTooLarge.into());
    tracing::warn!(page, bytes, limit, "row is too large for kafka, it is a dead letter");
}

/// The rules have set a flag on so many rows.
pub fn flag_set(flag: Flag, rows: u64) {
    metrics().quality_flags_total.of(flag).inc_by(rows);
}

/// A batch of so many rows is committed in PostgreSQL, so long after the first attempt.
pub fn batch_written(rows: usize, duration: Duration) {
    batch_seen(StageName::Writer, rows);
    metrics().db_transaction_duration_seconds.observe(duration.as_secs_f64());
}

/// A batch is committed so long after the oldest of its rows was fetched.
pub fn batch_arrived(after: Duration) {
    metrics().end_to_end_latency_seconds.observe(after.as_secs_f64());
}

/// A Kafka transaction has ended.
pub fn transaction_ended(end: TransactionEnd) {
    metrics().kafka_transactions_total.of(end).inc();
}

/// A poll has entered a state.
pub fn poll_entered(state: PollState) {
    metrics().polls_total.of(state).inc();
}

/// A request to the source has ended.
pub fn source_asked(code: SourceCode, duration: Duration) {
    metrics().source_requests_total.of(code).inc();
    metrics().source_request_duration_seconds.observe(duration.as_secs_f64());
    // Whatever it answers with a status, it is there.
    dependency_seen(Dependency::Source, matches!(code, SourceCode::Status(status) if status < 500));
}

/// Somebody has looked whether a dependency is there.
pub fn dependency_seen(dependency: Dependency, is_there: bool) {
    metrics().dependency_up.of(dependency).set(i64::from(is_there));
}

/// A stage is to be rebuilt.
pub fn stage_failed(stage: StageName, reason: RestartReason) {
    metrics().stage_restarts_total.of((stage, reason)).inc();
}

/// Another consumer has the partition now, and what it is behind is for that one to say.
pub fn partition_revoked(partition: OfPartition<'_>) {
    metrics().consumer_lag_records.forget(partition);
    metrics().oldest_uncommitted_record_age_seconds.forget(partition);
}

/// The source uses a word that no rule knows, or names a column no more.
pub fn source_changed(kind: TermKind, value: &str, change: DriftChange, in_log: bool) {
    metrics().drift_total.of((kind, change)).inc();
    if in_log {
        let (kind, change) = (kind.as_str(), change.as_str());
        tracing::warn!(kind, value, change, "the source says something new");
    }
}

/// There is more of it than the log takes.
pub fn source_changed_more(words: usize) {
    tracing::warn!(words, "the source says more that is new: see nyc311.source_term, or nyc311 drift");
}

/// A fault was armed, has struck or has ended; so many are armed now.
pub fn fault_happened(fault: &ArmedFault, happening: Happening, armed: usize) {
    metrics().faults_armed.set(i64::try_from(armed).unwrap_or(i64::MAX));
    let (id, text, hits) = (fault.id, fault.fault.to_string(), fault.hits);
    let at_point = matches!(fault.fault.target, Target::Point(_));
    match happening {
        Happening::Armed if at_point => tracing::warn!(id, fault = text, "fault point armed"),
        Happening::Armed => tracing::warn!(id, fault = text, "stage fault armed"),
        Happening::Hit(times) => {
            let labels = (FaultTarget(fault.fault.target), fault.fault.kind.harm());
            metrics().faults_injected_total.of(labels).inc_by(times);
            if at_point {
                tracing::warn!(id, fault = text, hits, "fault point reached");
            } else {
                tracing::warn!(id, fault = text, hits, "stage fault strikes");
            }
        }
        Happening::Ended => {
            tracing::warn!(id, fault = text, hits, visits = fault.visits, state = %fault.state, "fault ended");
        }
    }
}
