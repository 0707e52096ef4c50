//! What both consumers are: an actor that opens the partitions it is assigned at their durable position, hands batches
//! on, and opens a partition anew when anything down the line fails.
//!
//! The position is never in the actor. A batch is answered when its effect and its position are durable together, so
//! whatever dies (this actor, a neighbour, a dependency), the partition is closed, everything of it in flight is
//! forgotten, and the next opening starts at the durable position. Each opening has a number, and answers to batches of
//! an earlier one are dropped.
//!
//! Progress is watched, not only life: a partition that has records to read and stands still although nothing that it
//! waits for is away is opened anew, then this stage is rebuilt, then the process ends (`supervision::Stalls`).

mod progress;

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::{
    drain::past_saving,
    environment::{Cluster, Environment},
};
use crate::{
    config::Settings,
    kafka::{
        Mark, OffsetNote, Partition, RecordBatch,
        consumer::{Command, ConsumerThread, Event, InFlightLimit, ReadBatch, Seat},
    },
    messages::BatchError,
    retry::Delays,
    supervision::{Drain, Life, StageError, Stalls},
    telemetry::{
        InFlight, events,
        labels::{Dependency, OfPartition, StageName, WaitsOn},
    },
};

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
    /// Returns the topics to read.
    fn topics(settings: &Settings) -> Vec<Arc<str>>;
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

    /// Returns which of the open partitions are no longer where they were left: somebody else has taken them over, or
    /// what is durable went back.
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

/// A batch whose answer is awaited.
struct HandedOn {
    partition: Partition,
    opening: u64,
    /// The position behind it.
    to: i64,
    /// The last record in it.
    last: Option<Mark>,
    bytes: usize,
    in_flight: InFlight,
}

struct Assigned<T> {
    /// The number under which the group assigned it.
    assignment: u64,
    /// The opening under which batches are read; none while the partition is being opened.
    opening: Option<(u64, T)>,
    /// Counts the attempts to open, so that only the last one has a say.
    attempt: u64,
    in_flight: usize,
    /// When Kafka appended the first record of each batch in flight, in milliseconds since 1970.
    appended_at_ms: VecDeque<Option<i64>>,
    opened_at: i64,
    /// The position behind everything that is done, and the last record before it that was read in this opening.
    next_offset: i64,
    last: Option<Mark>,
    delays: Delays,
    /// Failures in a row that waiting for a dependency does not explain.
    failures: u32,
}

/// The actor of a consumer.
pub struct PartitionReader<D: Destination> {
    life: Life,
    environment: Arc<Environment>,
    seat: Arc<Seat>,
    stalls: Stalls,
    destination: Rc<D>,
    cluster: Option<Cluster>,
    thread: Option<ConsumerThread>,
    partitions: HashMap<Partition, Assigned<D::Token>>,
    attempts: u64,
    openings: u64,
    /// When a batch was done last, of whatever partition.
    done_at: Instant,
    drained: Vec<oneshot::Sender<()>>,
    draining: bool,
}

/// How often an idle consumer asks whether its positions are still its own.
const FIND_STALE_EVERY: Duration = Duration::from_secs(1);
/// A partition whose batches failed so often in a row, over some seconds, is not mended by opening it again. A rebalance
/// or a neighbour that is rebuilt costs one or two.
const MAX_FAILURES: u32 = 6;
/// How long finding a position and taking it over may take, neighbours that are rebuilt meanwhile included.
const OPEN_WITHIN: Duration = Duration::from_secs(60);

impl<D: Destination> PartitionReader<D> {
    pub fn new(
        life: Life,
        environment: Arc<Environment>,
        seat: Arc<Seat>,
        stalls: Stalls,
        destination: D,
    ) -> Self {
        Self {
            life,
            environment,
            seat,
            stalls,
            destination: Rc::new(destination),
            cluster: None,
            thread: None,
            partitions: HashMap::new(),
            attempts: 0,
            openings: 0,
            done_at: Instant::now(),
            drained: Vec::new(),
            draining: false,
        }
    }

