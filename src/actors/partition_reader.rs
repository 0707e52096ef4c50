//! What both consumers are: an actor that opens the partitions it is assigned at their durable position,
//! hands batches on, and opens a partition anew when anything down the line fails.
//!
//! The position is never in the actor. A batch is answered when its effect and its position are durable
//! together, so whatever dies (this actor, a neighbour, a dependency), the partition is closed, everything of
//! it in flight is forgotten, and the next opening starts at the durable position. Each opening has a number,
//! and answers to batches of an earlier one are dropped.
//!
//! Progress is watched, not only life: a partition that has records to read and stands still although nothing
//! that it waits for is away is opened anew, then this stage is rebuilt, then the process ends
//! (`supervision::Stalls`).

mod assigned;
mod progress;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use self::assigned::{Assignments, Change, HandedOn, Step};
use super::cluster::Cluster;
use super::drain::past_saving;
use super::environment::{Environment, PREPARING};
use crate::config::Settings;
use crate::kafka::consumer::{Command, ConsumerThread, Event, InFlightLimit, ReadBatch, ThreadSlot};
use crate::kafka::{OffsetNote, Partition, PartitionMap};
use crate::messages::BatchError;
use crate::supervision::{Drain, KEPT_IN_ORDER, Life, StageError, Stalls};
use crate::telemetry::events;
use crate::telemetry::labels::{Dependency, OfPartition, StageName, WaitsOn};

/// Batches of one partition that may be unanswered: one is in work, one waits behind it, and one is made
/// ready. But all partitions share the mailbox of the next stage but one, so more partitions have fewer each;
/// a partition with one keeps its order whatever the mailbox does.
pub(super) fn batches_per_partition(settings: &Settings) -> usize {
    let partitions = PartitionMap::new(settings.kafka.partitions_per_borough).partitions();
    (KEPT_IN_ORDER / usize::try_from(partitions).unwrap_or(usize::MAX)).clamp(1, 3)
}

/// What differs between the consumers: whose group, and what opening and handing on mean.
pub trait Destination: Unpin + 'static {
    /// What an opening carries into its batches.
    type Token: Copy + Unpin + 'static;

    /// The stage's name in API and metrics.
    const STAGE: StageName;
    /// The stages that a batch passes until it is done, this one included.
    const PATH: &'static [StageName];
    /// What a batch needs to be finished; a drain does not wait for it while that is away.
    const NEEDS: Dependency;

    /// Returns the consumer group.
    fn group(settings: &Settings) -> String;
    /// Returns the topic whose partitions the group gives out, and those whose partitions go with them.
    fn topics(settings: &Settings) -> (Arc<str>, Vec<Arc<str>>);
    /// Returns how much may be in flight.
    fn in_flight_limit(settings: &Settings) -> InFlightLimit;

    /// Finds the durable position of a partition and takes it over from whoever had it.
    fn open(
        self: Rc<Self>,
        cluster: Cluster,
        partition: Partition,
    ) -> LocalBoxFuture<'static, Result<(i64, Self::Token), BatchError>>;

    /// Hands a batch on, at once and in order; the answer comes when its effect is durable.
    fn hand_on(
        &self,
        batch: ReadBatch,
        token: Self::Token,
    ) -> LocalBoxFuture<'static, Result<(), BatchError>>;

    /// Returns which of the open partitions are no longer where they were left: somebody else has taken them
    /// over, or what is durable went back.
    fn find_stale(
        self: Rc<Self>,
        cluster: Cluster,
        open: Vec<OpenPosition<Self::Token>>,
    ) -> LocalBoxFuture<'static, Vec<Partition>>;

    /// Returns whether the group's offsets are committed by this consumer, after the answer.
    fn commits_offsets(settings: &Settings) -> bool;
}

/// An open partition, and how far its records are done.
pub struct OpenPosition<T> {
    pub partition: Partition,
    pub token: T,
    /// Where the opening began.
    pub opened_at: i64,
    pub next_offset: i64,
}

/// The actor of a consumer.
pub struct PartitionReader<D: Destination> {
    life: Life,
    environment: Arc<Environment>,
    slot: Arc<ThreadSlot>,
    stalls: Stalls,
    destination: Rc<D>,
    cluster: Option<Cluster>,
    thread: Option<ConsumerThread>,
    partitions: Assignments<D::Token>,
    drained: Vec<oneshot::Sender<()>>,
}

/// How often an idle consumer asks whether its positions are still its own.
const FIND_STALE_EVERY: Duration = Duration::from_secs(1);
/// How long finding a position and taking it over may take, neighbours that are rebuilt meanwhile included.
const OPEN_WITHIN: Duration = Duration::from_secs(60);

