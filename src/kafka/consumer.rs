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
//! reached the thread stops taking records, and when that lasts it pauses the partitions and keeps polling,
//! so that the group does not expel it: `in_flight` decides. librdkafka's own queue is bounded by the
//! settings of `group_member`.

mod in_flight;
mod thread_slot;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

pub use self::in_flight::InFlightLimit;
use self::in_flight::{Flow, InFlight};
use self::thread_slot::Holding;
pub use self::thread_slot::ThreadSlot;
use super::assumption::BrokenAssumption;
use super::batch_builder::BatchBuilder;
use super::client::Logged;
use super::error::KafkaError;
use super::group_member::{Assignment, Rebalance, config, leave, list_of};
use super::headers::{HeaderList, Origin};
use super::offset_note::OffsetNote;
use super::record::{Partition, RecordBatch};
use crate::config::Settings;
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
}

impl ConsumerThread {
    /// Starts the thread for `topics`; events arrive at the receiver until the thread ends.
    pub fn start(
        slot: &Arc<ThreadSlot>,
        settings: &Settings,
        group: &str,
        topics: Vec<Arc<str>>,
        limit: InFlightLimit,
    ) -> Result<(Self, tokio::sync::mpsc::UnboundedReceiver<Event>), std::io::Error> {
        let (commands, orders) = mpsc::channel();
        // Unbounded as a type, bounded by the limit: every batch in it counts as in flight.
        let (events, received) = tokio::sync::mpsc::unbounded_channel();
        let config = config(settings, group);
        slot.take(format!("consumer-{group}"), move |Holding { beat, superseded }| {
            match config.create_with_context::<_, BaseConsumer<_>>(Logged::of(
                "kafka consumer",
                Assignment::default(),
            )) {
                Ok(consumer) => Reader {
                    beat,
                    consumer,
                    topics,
                    limit,
                    orders,
                    events,
                    superseded,
                    assigned: HashMap::new(),
                    assignments: 0,
                    opened: HashMap::new(),
                    in_flight: InFlight::new(limit),
                    last_origin: None,
                    quiet: false,
                }
                .run(),
                Err(error) => drop(events.send(Event::Fatal(error.into()))),
            }
        })?;
        Ok((Self { commands }, received))
    }

    /// Sends a command; a thread that has ended reported why as its last event.
    pub fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

/// How many records are taken at once where they are at hand, before anything else is looked at.
const RECORDS_AT_ONCE: usize = 500;

/// What a poll brought.
enum Polled {
    /// The consumer cannot go on.
    Ended,
    NoRecord,
    Record,
    /// A record that makes its batch full.
    FullBatch,
}

struct Opened {
    opening: u64,
    batch: BatchBuilder,
}

struct Reader {
    /// First of all, so that it goes first: leaving the group takes its time, and a successor watches over
    /// that.
    beat: Arc<Beat>,
    consumer: BaseConsumer<Logged<Assignment>>,
    topics: Vec<Arc<str>>,
    limit: InFlightLimit,
    orders: mpsc::Receiver<Command>,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
    /// A successor waits for the slot.
    superseded: Arc<AtomicBool>,
    /// What the group has assigned to this member, each under the number of its assignment.
    assigned: HashMap<Partition, u64>,
    assignments: u64,
    opened: HashMap<Partition, Opened>,
    in_flight: InFlight,
    last_origin: Option<Arc<Origin>>,
    quiet: bool,
}

impl Reader {
    fn run(mut self) {
        let names: Vec<&str> = self.topics.iter().map(AsRef::as_ref).collect();
        if let Err(error) = self.consumer.subscribe(&names) {
            self.tell(Event::Fatal(error.into()));
            return;
        }
        while !self.superseded.load(Ordering::Relaxed) {
            self.beat.turn();
            let full = self.full();
            match self.take_orders(full) {
                Ok(()) => {}
                Err(()) => return, // the actor is gone
            }
            let full = self.full();
            self.hold_back(full);
            if full {
                if self.in_flight.is_paused() && matches!(self.poll(Duration::ZERO), Polled::Ended) {
                    return;
                }
                continue;
            }
            let mut patience = self.patience();
            for _ in 0..RECORDS_AT_ONCE {
                match self.poll(patience) {
                    Polled::Ended => return,
                    Polled::Record => patience = Duration::ZERO,
                    Polled::NoRecord | Polled::FullBatch => break,
                }
            }
            self.flush_ripe();
        }
    }

