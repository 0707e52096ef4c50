//! What both consumers are: an actor that opens the partitions it is assigned at their durable position, hands batches
//! on, and opens a partition anew when anything down the line fails.
//!
//! The position is never in the actor. A batch is answered when its effect and its position are durable together, so
//! whatever dies (this actor, a neighbour, a dependency), the partition is closed, everything of it in flight is
//! forgotten, and the next opening starts at the durable position. Each opening has a number, and answers to batches of
//! an earlier one are dropped.

use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::environment::{Cluster, Environment};
use crate::{
    config::Settings,
    kafka::consumer::{Command, ConsumerThread, Event, Partition, ReadBatch, Seat, Window},
    messages::BatchError,
    retry::Delays,
    supervision::{Drain, Life, StageError},
    telemetry::metrics::{metrics, outcome, waiting},
};

/// What differs between the consumers: whose group, and what opening and handing on mean.
pub trait Destination: Unpin + 'static {
    /// What an opening carries into its batches.
    type Token: Copy + Unpin + 'static;

    /// The stage's name in API and metrics.
    const STAGE: &'static str;

    /// Returns the consumer group.
    fn group(settings: &Settings) -> String;
    /// Returns the topics to read.
    fn topics(settings: &Settings) -> Vec<Arc<str>>;
    /// Returns how much may be in flight.
    fn window(settings: &Settings) -> Window;

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

struct Assigned<T> {
    /// The opening under which batches are read; none while the partition is being opened.
    opening: Option<(u64, T)>,
    /// Counts the attempts to open, so that only the last one has a say.
    attempt: u64,
    in_flight: usize,
    /// When Kafka appended the first record of each batch in flight, in milliseconds since 1970.
    appended_at_ms: VecDeque<Option<i64>>,
    opened_at: i64,
    /// The position behind everything that is done.
    next_offset: i64,
    delays: Delays,
    /// Failures in a row that waiting for a dependency does not explain.
    failures: u32,
}

/// The actor of a consumer.
pub struct PartitionReader<D: Destination> {
    life: Life,
    environment: Arc<Environment>,
    seat: Arc<Seat>,
    destination: Rc<D>,
    cluster: Option<Cluster>,
    thread: Option<ConsumerThread>,
    partitions: HashMap<Partition, Assigned<D::Token>>,
    openings: u64,
    drained: Vec<oneshot::Sender<()>>,
    draining: bool,
}

/// How often an idle consumer asks whether its positions are still its own.
const FIND_STALE_EVERY: Duration = Duration::from_secs(1);
/// A partition whose batches failed so often in a row, over some seconds, is not mended by opening it again. A rebalance
/// or a neighbour that is rebuilt costs one or two.
const MAX_FAILURES: u32 = 6;
/// How often lag and age are measured: it asks the brokers for the ends of the logs.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

impl<D: Destination> PartitionReader<D> {
    pub fn new(life: Life, environment: Arc<Environment>, seat: Arc<Seat>, destination: D) -> Self {
        Self {
            life,
            environment,
            seat,
            destination: Rc::new(destination),
            cluster: None,
            thread: None,
            partitions: HashMap::new(),
            openings: 0,
            drained: Vec::new(),
            draining: false,
        }
    }