impl<D: Destination> PartitionReader<D> {
    pub fn new(
        life: Life,
        environment: Arc<Environment>,
        slot: Arc<ThreadSlot>,
        stalls: Stalls,
        destination: D,
    ) -> Self {
        Self {
            life,
            environment,
            slot,
            stalls,
            destination: Rc::new(destination),
            cluster: None,
            thread: None,
            partitions: Assignments::new(),
            drained: Vec::new(),
        }
    }

    fn start_reading(&mut self, cluster: Cluster, context: &mut Context<Self>) {
        let settings = &self.environment.settings;
        let group = D::group(settings);
        match ConsumerThread::start(
            &self.slot,
            settings,
            &group,
            D::topics(settings),
            D::in_flight_limit(settings),
        ) {
            Ok((thread, events)) => {
                self.thread = Some(thread);
                let events = futures_util::stream::unfold(events, async |mut events| {
                    let event = events.recv().await?;
                    Some((event, events))
                });
                context.add_stream(events);
            }
            Err(error) => self.life.fail(StageError::new("starting the consumer thread", error)),
        }
        let (environment, life, watched) = (self.environment.clone(), self.life.clone(), cluster.clone());
        let replaced = async move { environment.fail_when_replaced(watched, life, "reading").await };
        context.spawn(replaced.into_actor(self));
        context.run_interval(FIND_STALE_EVERY, Self::find_stale);
        context.run_interval(self.stalls.look_every(), Self::measure);
        self.cluster = Some(cluster);
        self.life.waiting_for(Dependency::Kafka);
    }

    fn command(&self, command: Command) {
        if let Some(thread) = &self.thread {
            thread.send(command);
        }
    }

    /// Has it decided what follows from a change (`assigned` has the tables), and does that.
    fn on(&mut self, change: Change<D::Token>, context: &mut Context<Self>) {
        for step in self.partitions.on(change) {
            self.execute(step, context);
        }
    }

    fn execute(&mut self, step: Step, context: &mut Context<Self>) {
        match step {
            Step::Close(partition) => self.command(Command::Close(partition)),
            Step::Open { partition, attempt, wait } => self.open(partition, attempt, wait, context),
            Step::Read { partition, assignment, next_offset, opening } => {
                tracing::info!(
                    stage = D::STAGE.as_str(),
                    topic = &*partition.0,
                    partition = partition.1,
                    next_offset,
                    "partition opened"
                );
                self.command(Command::Open { partition, assignment, next_offset, opening });
            }
            Step::Free { partition, opening, bytes } => {
                self.command(Command::Done { partition, opening, bytes });
            }
            Step::Commit { partition, next_offset, last } => {
                if D::commits_offsets(&self.environment.settings) {
                    let topic_id = self.cluster.as_ref().and_then(|cluster| cluster.topic_id(&partition.0));
                    let note = OffsetNote { topic_id: topic_id.map(Into::into), last };
                    self.command(Command::Commit { partition, next_offset, note });
                }
            }
            Step::SayFailed { partition: (topic, number), error, reopen_in } => match error {
                BatchError::Unavailable { dependency, .. } => {
                    self.life.waiting_for(dependency);
                    tracing::debug!(stage = D::STAGE.as_str(), topic = &*topic, partition = number, %error, "partition waits");
                }
                _ => tracing::warn!(
                    stage = D::STAGE.as_str(), topic = &*topic, partition = number, %error,
                    reopen_in_ms = reopen_in.as_millis(),
                    "partition is opened anew"
                ),
            },
            Step::GiveUp { partition: (topic, number), error } => {
                let doing = "handing on the records of a partition";
                self.life.fail(StageError::new(doing, format!("{topic}/{number}: {error}")));
            }
            Step::SayRunning => self.life.running(),
            Step::AnswerDrained => {
                for waiting in self.drained.drain(..) {
                    // A supervisor that no longer waits has ended the stage already.
                    let _ = waiting.send(());
                }
            }
        }
    }

    /// Attempts to open a partition, after a while.
    fn open(&mut self, partition: Partition, attempt: u64, wait: Duration, context: &mut Context<Self>) {
        let Some(cluster) = self.cluster.clone() else { return };
        let destination = self.destination.clone();
        let named = partition.clone();
        let opening = async move {
            tokio::time::sleep(wait).await;
            let opened = tokio::time::timeout(OPEN_WITHIN, destination.open(cluster, named)).await;
            opened.unwrap_or_else(|_| {
                Err(BatchError::interrupted(format!("it was not open within {OPEN_WITHIN:?}")))
            })
        };
        context.spawn(opening.into_actor(self).map(move |outcome, actor, context| {
            let change = match outcome {
                Ok((next_offset, token)) => Change::Opened { partition, attempt, next_offset, token },
                Err(error) => {
                    Change::NotOpened { partition, attempt, error: actor.environment.excused(error) }
                }
            };
            actor.on(change, context);
        }));
    }

