//! Aggregator: turns the streams of all partitions into one write at a time.
//!
//! It folds the versions of a key (the newest becomes current, older ones history, repeats are counted),
//! sorts by key, bounds a batch by rows, bytes and age, and keeps the positions that the batch covers. What
//! it holds is only in memory: its senders wait for the answer, and read again from the positions in
//! PostgreSQL when there is none.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use nyc311_domain::Identity;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::cluster::Cluster;
use super::environment::{Environment, PREPARING};
use super::writer::Writer;
use crate::config::WriteSettings;
use crate::kafka::Record;
use crate::messages::{BatchError, EnrichedBatch, WriteMerged};
use crate::store::{DeadLetter, IncomingRow, PositionAdvance, WriteBatch};
use crate::supervision::{Drain, Life, StageRef, Wait, Waiting, Work};
use crate::telemetry::labels::{SetAside, StageName};
use crate::telemetry::{InFlight, events};

/// How many repeats were folded away, by poll and raw partition.
type Folded = Vec<(Option<Uuid>, i32, u64)>;
type Answer = oneshot::Sender<Result<(), BatchError>>;

/// What will become one transaction.
struct Pending {
    since: Instant,
    rows: Vec<IncomingRow>,
    dead_letters: Vec<DeadLetter>,
    advances: HashMap<(Arc<str>, i32), PositionAdvance>,
    bytes: usize,
    oldest_fetched_at: Option<jiff::Timestamp>,
    answers: Vec<Answer>,
}

impl Pending {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            rows: Vec::new(),
            dead_letters: Vec::new(),
            advances: HashMap::new(),
            bytes: 0,
            oldest_fetched_at: None,
            answers: Vec::new(),
        }
    }

    fn has_room_for(&self, batch: &EnrichedBatch, settings: &WriteSettings) -> bool {
        self.answers.is_empty()
            || (self.rows.len() + self.dead_letters.len() + batch.read.records.len() <= settings.max_rows
                && self.bytes + batch.read.bytes <= settings.max_bytes)
    }

    /// Tells whether it has this share of what a transaction may hold.
    fn fills(&self, share: f64, settings: &WriteSettings) -> bool {
        let of = |most: usize| most as f64 * share;
        (self.rows.len() + self.dead_letters.len()) as f64 >= of(settings.max_rows)
            || self.bytes as f64 >= of(settings.max_bytes)
    }

    /// Notes the positions of a batch; they have to meet those that the batch before it left.
    fn advance(&mut self, batch: &EnrichedBatch) -> Result<(), BatchError> {
        let records = &batch.read;
        let key = (records.topic.clone(), records.partition);
        let Some(advance) = self.advances.get_mut(&key) else {
            let advance = PositionAdvance {
                topic: records.topic.clone(),
                partition: records.partition,
                epoch: batch.epoch,
                from: records.from,
                to: records.to,
                last: records.last,
            };
            self.advances.insert(key, advance);
            return Ok(());
        };
        if advance.epoch != batch.epoch || advance.to != records.from {
            return Err(BatchError::interrupted(format!(
                "{}/{}: a batch of epoch {} from {} does not meet epoch {} at {}",
                records.topic, records.partition, batch.epoch, records.from, advance.epoch, advance.to
            )));
        }
        advance.to = records.to;
        advance.last = records.last.or(advance.last);
        Ok(())
    }
}

/// The actor that merges.
pub struct Aggregator {
    life: Life,
    environment: Arc<Environment>,
    writer: StageRef<Writer>,
    cluster: Option<Cluster>,
    queue: VecDeque<Pending>,
    /// How many batches the writer has.
    writing: usize,
    /// Whether a timer for the head's age is set.
    timed: bool,
    merging: Option<Merging>,
}

/// The work on what is queued or written, and what that waits for.
struct Merging {
    waits: Option<Waiting>,
    work: Work,
}

impl Aggregator {
    pub fn new(life: Life, environment: Arc<Environment>, writer: StageRef<Writer>) -> Self {
        let queue = VecDeque::new();
        Self { life, environment, writer, cluster: None, queue, writing: 0, timed: false, merging: None }
    }

    fn settings(&self) -> &WriteSettings {
        &self.environment.settings.write
    }

