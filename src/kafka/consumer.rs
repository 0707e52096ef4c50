//! The consumer thread: polls one group member and turns what it gets into events for an actor.
//!
//! A `BaseConsumer` is polled on a thread of its own, because the async consumers of the crate can stall
//! without a word, and because the poll loop has to go on whatever the pipeline behind it does.
//!
//! Assignment is taken in two steps. Kafka assigns a partition to this member, and the thread only reports
//! it; the actor then finds the durable position (and ends what a dead predecessor left open) and sends
//! [`Command::Open`] with the position to read from. Nothing is read before that, and `auto.offset.reset` is
//! `error`: a position outside the log is an event with a decision, never a silent jump. Each assignment has
//! a number: what was decided for an earlier one is not taken for the present one.
//!
//! Memory is bounded: a batch counts as in flight until the actor says [`Command::Done`]. With the limit
//! reached the thread stops taking records (`in_flight`) and goes on to poll for everything else, so that the
//! group does not expel it. librdkafka's own queues are bounded by the settings of `group_member`.
//!
//! Each partition has a queue of its own. In one for all, the partitions that are asked for first fill it
//! whenever there is room, and under a load that lasts the others get nothing: a broker answers with the
//! first partitions of a request until the answer is full. With its own, a partition whose queue is full is
//! not asked for, and the room goes to those that lack records. Queues and room are given out in turn.

mod in_flight;
mod opened;
mod thread_slot;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use self::in_flight::InFlight;
pub use self::in_flight::InFlightLimit;
use self::opened::{Opened, Stopped};
use self::thread_slot::Holding;
pub use self::thread_slot::ThreadSlot;
use super::assumption::BrokenAssumption;
use super::batch_builder::BatchBuilder;
use super::client::Logged;
use super::error::KafkaError;
use super::group_member::{Assignment, Rebalance, config, leave, leaves_within};
use super::headers::Origin;
use super::offset_note::OffsetNote;
use super::record::{Partition, RecordBatch};
use crate::config::Settings;
use crate::fault_point;
use crate::supervision::Beat;

/// The identity of a group member at the moment a batch was read.
pub type GroupMetadata = ConsumerGroupMetadata;

/// What the actor tells the thread.
#[derive(Debug)]
pub enum Command {
    /// Read the partition from `next_offset` on, as opening `opening`, if it is still the assignment of that
    /// number.
    Open { partition: Partition, assignment: u64, next_offset: i64, opening: u64 },
    /// Stop reading the partition and forget what is in flight of it.
    Close(Partition),
    /// A batch of the opening is done.
    Done { partition: Partition, opening: u64, bytes: usize },
    /// Commit the position in the group, without a transaction, with a note of the log that it speaks of.
    Commit { partition: Partition, next_offset: i64, note: OffsetNote },
    /// Read nothing more; what is in flight may still be finished.
    Quiesce,
}

/// A batch as the thread read it.
pub struct ReadBatch {
    pub read: RecordBatch,
    pub opening: u64,
    pub group: Option<Arc<GroupMetadata>>,
}

/// What the thread tells the actor.
pub enum Event {
    /// The partitions belong to this member, under the number of the assignment.
    Assigned(u64, Vec<Partition>),
    Revoked(Vec<Partition>),
    Batch(ReadBatch),
    /// The limit of what is in flight was reached for so long, and is no longer.
    Held(Duration),
    /// A position lies outside its log: every opening has to be decided again.
    OutOfRange,
    /// Kafka refuses something that waiting alone does not mend.
    Refused(KafkaError),
    /// The consumer cannot go on: a newer member has taken its place, or librdkafka gave up.
    Fatal(KafkaError),
}

/// The actor's side of the thread. Dropping it ends the thread.
pub struct ConsumerThread {
    commands: mpsc::Sender<Command>,
    wake: mpsc::Sender<()>,
}