    /// Hands a batch on, unless it is of an opening that is over.
    fn hand_on(&mut self, batch: ReadBatch, context: &mut Context<Self>) {
        let ReadBatch { read, opening, .. } = &batch;
        let (partition, opening) = ((read.topic.clone(), read.partition), *opening);
        let (to, last, bytes) = (read.to, read.last, read.bytes);
        let Some(token) = self.partitions.take(&partition, opening, read.appended_at_ms) else {
            // Dropped, and no longer in flight.
            return self.command(Command::Done { partition, opening, bytes });
        };
        let in_flight = events::batch_taken(D::STAGE, read.records.len());
        let handed_on = HandedOn { partition, opening, to, last, bytes };
        let answer = self.destination.hand_on(batch, token);
        context.spawn(answer.into_actor(self).map(move |outcome, actor, context| {
            drop(in_flight);
            let outcome = outcome.map_err(|error| actor.environment.excused(error));
            actor.on(Change::Answered(handed_on, outcome), context);
        }));
    }

    fn find_stale(&mut self, context: &mut Context<Self>) {
        let Some(cluster) = self.cluster.clone() else { return };
        let (mut open, mut openings) = (Vec::new(), HashMap::new());
        for (partition, assigned) in self.partitions.iter() {
            let Some(((opening, token), next_offset)) = assigned.opening().zip(assigned.position()) else {
                continue;
            };
            openings.insert(partition.clone(), opening);
            let (partition, opened_at) = (partition.clone(), assigned.opened_at());
            open.push(OpenPosition { partition, token, opened_at, next_offset });
        }
        let found = self.destination.clone().find_stale(cluster, open);
        context.spawn(found.into_actor(self).map(move |stale, actor, context| {
            for partition in stale {
                if let Some(opening) = openings.get(&partition).copied() {
                    actor.on(Change::TakenOver { partition, opening }, context);
                }
            }
        }));
    }
}

impl<D: Destination> Actor for PartitionReader<D> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let prepared = async move { life.work(PREPARING, environment.prepared(&life)).await };
        context.spawn(
            prepared.into_actor(self).map(|cluster, actor, context| actor.start_reading(cluster, context)),
        );
    }
}

impl<D: Destination> StreamHandler<Event> for PartitionReader<D> {
    fn handle(&mut self, event: Event, context: &mut Self::Context) {
        match event {
            Event::Assigned(assignment, partitions) => {
                self.on(Change::Assigned(assignment, partitions), context);
            }
            Event::Revoked(partitions) => {
                for (topic, partition) in &partitions {
                    self.stalls.forget(D::STAGE.as_str(), topic, Some(*partition));
                    events::partition_revoked(OfPartition(topic, *partition));
                }
                self.on(Change::Revoked(partitions), context);
            }
            Event::Batch(batch) => self.hand_on(batch, context),
            Event::Held(time) => events::waited_for(D::STAGE, WaitsOn::Downstream, time),
            Event::OutOfRange => {
                tracing::error!(
                    stage = D::STAGE.as_str(),
                    "a position lies outside its log, every partition is opened anew"
                );
                self.on(Change::OutOfRange, context);
            }
            Event::Refused(failure) => {
                tracing::warn!(stage = D::STAGE.as_str(), %failure, "kafka refuses to be read");
                self.life.waiting_for(Dependency::Kafka);
            }
            Event::Fatal(failure) => self.life.fail(StageError::new("reading", failure)),
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {
        self.life.fail(StageError::new("reading", "the consumer thread ended"));
    }
}

impl<D: Destination> Handler<Drain> for PartitionReader<D> {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, context: &mut Self::Context) -> Self::Result {
        self.command(Command::Quiesce);
        let (drained, answer) = oneshot::channel();
        self.drained.push(drained);
        self.on(Change::ToldToDrain, context);
        let (life, environment) = (self.life.clone(), self.environment.clone());
        Box::pin(async move {
            tokio::select! {
                // An error means that the actor ended: nothing of it is in flight any more.
                _ = answer => {}
                _ = past_saving(&life, &environment, D::NEEDS) => {}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_together_send_no_more_than_a_mailbox_keeps_in_order_or_one_each() {
        for (per_borough, batches) in [("1", 3), ("2", 1), ("3", 1), ("20", 1)] {
            let settings = Settings::with(&[("kafka.partitions_per_borough", per_borough)]).unwrap();
            assert_eq!(batches_per_partition(&settings), batches, "{per_borough} partitions a borough");
        }
    }
}