    fn take(&mut self, batch: EnrichedBatch, answer: Answer) {
        let room = self.queue.back().is_some_and(|pending| pending.has_room_for(&batch, self.settings()));
        if !room {
            self.queue.push_back(Pending::new());
        }
        let (dead_letter_topic, cluster) =
            (&self.environment.settings.kafka.dead_letter_topic, &self.cluster);
        let (Some(pending), Some(cluster)) = (self.queue.back_mut(), cluster) else { return };
        if let Err(error) = pending.advance(&batch) {
            // A sender that no longer waits has dropped its window already.
            let _ = answer.send(Err(error));
            return;
        }
        let is_dead_letter = *batch.read.topic == **dead_letter_topic;
        pending.bytes += batch.read.bytes;
        for record in batch.read.records {
            if let Some(origin) = &record.headers.origin {
                let oldest = pending.oldest_fetched_at.get_or_insert(origin.fetched_at);
                *oldest = (*oldest).min(origin.fetched_at);
            }
            let place = (batch.read.topic.clone(), batch.read.partition);
            if is_dead_letter {
                pending.dead_letters.push(dead_letter(&self.environment, cluster, place, record));
            } else {
                match nyc311_domain::identity(&record.value) {
                    Ok(identity) => pending.rows.push(incoming(place, record, identity)),
                    Err(error) => {
                        pending.dead_letters.push(unreadable(cluster, place, record, &error.to_string()))
                    }
                }
            }
        }
        pending.answers.push(answer);
    }

    /// Writes the batch at the head if it is full, or old enough, or another one waits behind it.
    fn write_ripe(&mut self, context: &mut Context<Self>) {
        self.write_head(context, false);
    }

    /// Writes the batch at the head if it is ripe, or `waited` for a transaction that has ended: what came
    /// meanwhile is the next batch, so that no timer stands in the way of a pipeline under load.
    fn write_head(&mut self, context: &mut Context<Self>, waited: bool) {
        self.write_ripe_head(context, waited);
        self.tell_work();
    }

    /// Says what there is to do, and what that waits for.
    fn tell_work(&mut self) {
        if self.queue.is_empty() && self.writing == 0 {
            self.merging = None;
            return;
        }
        let wait = match self.writing {
            0 if self.timed => Some(Wait::Pause),
            0 => None,
            _ => Some(Wait::Neighbour),
        };
        let begin = || Merging { waits: None, work: self.life.begin("batches that are merged") };
        let merging = self.merging.get_or_insert_with(begin);
        merging.waits = wait.map(|wait| merging.work.waits(wait));
    }

    fn write_ripe_head(&mut self, context: &mut Context<Self>, waited: bool) {
        let settings = self.settings();
        let Some(head) = self.queue.front() else { return };
        let age = head.since.elapsed();
        let ripe = match self.writing {
            0 => waited || self.queue.len() > 1 || age >= settings.max_age || head.fills(1.0, settings),
            // Worth being prepared while the other one is written; a smaller one may still grow until then.
            1 => self.queue.len() > 1 || head.fills(0.5, settings),
            _ => return,
        };
        if !ripe {
            if self.writing == 0 && !self.timed {
                let wait = settings.max_age - age;
                self.timed = true;
                context.run_later(wait, |actor, context| {
                    actor.timed = false;
                    actor.write_ripe(context);
                });
            }
            return;
        }
        let (Some(pending), Some(cluster)) = (self.queue.pop_front(), self.cluster.clone()) else { return };
        self.writing += 1;
        let in_flight = InFlight::batch(StageName::Aggregator);
        let merged = pending.rows.len() + pending.dead_letters.len();
        events::rows_passed(StageName::Aggregator, merged as u64);
        let (rows, folded) = fold(pending.rows);
        events::batch_seen(StageName::Aggregator, rows.len());
        let mut advances: Vec<_> = pending.advances.into_values().collect();
        advances.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let batch =
            WriteBatch { cluster_id: cluster.id, rows, dead_letters: pending.dead_letters, advances, folded };
        let written = self.writer.ask(WriteMerged(Arc::new(batch)));
        let (answers, oldest_fetched_at) = (pending.answers, pending.oldest_fetched_at);
        context.spawn(written.into_actor(self).map(move |outcome, actor, context| {
            let outcome = outcome.unwrap_or_else(|gone| Err(gone.into()));
            if let (Ok(()), Some(fetched_at)) = (&outcome, oldest_fetched_at) {
                let after = jiff::Timestamp::now().duration_since(fetched_at);
                // A clock that was set back has them arrive before they were fetched.
                events::batch_arrived(Duration::try_from(after).unwrap_or_default());
            }
            for answer in answers {
                // A sender that no longer waits has dropped its window already.
                let _ = answer.send(outcome.clone());
            }
            drop(in_flight);
            actor.writing -= 1;
            actor.write_head(context, true);
        }));
    }
}