    fn start_reading(&mut self, cluster: Cluster, context: &mut Context<Self>) {
        let settings = &self.environment.settings;
        let group = D::group(settings);
        match ConsumerThread::start(&self.seat, settings, &group, D::topics(settings), D::in_flight_limit(settings)) {
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
        context.spawn(
            async move {
                environment.replaced(watched).await;
                life.fail(StageError::new("reading", "kafka is not the one it was"));
            }
            .into_actor(self),
        );
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

    /// Opens the partition after the delay that its failures have earned.
    fn open(&mut self, partition: Partition, wait: Duration, context: &mut Context<Self>) {
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        let Some(cluster) = self.cluster.clone() else { return };
        assigned.opening = None;
        // Unique over all assignments: an attempt of an earlier one must not pass for one of this.
        self.attempts += 1;
        let (attempt, assignment) = (self.attempts, assigned.assignment);
        assigned.attempt = attempt;
        let destination = self.destination.clone();
        let named = partition.clone();
        let opening = async move {
            tokio::time::sleep(wait).await;
            let opened = tokio::time::timeout(OPEN_WITHIN, destination.open(cluster, named)).await;
            opened.unwrap_or_else(|_| {
                Err(BatchError::Interrupted(format!("it was not open within {OPEN_WITHIN:?}")))
            })
        };
        context.spawn(opening.into_actor(self).map(move |outcome, actor, context| {
            let Some(assigned) = actor.partitions.get_mut(&partition) else { return };
            if assigned.attempt != attempt || actor.draining {
                return;
            }
            match outcome {
                Ok((next_offset, token)) => {
                    actor.openings += 1;
                    assigned.opening = Some((actor.openings, token));
                    assigned.appended_at_ms.clear();
                    (assigned.opened_at, assigned.next_offset) = (next_offset, next_offset);
                    tracing::info!(
                        stage = D::STAGE.as_str(),
                        topic = &*partition.0,
                        partition = partition.1,
                        next_offset,
                        "partition opened"
                    );
                    let opening = actor.openings;
                    actor.command(Command::Open { partition, assignment, next_offset, opening });
                    actor.report();
                }
                Err(error) => actor.failed(partition, &error, context),
            }
        }));
    }

    /// Closes a partition over a failure and opens it again, later each time.
    fn failed(&mut self, partition: Partition, error: &BatchError, context: &mut Context<Self>) {
        self.command(Command::Close(partition.clone()));
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        if self.draining {
            assigned.opening = None;
            return;
        }
        let wait = assigned.delays.next_delay();
        let (topic, number) = (&*partition.0, partition.1);
        match error {
            BatchError::Unavailable { dependency, .. } => {
                self.life.waiting_for(dependency);
                tracing::debug!(stage = D::STAGE.as_str(), topic, partition = number, %error, "partition waits");
            }
            _ => {
                tracing::warn!(
                    stage = D::STAGE.as_str(), topic, partition = number, %error, reopen_in_ms = wait.as_millis(),
                    "partition is opened anew"
                );
                assigned.failures += 1;
                if assigned.failures >= MAX_FAILURES {
                    // Opening it again does not mend it: this is for whoever counts restarts.
                    let doing = "handing on the records of a partition";
                    return self.life.fail(StageError::new(doing, format!("{topic}/{number}: {error}")));
                }
            }
        }
        self.open(partition, wait, context);
    }

    fn handed_on(
        &mut self,
        HandedOn { partition, opening, to, last, bytes, in_flight }: HandedOn,
        outcome: Result<(), BatchError>,
        context: &mut Context<Self>,
    ) {
        drop(in_flight);
        // Whatever came of it, it is no longer in flight: the thread drops what is of an earlier opening.
        self.command(Command::Done { partition: partition.clone(), opening, bytes });
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        assigned.in_flight = assigned.in_flight.saturating_sub(1);
        let current = assigned.opening.is_some_and(|(current, _)| current == opening);
        match outcome {
            Ok(()) if current => {
                self.done_at = Instant::now();
                assigned.delays.reset();
                assigned.failures = 0;
                assigned.appended_at_ms.pop_front();
                // Answers may overtake each other on their way; what is done is done.
                if to > assigned.next_offset {
                    (assigned.next_offset, assigned.last) = (to, last.or(assigned.last));
                }
                if D::commits_offsets(&self.environment.settings) {
                    let (next_offset, last) = (assigned.next_offset, assigned.last);
                    let topic_id = self.cluster.as_ref().and_then(|cluster| cluster.topic_id(&partition.0));
                    let note = OffsetNote { topic_id: topic_id.map(Into::into), last };
                    self.command(Command::Commit { partition, next_offset, note });
                }
                self.report();
            }
            Err(error) if current => self.failed(partition, &error, context),
            _ => {}
        }
        self.answer_drained();
    }

    fn report(&self) {
        if self.partitions.values().all(|assigned| assigned.opening.is_some()) {
            self.life.running();
        }
    }

    fn find_stale(&mut self, context: &mut Context<Self>) {
        let Some(cluster) = self.cluster.clone() else { return };
        let open: Vec<_> = self
            .partitions
            .iter()
            .filter_map(|(partition, assigned)| {
                Some(OpenPosition {
                    partition: partition.clone(),
                    token: assigned.opening?.1,
                    opened_at: assigned.opened_at,
                    next_offset: assigned.next_offset,
                })
            })
            .collect();
        let numbers: HashMap<_, _> = self
            .partitions
            .iter()
            .filter_map(|(partition, assigned)| Some((partition.clone(), assigned.opening?.0)))
            .collect();
        let found = self.destination.clone().find_stale(cluster, open);
        context.spawn(found.into_actor(self).map(move |stale, actor, context| {
            for partition in stale {
                let current = actor.partitions.get(&partition).and_then(|assigned| assigned.opening);
                if current.map(|(number, _)| number) == numbers.get(&partition).copied() {
                    let error =
                        BatchError::Fenced("the position is not where this opening has left it".to_owned());
                    actor.failed(partition, &error, context);
                }
            }
        }));
    }

    fn answer_drained(&mut self) {
        if self.draining && self.partitions.values().all(|assigned| assigned.in_flight == 0) {
            for waiting in self.drained.drain(..) {
                // A supervisor that no longer waits has ended the stage already.
                let _ = waiting.send(());
            }
        }
    }
}

impl<D: Destination> Actor for PartitionReader<D> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (environment, life) = (self.environment.clone(), self.life.clone());
        let prepared = async move { environment.prepared(&life).await };
        context.spawn(
            prepared.into_actor(self).map(|cluster, actor, context| actor.start_reading(cluster, context)),
        );
    }
}