    fn tell(&self, event: Event) {
        // A receiver that is gone ends the thread at the next look at its orders.
        let _ = self.events.send(event);
    }

    fn full(&self) -> bool {
        let InFlightLimit { batch_rows, batch_bytes, .. } = self.limit;
        self.in_flight.is_full(|partition| {
            self.opened.get(partition).is_some_and(|opened| opened.batch.is_full(batch_rows, batch_bytes))
        })
    }

    /// How long a poll may wait: a batch that is under way must not wait longer than its linger.
    fn patience(&self) -> Duration {
        if self.opened.values().any(|opened| opened.batch.holds_records()) {
            self.limit.linger
        } else {
            Duration::from_millis(20)
        }
    }

    fn take_orders(&mut self, wait: bool) -> Result<(), ()> {
        if wait {
            match self.orders.recv_timeout(Duration::from_millis(50)) {
                Ok(order) => self.obey(order),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(()),
            }
        }
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.obey(order),
                Err(mpsc::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::TryRecvError::Disconnected) => return Err(()),
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
                let mut list = TopicPartitionList::new();
                let mut position = list.add_partition(&topic, partition);
                position.set_metadata(note.to_string());
                let committed = position
                    .set_offset(Offset::Offset(next_offset))
                    .and_then(|()| self.consumer.commit(&list, CommitMode::Async));
                if let Err(error) = committed {
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

    fn open(&mut self, partition: Partition, next_offset: i64, opening: u64) {
        self.close(&partition);
        if self.quiet {
            return;
        }
        let pause = self.in_flight.open(partition.clone(), opening);
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(&partition.0, partition.1, Offset::Offset(next_offset))
            .and_then(|()| self.consumer.incremental_assign(&list))
            .and_then(|()| if pause { self.consumer.pause(&list) } else { Ok(()) });
        if let Err(error) = assigned {
            self.in_flight.close(&partition);
            self.tell(Event::Fatal(error.into()));
            return;
        }
        self.consumer.context().opened.lock().insert(partition.clone());
        self.opened.insert(partition, Opened { opening, batch: BatchBuilder::at(next_offset) });
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

    /// Pauses the partitions when the limit has been reached for long, and resumes them when there is room
    /// again.
    fn hold_back(&mut self, full: bool) {
        let look = self.in_flight.look(full, Instant::now());
        if let Some(held) = look.held {
            self.tell(Event::Held(held));
        }
        let all = || list_of(&self.opened.keys().cloned().collect::<Vec<_>>());
        let done = match look.flow {
            Flow::AsItIs => return,
            Flow::Pause => self.consumer.pause(&all()),
            Flow::Resume => self.consumer.resume(&all()),
        };
        if let Err(error) = done {
            self.tell(Event::Fatal(error.into()));
        }
    }

    /// Polls once.
    fn poll(&mut self, patience: Duration) -> Polled {
        let limit = self.limit;
        let taken = match self.consumer.poll(patience) {
            None => Ok(Polled::NoRecord),
            Some(Ok(message)) => take(&mut self.opened, &mut self.last_origin, &message).map(|batch| {
                let full = batch.is_full(limit.batch_rows, limit.batch_bytes);
                if full { Polled::FullBatch } else { Polled::Record }
            }),
            Some(Err(ClientError::PartitionEOF(_))) => {
                self.step_over_control_records().map(|()| Polled::NoRecord)
            }
            Some(Err(error)) if !self.took_error(&error) => return Polled::Ended,
            Some(Err(_)) => Ok(Polled::NoRecord),
        };
        let polled = match taken {
            Ok(polled) => polled,
            Err(broken) if self.goes_on_without(&broken) => Polled::NoRecord,
            Err(_) => return Polled::Ended,
        };
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
        polled
    }

    fn took_error(&self, error: &ClientError) -> bool {
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            let text = format!("{code}: {reason}");
            let failure = match code {
                RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced => KafkaError::fenced(text),
                _ => KafkaError::fatal(text),
            };
            self.tell(Event::Fatal(failure));
            return false;
        }
        if matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        ) {
            self.tell(Event::OutOfRange);
            return true;
        }
        match KafkaError::from(error.clone()) {
            // librdkafka goes on trying by itself, and the environment notices a broker that is away.
            KafkaError::Unavailable { .. } => tracing::debug!(%error, "kafka consumer cannot read for now"),
            failure => self.tell(Event::Refused(failure)),
        }
        true
    }

    /// Acts upon an assumption that did not hold; returns false when the consumer cannot go on.
    fn goes_on_without(&self, broken: &BrokenAssumption) -> bool {
        tracing::error!(%broken, "librdkafka does not do what is taken for granted");
        match broken {
            BrokenAssumption::RecordBehindPosition { .. } => {
                self.tell(Event::Fatal(broken.clone().into()));
                return false;
            }
            BrokenAssumption::RecordOfClosedPartition { topic, partition, .. } => {
                let partition = (Arc::from(topic.as_str()), *partition);
                if let Err(error) = leave(&self.consumer, &[partition]) {
                    tracing::warn!(%error, "the partition that is not open is read on");
                }
            }
            _ => {}
        }
        true
    }

    /// At the end of a partition the position may lie behind control records, which no reader gets: hands it
    /// on. The event names no partition that could be relied on, so all are looked at.
    fn step_over_control_records(&mut self) -> Result<(), BrokenAssumption> {
        let positions =
            self.consumer.position().map_err(|error| BrokenAssumption::NoPositions(error.to_string()))?;
        // Not all in `opened`: a rebalance may have taken some within the same poll.
        for partition in self.consumer.context().opened.lock().iter() {
            let (topic, number) = (&*partition.0, partition.1);
            let position = positions.find_partition(topic, number);
            let position = position
                .ok_or_else(|| BrokenAssumption::NoPosition { topic: topic.to_owned(), partition: number })?;
            // One of which nothing was read yet has no position of its own.
            if let (Offset::Offset(position), Some(opened)) =
                (position.offset(), self.opened.get_mut(partition))
            {
                opened.batch.step_to(position);
            }
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

/// Appends a record to the batch under construction, and returns that batch.
fn take<'a>(
    opened: &'a mut HashMap<Partition, Opened>,
    last_origin: &mut Option<Arc<Origin>>,
    message: &BorrowedMessage<'_>,
) -> Result<&'a BatchBuilder, BrokenAssumption> {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    // There are few: to look them through costs less than the key of a look-up.
    let found = opened.iter_mut().find(|((name, number), _)| *number == partition && **name == *topic);
    let Some((_, opened)) = found else {
        let topic = topic.to_owned();
        return Err(BrokenAssumption::RecordOfClosedPartition { topic, partition, offset });
    };
    let position = opened.batch.position();
    if offset < position {
        let topic = topic.to_owned();
        return Err(BrokenAssumption::RecordBehindPosition { topic, partition, offset, position });
    }
    let headers = match message.headers() {
        None => Some(HeaderList::default()),
        Some(headers) => HeaderList::read(headers, last_origin.as_ref()),
    };
    let read = headers.is_some();
    let headers = headers.unwrap_or_default();
    if headers.origin.is_some() {
        last_origin.clone_from(&headers.origin);
    }
    let value = message.payload().unwrap_or_default();
    opened.batch.push(offset, message.key(), value, headers, message.timestamp().to_millis());
    if read {
        return Ok(&opened.batch);
    }
    // The record counts, and is in the batch.
    Err(BrokenAssumption::UnreadableHeaders { topic: topic.to_owned(), partition, offset })
}