fn poll_of(record: &Record) -> Option<Uuid> {
    record.headers.origin.as_ref().map(|origin| origin.poll_id)
}

fn incoming((topic, partition): (Arc<str>, i32), record: Record, identity: Identity) -> IncomingRow {
    IncomingRow {
        identity,
        poll_id: poll_of(&record),
        raw_partition: record.headers.raw_partition.unwrap_or(partition),
        topic,
        partition,
        offset: record.offset,
        fetched_at: record.headers.origin.as_ref().map(|origin| origin.fetched_at),
        replay_of: record.headers.replay_of,
        value: record.value,
    }
}

/// A record of the dead-letter topic: its origin is the raw record.
fn dead_letter(
    environment: &Environment,
    cluster: &Cluster,
    (_, partition): (Arc<str>, i32),
    record: Record,
) -> DeadLetter {
    let headers = &record.headers;
    let raw_partition = headers.raw_partition.unwrap_or(partition);
    DeadLetter {
        stage: StageName::Enricher,
        reason: headers.reason.as_deref().unwrap_or("unknown").into(),
        field: headers.field.as_deref().map(Into::into),
        detail: headers.detail.as_deref().map(Into::into),
        unique_key: nyc311_domain::peek(&record.value).unique_key.and_then(|key| key.trim().parse().ok()),
        kafka_cluster_id: Some(cluster.id.as_ref().into()),
        topic: Some(environment.settings.kafka.raw_topic.as_str().into()),
        partition: Some(raw_partition),
        offset: headers.raw_offset,
        headers: Some(headers.to_json()),
        poll_id: poll_of(&record),
        raw_partition,
        payload: record.value,
    }
}

/// A record of the enriched topic that is not of our making, or of another program's version.
fn unreadable(
    cluster: &Cluster,
    (topic, partition): (Arc<str>, i32),
    record: Record,
    detail: &str,
) -> DeadLetter {
    events::dead_letters_made(StageName::Aggregator, SetAside::EnrichedUnreadable.into(), 1);
    DeadLetter {
        stage: StageName::Aggregator,
        reason: SetAside::EnrichedUnreadable.to_string(),
        field: None,
        detail: Some(detail.into()),
        unique_key: None,
        kafka_cluster_id: Some(cluster.id.as_ref().into()),
        topic: Some(topic.as_ref().into()),
        partition: Some(partition),
        offset: Some(record.offset),
        headers: Some(record.headers.to_json()),
        poll_id: poll_of(&record),
        raw_partition: record.headers.raw_partition.unwrap_or(partition),
        payload: record.value,
    }
}

/// Sorts rows by identity and keeps each version once.
fn fold(mut rows: Vec<IncomingRow>) -> (Vec<IncomingRow>, Folded) {
    rows.sort_by(|a, b| a.identity.cmp(&b.identity));
    let mut folded: HashMap<(Option<Uuid>, i32), u64> = HashMap::new();
    let mut kept: Vec<IncomingRow> = Vec::with_capacity(rows.len());
    for row in rows {
        match kept.last_mut() {
            Some(last) if last.identity.same_version(&row.identity) => {
                let replay_of = last.replay_of.or(row.replay_of);
                let fetched_at = last.fetched_at.max(row.fetched_at);
                // Sorted by revision within a version: a later one has better rules. Of equals the first
                // stands, as in the tables, where a version that is known already changes nothing.
                let folds = if row.identity > last.identity { std::mem::replace(last, row) } else { row };
                (last.replay_of, last.fetched_at) = (replay_of, fetched_at);
                *folded.entry((folds.poll_id, folds.raw_partition)).or_default() += 1;
            }
            _ => kept.push(row),
        }
    }
    let mut folded: Folded =
        folded.into_iter().map(|((poll, partition), count)| (poll, partition, count)).collect();
    folded.sort_unstable();
    (kept, folded)
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let prepared = async move { life.work(PREPARING, environment.prepared(&life)).await };
        context.spawn(prepared.into_actor(self).map(|cluster, actor, context| {
            actor.life.running();
            let (environment, watched) = (actor.environment.clone(), cluster.clone());
            actor.cluster = Some(cluster);
            let life = actor.life.clone();
            let replaced = async move { environment.fail_when_replaced(watched, life, "merging").await };
            context.spawn(replaced.into_actor(actor));
        }));
    }
}