impl<D: Destination> StreamHandler<Event> for PartitionReader<D> {
    fn handle(&mut self, event: Event, context: &mut Self::Context) {
        match event {
            Event::Assigned(assignment, partitions) => {
                for partition in partitions {
                    let assigned = Assigned {
                        assignment,
                        opening: None,
                        attempt: 0,
                        in_flight: 0,
                        appended_at_ms: VecDeque::new(),
                        opened_at: 0,
                        next_offset: 0,
                        last: None,
                        delays: Delays::new(Duration::from_millis(50), Duration::from_secs(5)),
                        failures: 0,
                    };
                    self.partitions.insert(partition.clone(), assigned);
                    self.open(partition, Duration::ZERO, context);
                }
                self.report();
            }
            Event::Revoked(partitions) => {
                for partition in &partitions {
                    self.partitions.remove(partition);
                    self.stalls.forget(D::STAGE.as_str(), &partition.0, Some(partition.1));
                    events::partition_revoked(OfPartition(&partition.0, partition.1));
                }
                self.report();
                self.answer_drained();
            }
            Event::Batch(batch) => {
                let partition = (batch.records.topic.clone(), batch.records.partition);
                let assigned = self.partitions.get_mut(&partition);
                let current = assigned.and_then(|assigned| {
                    let (opening, token) =
                        assigned.opening.filter(|(opening, _)| *opening == batch.opening)?;
                    Some((assigned, opening, token))
                });
                let Some((assigned, opening, token)) = current else {
                    // Dropped, and no longer in flight.
                    let (opening, bytes) = (batch.opening, batch.records.bytes);
                    return self.command(Command::Done { partition, opening, bytes });
                };
                assigned.in_flight += 1;
                assigned.appended_at_ms.push_back(batch.records.appended_at_ms);
                let in_flight = events::batch_taken(D::STAGE, batch.records.records.len());
                let RecordBatch { to, last, bytes, .. } = batch.records;
                let handed_on = HandedOn { partition, opening, to, last, bytes, in_flight };
                let outcome = self.destination.hand_on(batch, token);
                context.spawn(outcome.into_actor(self).map(move |outcome, actor, context| {
                    actor.handed_on(handed_on, outcome, context);
                }));
            }
            Event::Held(time) => events::waited_for(D::STAGE, WaitsOn::Downstream, time),
            Event::OutOfRange => {
                tracing::error!(
                    stage = D::STAGE.as_str(),
                    "a position lies outside its log, every partition is opened anew"
                );
                let error = BatchError::Interrupted("a position lies outside its log".to_owned());
                for partition in self.partitions.keys().cloned().collect::<Vec<_>>() {
                    self.failed(partition, &error, context);
                }
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

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.draining = true;
        self.command(Command::Quiesce);
        let (drained, answer) = oneshot::channel();
        self.drained.push(drained);
        self.answer_drained();
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