    fn start_reading(&mut self, cluster: Cluster, context: &mut Context<Self>) {
        let settings = &self.environment.settings;
        let group = D::group(settings);
        match ConsumerThread::start(&self.seat, settings, &group, D::topics(settings), D::window(settings)) {
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
        context.run_interval(MEASURE_EVERY, Self::measure);
        self.cluster = Some(cluster);
        self.life.waiting_for("kafka");
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
        assigned.attempt += 1;
        let attempt = assigned.attempt;
        let destination = self.destination.clone();
        let named = partition.clone();
        let opening = async move {
            tokio::time::sleep(wait).await;
            destination.open(cluster, named).await
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
                        stage = D::STAGE,
                        topic = &*partition.0,
                        partition = partition.1,
                        next_offset,
                        "partition opened"
                    );
                    actor.command(Command::Open { partition, next_offset, opening: actor.openings });
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
                tracing::debug!(stage = D::STAGE, topic, partition = number, %error, "partition waits");
            }
            _ => {
                tracing::warn!(
                    stage = D::STAGE, topic, partition = number, %error, reopen_in_ms = wait.as_millis(),
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
        partition: Partition,
        opening: u64,
        to: i64,
        bytes: usize,
        outcome: Result<(), BatchError>,
        context: &mut Context<Self>,
    ) {
        metrics().in_flight_batches.with_label_values(&[D::STAGE]).dec();
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        assigned.in_flight = assigned.in_flight.saturating_sub(1);
        let current = assigned.opening.is_some_and(|(current, _)| current == opening);
        match outcome {
            Ok(()) if current => {
                assigned.delays.reset();
                assigned.failures = 0;
                assigned.appended_at_ms.pop_front();
                assigned.next_offset = to;
                if D::commits_offsets(&self.environment.settings) {
                    self.command(Command::Commit { partition: partition.clone(), next_offset: to });
                }
                self.command(Command::Done { partition, opening, bytes });
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

    /// Measures lag and age of the partitions that this process owns; others have no say about them.
    fn measure(&mut self, context: &mut Context<Self>) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        for ((topic, partition), assigned) in &self.partitions {
            let labels = [&**topic, &partition.to_string()];
            let oldest = assigned.appended_at_ms.iter().flatten().next();
            let age_seconds = oldest.map_or(0.0, |appended_at| (now_ms - appended_at).max(0) as f64 / 1000.0);
            metrics().oldest_uncommitted_record_age_seconds.with_label_values(&labels).set(age_seconds);
            let (topic, partition, next_offset) = (topic.clone(), *partition, assigned.next_offset);
            let admin = self.environment.admin.clone();
            let measured = async move {
                // Without an answer the gauge keeps what it showed.
                let Ok(ends) = admin.log_ends(&topic, [partition]).await else { return };
                let lag = ends.first().map_or(0, |ends| (ends.high - next_offset.max(ends.low)).max(0));
                let labels = [&*topic, &partition.to_string()];
                metrics().consumer_lag_records.with_label_values(&labels).set(lag);
            };
            context.spawn(measured.into_actor(self));
        }
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
        // What an earlier incarnation had in flight is forgotten.
        metrics().in_flight_batches.with_label_values(&[D::STAGE]).set(0);
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
            Event::Assigned(partitions) => {
                for partition in partitions {
                    let assigned = Assigned {
                        opening: None,
                        attempt: 0,
                        in_flight: 0,
                        appended_at_ms: VecDeque::new(),
                        opened_at: 0,
                        next_offset: 0,
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
                    let labels = [&*partition.0, &partition.1.to_string()];
                    // A gauge that was never set cannot be removed; it is not shown either.
                    let _ = metrics().consumer_lag_records.remove_label_values(&labels);
                    let _ = metrics().oldest_uncommitted_record_age_seconds.remove_label_values(&labels);
                }
                self.report();
                self.answer_drained();
            }
            Event::Batch(batch) => {
                let partition = (batch.records.topic.clone(), batch.records.partition);
                let Some(assigned) = self.partitions.get_mut(&partition) else { return };
                let Some((opening, token)) =
                    assigned.opening.filter(|(opening, _)| *opening == batch.opening)
                else {
                    return;
                };
                assigned.in_flight += 1;
                assigned.appended_at_ms.push_back(batch.records.appended_at_ms);
                metrics().in_flight_batches.with_label_values(&[D::STAGE]).inc();
                metrics()
                    .batch_rows
                    .with_label_values(&[D::STAGE])
                    .observe(batch.records.records.len() as f64);
                metrics()
                    .records_total
                    .with_label_values(&[D::STAGE, outcome::PASSED])
                    .inc_by(batch.records.records.len() as u64);
                let (to, bytes) = (batch.records.to, batch.records.bytes);
                let outcome = self.destination.hand_on(batch, token);
                context.spawn(outcome.into_actor(self).map(move |outcome, actor, context| {
                    actor.handed_on(partition, opening, to, bytes, outcome, context);
                }));
            }
            Event::Held(time) => metrics()
                .stage_wait_seconds_total
                .with_label_values(&[D::STAGE, waiting::DOWNSTREAM])
                .inc_by(time.as_secs_f64()),
            Event::OutOfRange => {
                tracing::error!(
                    stage = D::STAGE,
                    "a position lies outside its log, every partition is opened anew"
                );
                let error = BatchError::Interrupted("a position lies outside its log".to_owned());
                for partition in self.partitions.keys().cloned().collect::<Vec<_>>() {
                    self.failed(partition, &error, context);
                }
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
        // An error means that the actor ended: nothing of it is in flight any more.
        Box::pin(async move { drop(answer.await) })
    }
}