impl ConsumerThread {
    /// Starts the thread; events arrive at the receiver until it ends. The group gives out the partitions of
    /// the first topic; those of the others go with them, number by number.
    pub fn start(
        slot: &Arc<ThreadSlot>,
        settings: &Settings,
        group: &str,
        (topic, beside): (Arc<str>, Vec<Arc<str>>),
        limit: InFlightLimit,
    ) -> Result<(Self, tokio::sync::mpsc::UnboundedReceiver<Event>), std::io::Error> {
        let (commands, orders) = mpsc::channel();
        let (wake, woken) = mpsc::channel();
        let waker = wake.clone();
        // Unbounded as a type, bounded by the limit: every batch in it counts as in flight.
        let (events, received) = tokio::sync::mpsc::unbounded_channel();
        let config = config(settings, group);
        let leaves_within = leaves_within(&config);
        slot.take(
            format!("consumer-{group}"),
            leaves_within,
            move |Holding { beat, superseded }| match config.create_with_context::<_, BaseConsumer<_>>(
                Logged::of("kafka consumer", Assignment { beside, ..Assignment::default() }),
            ) {
                Ok(mut consumer) => Reader {
                    beat,
                    consumer: {
                        consumer.set_nonempty_callback(wakes(&waker));
                        Arc::new(consumer)
                    },
                    topic,
                    limit,
                    orders,
                    waker,
                    woken,
                    events,
                    superseded,
                    assigned: HashMap::new(),
                    assignments: 0,
                    opened: BTreeMap::new(),
                    turn: 0,
                    in_flight: InFlight::new(limit),
                    last_origin: None,
                    quiet: false,
                }
                .run(),
                Err(error) => drop(events.send(Event::Fatal(error.into()))),
            },
        )?;
        Ok((Self { commands, wake }, received))
    }

    /// Sends a command; a thread that has ended reported why as its last event.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = self.wake.send(());
    }
}

/// Makes what wakes the thread: whoever calls it is librdkafka, in the middle of its work.
fn wakes(waker: &mpsc::Sender<()>) -> impl Fn() + Send + Sync + 'static {
    let waker = waker.clone();
    move || {
        // A thread that has ended sleeps no more.
        let _ = waker.send(());
    }
}

/// How long the thread sleeps at most: so long a command is waited for that nobody wakes it for.
const SLEEP: Duration = Duration::from_millis(20);

/// The consumer cannot go on, and has said why.
struct Ended;

struct Reader {
    /// First of all, so that it goes first: leaving the group takes its time, and a successor watches over
    /// that.
    beat: Arc<Beat>,
    consumer: Arc<BaseConsumer<Logged<Assignment>>>,
    topic: Arc<str>,
    limit: InFlightLimit,
    orders: mpsc::Receiver<Command>,
    waker: mpsc::Sender<()>,
    woken: mpsc::Receiver<()>,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
    /// A successor waits for the slot.
    superseded: Arc<AtomicBool>,
    /// What the group has assigned to this member, each under the number of its assignment.
    assigned: HashMap<Partition, u64>,
    assignments: u64,
    opened: BTreeMap<Partition, Opened>,
    /// Which of the open partitions is the first one next time.
    turn: usize,
    in_flight: InFlight,
    last_origin: Option<Arc<Origin>>,
    quiet: bool,
}

impl Reader {
    fn run(mut self) {
        let (Ok(()) | Err(Ended)) = self.read();
        // Each queue goes before the consumer whose it is.
        self.opened.clear();
    }

    fn read(&mut self) -> Result<(), Ended> {
        if let Err(error) = self.subscribe() {
            self.tell(Event::Fatal(error));
            return Err(Ended);
        }
        while !self.superseded.load(Ordering::Relaxed) {
            self.beat.turn();
            self.take_orders()?;
            self.take_events()?;
            self.tell_held();
            let more = self.take_records()?;
            self.flush_ripe();
            if !more {
                // Woken by what comes, whatever it is; a batch under way must not wait longer than its
                // linger.
                let under_way = self.opened.values().any(|opened| opened.batch.holds_records());
                let _ = self.woken.recv_timeout(if under_way { self.limit.linger } else { SLEEP });
                while self.woken.try_recv().is_ok() {}
            }
        }
        Ok(())
    }

    fn tell(&self, event: Event) {
        // A receiver that is gone ends the thread at the next look at its orders.
        let _ = self.events.send(event);
    }