impl Handler<EnrichedBatch> for Aggregator {
    type Result = ResponseActFuture<Self, Result<(), BatchError>>;

    fn handle(&mut self, batch: EnrichedBatch, context: &mut Self::Context) -> Self::Result {
        if self.cluster.is_none() {
            let error = BatchError::interrupted("the aggregator is not prepared yet");
            return Box::pin(std::future::ready(Err(error)).into_actor(self));
        }
        let (answer, written) = oneshot::channel();
        self.take(batch, answer);
        self.write_ripe(context);
        let answer = async move {
            written.await.unwrap_or_else(|_| Err(BatchError::interrupted("the aggregator was rebuilt")))
        };
        Box::pin(answer.into_actor(self))
    }
}

impl Handler<Drain> for Aggregator {
    type Result = ();

    /// Nothing to wait for: the enriched consumer has drained before, and with it every batch.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) {}
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn row(unique_key: i64, updated_at: &str, version: &str, revision: i16) -> IncomingRow {
        IncomingRow {
            value: Bytes::new(),
            identity: Identity {
                unique_key,
                source_updated_at: updated_at.parse().unwrap(),
                source_version: version.into(),
                rules_revision: revision,
            },
            poll_id: None,
            raw_partition: 0,
            topic: Arc::from("t"),
            partition: 0,
            offset: 0,
            fetched_at: None,
            replay_of: None,
        }
    }

    #[test]
    fn rows_are_sorted_by_version_and_repeats_are_folded() {
        let (first, second) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let rows = vec![
            row(2, second, "b", 1),
            row(1, first, "a", 1),
            row(2, first, "z", 1),
            row(2, second, "b", 1),
        ];
        let (kept, folded) = fold(rows);
        let seen: Vec<_> =
            kept.iter().map(|row| (row.identity.unique_key, &*row.identity.source_version)).collect();
        assert_eq!(seen, [(1, "a"), (2, "z"), (2, "b")]);
        assert_eq!(folded, [(None, 0, 1)]);
    }

    #[test]
    fn of_one_version_under_one_revision_the_first_is_kept() {
        let at = "2026-01-01T00:00:00Z";
        let (first, second) = (IncomingRow { offset: 1, ..row(1, at, "a", 2) }, row(1, at, "a", 2));
        let (kept, folded) = fold(vec![first, IncomingRow { offset: 2, ..second }]);
        assert_eq!((kept.len(), kept[0].offset), (1, 1));
        assert_eq!(folded, [(None, 0, 1)]);
    }

    #[test]
    fn of_one_version_the_higher_revision_is_kept() {
        let at = "2026-01-01T00:00:00Z";
        let (kept, folded) = fold(vec![row(1, at, "a", 2), row(1, at, "a", 1)]);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].identity.rules_revision, 2);
        assert_eq!(folded, [(None, 0, 1)]);
    }

    #[test]
    fn a_batch_that_does_not_meet_the_positions_before_it_is_refused() {
        let batch = |from, to, epoch| EnrichedBatch {
            read: crate::kafka::RecordBatch {
                topic: Arc::from("t"),
                partition: 3,
                from,
                to,
                records: Vec::new(),
                bytes: 0,
                appended_at_ms: None,
                last: None,
            },
            epoch,
        };
        let mut pending = Pending::new();
        assert!(pending.advance(&batch(5, 9, 1)).is_ok());
        assert!(pending.advance(&batch(9, 12, 1)).is_ok());
        assert!(pending.advance(&batch(13, 14, 1)).is_err());
        assert!(pending.advance(&batch(12, 14, 2)).is_err());
    }
}