    fn take_orders(&mut self) -> Result<(), Ended> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(mpsc::TryRecvError::Empty) => return Ok(()),
                // The actor is gone.
                Err(mpsc::TryRecvError::Disconnected) => return Err(Ended),
            }
        }
    }

    fn obey(&mut self, order: Command) {
        match order {
            Command::Open { partition, assignment, next_offset, opening } => {
                if self.assigned.get(&partition) == Some(&assignment) {
                    self.open(partition, next_offset, opening);
                }
            }
            Command::Close(partition) => self.close(&partition),
            Command::Done { partition, opening, bytes } => self.in_flight.done(&partition, opening, bytes),
            Command::Commit { partition: (topic, partition), next_offset, note } => {
                if let Err(error) = self.commit(&topic, partition, next_offset, &note) {
                    tracing::warn!(topic = &*topic, partition, %error, "offset was not committed, records will repeat");
                }
            }
            Command::Quiesce => {
                self.quiet = true;
                for partition in self.opened.keys().cloned().collect::<Vec<_>>() {
                    if let Some(opened) = self.opened.get_mut(&partition) {
                        opened.batch.forget();
                    }
                    self.unassign(&partition);
                }
            }
        }
    }

    fn commit(
        &self,
        topic: &str,
        partition: i32,
        next_offset: i64,
        note: &OffsetNote,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        let mut position = list.add_partition(topic, partition);
        position.set_metadata(note.to_string());
        position.set_offset(Offset::Offset(next_offset))?;
        fault_point!("raw_consumer:commit:before");
        self.consumer.commit(&list, CommitMode::Async)?;
        fault_point!("raw_consumer:commit:after");
        Ok(())
    }

    fn subscribe(&self) -> Result<(), KafkaError> {
        fault_point!("consumer:subscribe:before");
        self.consumer.subscribe(&[&self.topic])?;
        fault_point!("consumer:subscribe:after");
        Ok(())
    }

    /// Has librdkafka read a partition from here on.
    fn assign(&self, (topic, number): &Partition, next_offset: i64) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, *number, Offset::Offset(next_offset))?;
        fault_point!("consumer:assign:before");
        self.consumer.incremental_assign(&list)?;
        fault_point!("consumer:assign:after");
        Ok(())
    }

    fn open(&mut self, partition: Partition, next_offset: i64, opening: u64) {
        self.close(&partition);
        if self.quiet {
            return;
        }
        // Before it is assigned: no record may go to the queue of all.
        let Some(mut queue) = self.consumer.split_partition_queue(&partition.0, partition.1) else {
            let (topic, number) = (&partition.0, partition.1);
            self.tell(Event::Fatal(KafkaError::other(format!("{topic}/{number} cannot have a queue"))));
            return;
        };
        queue.set_nonempty_callback(wakes(&self.waker));
        if let Err(error) = self.assign(&partition, next_offset) {
            self.tell(Event::Fatal(error));
            return;
        }
        self.in_flight.open(partition.clone(), opening);
        self.consumer.context().opened.lock().insert(partition.clone());
        self.opened.insert(partition, Opened { opening, batch: BatchBuilder::at(next_offset), queue });
    }

    fn close(&mut self, partition: &Partition) {
        self.opened.remove(partition);
        self.in_flight.close(partition);
        self.unassign(partition);
    }

    fn unassign(&self, partition: &Partition) {
        if self.consumer.context().opened.lock().remove(partition)
            && let Err(error) = leave(&self.consumer, std::slice::from_ref(partition))
        {
            tracing::debug!(topic = &*partition.0, partition = partition.1, %error, "partition was not unassigned");
        }
    }

    /// Tells for how long the limit was reached, once it is no longer.
    fn tell_held(&mut self) {
        let InFlightLimit { batch_rows, batch_bytes, .. } = self.limit;
        let full = self.in_flight.is_full(self.under_construction(), |partition| {
            self.opened.get(partition).is_some_and(|opened| opened.batch.is_full(batch_rows, batch_bytes))
        });
        if let Some(held) = self.in_flight.held(full, Instant::now()) {
            self.tell(Event::Held(held));
        }
    }

    /// Returns the bytes of all batches that are under construction.
    fn under_construction(&self) -> usize {
        self.opened.values().map(|opened| opened.batch.bytes()).sum()
    }

    /// Takes what is no record: rebalances, errors. As long as this is called the group keeps the member.
    fn take_events(&mut self) -> Result<(), Ended> {
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            let broken = match &polled {
                Ok(message) => BrokenAssumption::RecordInQueueOfAll {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                    offset: message.offset(),
                },
                Err(ClientError::PartitionEOF(_)) => continue,
                Err(error) => {
                    self.take_error(error)?;
                    continue;
                }
            };
            self.go_on_without(&broken)?;
        }
        self.take_rebalances();
        Ok(())
    }

    fn take_rebalances(&mut self) {
        let rebalances = std::mem::take(&mut *self.consumer.context().events.lock());
        for rebalance in rebalances {
            match rebalance {
                Rebalance::Assigned(partitions) => {
                    self.assignments += 1;
                    let numbered = partitions.iter().map(|partition| (partition.clone(), self.assignments));
                    self.assigned.extend(numbered);
                    self.tell(Event::Assigned(self.assignments, partitions));
                }
                Rebalance::Revoked(partitions) => {
                    for partition in &partitions {
                        self.assigned.remove(partition);
                        self.opened.remove(partition);
                        self.in_flight.close(partition);
                    }
                    self.tell(Event::Revoked(partitions));
                }
            }
        }
    }

    /// Takes records that are at hand, of one partition after the other, each time from another one on.
    /// Returns whether there may be more for which there is room.
    fn take_records(&mut self) -> Result<bool, Ended> {
        let mut partitions: Vec<Partition> = self.opened.keys().cloned().collect();
        if partitions.is_empty() || self.quiet {
            return Ok(false);
        }
        self.turn = (self.turn + 1) % partitions.len();
        partitions.rotate_left(self.turn);
        let mut more = false;
        for partition in partitions {
            if self.in_flight.is_full(self.under_construction(), |_| false) {
                return Ok(false);
            }
            let Some(opened) = self.opened.get_mut(&partition) else { continue };
            match opened.take(&partition, &mut self.last_origin, &self.limit) {
                Stopped::Empty => {}
                Stopped::AtOnce => more = true,
                Stopped::FullBatch => more |= self.in_flight.has_room_for(&partition),
                Stopped::AtEnd => {
                    more = true;
                    if let Err(broken) = self.step_over_control_records(&partition) {
                        self.go_on_without(&broken)?;
                    }
                }
                Stopped::Failed(error) => self.take_error(&error)?,
                Stopped::Broken(broken) => self.go_on_without(&broken)?,
            }
        }
        Ok(more)
    }

    fn take_error(&self, error: &ClientError) -> Result<(), Ended> {
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            let text = format!("{code}: {reason}");
            let failure = match code {
                RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced => KafkaError::fenced(text),
                _ => KafkaError::fatal(text),
            };
            self.tell(Event::Fatal(failure));
            return Err(Ended);
        }
        if matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        ) {
            self.tell(Event::OutOfRange);
            return Ok(());
        }
        match KafkaError::from(error.clone()) {
            // librdkafka goes on trying by itself, and the environment notices a broker that is away.
            KafkaError::Unavailable { .. } => tracing::debug!(%error, "kafka consumer cannot read for now"),
            failure => self.tell(Event::Refused(failure)),
        }
        Ok(())
    }

    /// Acts upon an assumption that did not hold.
    fn go_on_without(&self, broken: &BrokenAssumption) -> Result<(), Ended> {
        tracing::error!(%broken, "librdkafka does not do what is taken for granted");
        match broken {
            BrokenAssumption::RecordBehindPosition { .. } | BrokenAssumption::RecordInQueueOfAll { .. } => {
                self.tell(Event::Fatal(broken.clone().into()));
                Err(Ended)
            }
            _ => Ok(()),
        }
    }

    /// At the end of a partition the position may lie behind control records, which no reader gets: hands it
    /// on.
    fn step_over_control_records(&mut self, partition: &Partition) -> Result<(), BrokenAssumption> {
        let positions =
            self.consumer.position().map_err(|error| BrokenAssumption::NoPositions(error.to_string()))?;
        let (topic, number) = (&*partition.0, partition.1);
        let position = positions.find_partition(topic, number);
        let position = position
            .ok_or_else(|| BrokenAssumption::NoPosition { topic: topic.to_owned(), partition: number })?;
        // One of which nothing was read yet has no position of its own.
        if let (Offset::Offset(position), Some(opened)) = (position.offset(), self.opened.get_mut(partition))
        {
            opened.batch.step_to(position);
        }
        Ok(())
    }

    /// Hands on the batches that are full or have waited for long enough, as far as there is room for them.
    fn flush_ripe(&mut self) {
        let InFlightLimit { batch_rows, batch_bytes, linger, .. } = self.limit;
        let mut group = None;
        for (partition, opened) in &mut self.opened {
            if !self.in_flight.has_room_for(partition)
                || !opened.batch.is_due(batch_rows, batch_bytes, linger)
            {
                continue;
            }
            let group = group.get_or_insert_with(|| self.consumer.group_metadata().map(Arc::new)).clone();
            let read = opened.batch.cut(partition);
            self.in_flight.hand_on(partition, read.bytes);
            let batch = ReadBatch { read, opening: opened.opening, group };
            // A receiver that is gone ends the thread at the next look at its orders.
            let _ = self.events.send(Event::Batch(batch));
        }
    }
}
