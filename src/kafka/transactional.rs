//! The transactional producer of one raw partition: raw to enriched exactly once.
//!
//! Delivery argument. One transaction holds the derived records of a batch (enriched and dead letters) and
//! the raw offset after it; where several batches of the partition are queued, those of all, and the offset
//! after the last. A batch that does not begin where the one before it ended is refused, and the partition
//! opened anew. Readers of the derived topics use `read_committed`, so:
//! - a crash before the commit leaves an open transaction; the next owner initialises the same transactional
//!   id, which aborts it, and reads the batch again from the committed offset: no record of it is ever seen;
//! - a crash after the commit finds the committed offset behind the batch: nothing is read again;
//! - an old owner that still lives is fenced by that initialisation: its commit fails.
//!
//! The group metadata of a batch is that of the moment it was read. A rebalance in between makes the broker
//! refuse the offsets, and with them the transaction.
//!
//! Every call is bounded, and so is the whole job ([`JOB_LIMIT`]): a thread that stands still in the middle
//! of one is left behind. Its waiter gets an error, the partition is opened anew, and the fresh producer's
//! initialisation of the same id fences whatever the old thread may still do when it wakes.
//!
//! A broker that is stopped at the wrong moment may itself lose track of a transaction: its coordinator takes
//! it for complete, while the partitions wait for its end for ever, the offsets of the group too. Kafka ends
//! such a one with the next end of a transaction of the same producer on the same partitions. So where the
//! committed offset is withheld though the id was initialised, the next opening begins a transaction there
//! and aborts it ([`Opening::withheld`]), and sets the offset behind what the derived topics show of the lost
//! one (`lost_transaction`).
//!
//! Without transactions (`kafka.transactions = false`) the records are flushed and the offset is committed
//! after that by the consumer: a crash in between repeats the batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::client::{Logged, base, overridden};
use super::consumer::GroupMetadata;
use super::error::KafkaError;
use super::flush;
use super::lost_transaction::Witness;
use super::offset_note::OffsetNote;
use super::pace::Pace;
use super::record::DerivedRecord;
use super::topic_ids::TopicId;
use super::topics::{USUAL_OVERHEAD_BYTES, derived_max_bytes};
use crate::config::KafkaSettings;
use crate::fault_point;
use crate::telemetry::events;
use crate::telemetry::labels::TransactionEnd;

/// How long a transaction may stay open before the broker aborts it: it holds readers back for that long at
/// worst.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the calls of a transaction wait: shorter than the transaction itself.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a transaction may take with all its calls; past it the broker has aborted it.
const JOB_TIMEOUT: Duration = TRANSACTION_TIMEOUT;
/// How long the abort of a transaction may take that a later opening would abort as well.
const ABORT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long giving up what was queued may take. It needs no broker.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the reports of records that failed are looked at while all are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a record waits in the client's queue for others. A transaction flushes when it is whole, so that
/// what it has for a partition goes out in one request. A shorter wait would send its first records alone,
/// and while a request to a partition is under way the client keeps a processor busy with what waits behind
/// it.
const LINGER: Duration = Duration::from_millis(100);
/// How much one request carries at most, in bytes before they are compressed.
const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// How often is looked whether more has come while a transaction gathers.
const GATHER_EVERY: Duration = Duration::from_millis(5);
/// After how long without a word of the thread it is left behind: each of its calls has ended by then.
const JOB_LIMIT: Duration = Duration::from_secs(20);

/// One transaction's worth of work.
pub struct Transaction {
    pub records: Vec<DerivedRecord>,
    /// The raw offset of the first record, and the one behind the last.
    pub from: i64,
    pub next_offset: i64,
    pub note: OffsetNote,
    pub group: Option<Arc<GroupMetadata>>,
}

impl Transaction {
    /// How much of a request it fills.
    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.value.len() + USUAL_OVERHEAD_BYTES).sum()
    }

    /// Takes over what follows in the partition.
    fn append(&mut self, next: Self) {
        let Self { records, next_offset, note, group, .. } = next;
        self.records.extend(records);
        (self.next_offset, self.note, self.group) = (next_offset, note, group);
    }
}

/// What a producer is opened for.
#[derive(Debug, Clone)]
pub struct Opening {
    pub partition: i32,
    /// Its committed offset was withheld when it was asked for last.
    pub withheld: Option<Withheld>,
}

/// An offset that Kafka does not tell.
#[derive(Debug, Clone)]
pub struct Withheld {
    /// Whose it is.
    pub group: String,
    /// The log that it would speak of, where that has an id.
    pub topic_id: Option<TopicId>,
}

enum Job {
    Publish(Transaction, oneshot::Sender<Result<(), KafkaError>>),
}

/// A producer on a thread of its own, because its calls block. Dropping it ends the thread.
pub struct PartitionProducer {
    jobs: mpsc::Sender<Job>,
}

impl PartitionProducer {
    /// Starts the thread and initialises the transactional id, which fences the previous owner and ends what
    /// it left open.
    pub async fn open(settings: Arc<KafkaSettings>, opening: Opening) -> Result<Self, KafkaError> {
        let (jobs, queue) = mpsc::channel(16);
        let (opened, open) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("producer-{}", opening.partition));
        let spawned = thread.spawn(move || match Worker::create(settings, &opening) {
            Ok(worker) => {
                if opened.send(Ok(())).is_ok() {
                    worker.run(queue);
                }
            }
            // Nobody waits when the opening itself was given up.
            Err(failure) => drop(opened.send(Err(failure))),
        });
        spawned.map_err(|error| {
            KafkaError::other(format!("no thread for a producer: {error}")).caused_by(error)
        })?;
        answer_of_thread(open).await.map(|()| Self { jobs })
    }

    /// Queues a transaction at once, in the caller's order, and returns its outcome to come.
    pub fn publish(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<(), KafkaError>> + Send + use<> {
        let (done, outcome) = oneshot::channel();
        let queued = self.jobs.try_send(Job::Publish(transaction, done));
        async move {
            queued.map_err(|_| KafkaError::other("the producer's queue is full or closed"))?;
            answer_of_thread(outcome).await
        }
    }
}

/// Waits for the thread's answer, and not for ever.
async fn answer_of_thread<T>(answer: oneshot::Receiver<Result<T, KafkaError>>) -> Result<T, KafkaError> {
    match tokio::time::timeout(JOB_LIMIT, answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(KafkaError::other("the producer's thread ended")),
        Err(_) => Err(KafkaError::fatal(format!("its thread gave no answer within {JOB_LIMIT:?}"))),
    }
}

/// Keeps the first failed delivery: without a transaction nothing else would tell of it.
#[derive(Default)]
struct Deliveries(Mutex<Option<KafkaError>>);

impl ProducerContext for Logged<Deliveries> {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().get_or_insert_with(|| error.clone().into());
        }
    }
}

struct Worker {
    settings: Arc<KafkaSettings>,
    producer: BaseProducer<Logged<Deliveries>>,
    partition: i32,
}

impl Worker {
    fn create(
        settings: Arc<KafkaSettings>,
        Opening { partition, withheld }: &Opening,
    ) -> Result<Self, KafkaError> {
        let largest = derived_max_bytes(&settings);
        let mut config = base(&settings);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", CALL_TIMEOUT.as_millis().to_string())
            .set("message.max.bytes", largest.to_string())
            .set("compression.type", "lz4")
            .set("linger.ms", LINGER.as_millis().to_string())
            // A transaction that begins while the end of the one before it is still on its way to the
            // partitions is told to come again, after a few milliseconds. What is refused for longer is asked
            // for ever more seldom.
            .set("retry.backoff.ms", "5")
            .set("batch.size", largest.min(REQUEST_BYTES).to_string())
            // A transaction or two; the default would be a gigabyte.
            .set("queue.buffering.max.kbytes", (largest.max(4 * REQUEST_BYTES) / 1024).to_string())
            // Nobody asks about a record that was delivered.
            .set("delivery.report.only.error", "true");
        if settings.transactions {
            let id = format!("{}-{}-{partition}", settings.group_prefix, settings.raw_topic);
            config
                .set("transactional.id", id)
                .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string());
        }
        let producer: BaseProducer<Logged<Deliveries>> = overridden(config, &settings)
            .create_with_context(Logged::of("transactional producer", Deliveries::default()))?;
        let worker = Self { producer, partition: *partition, settings };
        if worker.settings.transactions {
            fault_point!("enriched_publisher:init:before");
            worker.producer.init_transactions(CALL_TIMEOUT)?;
            fault_point!("enriched_publisher:init:after");
            if let Some(withheld) = withheld {
                tracing::warn!(
                    partition,
                    "committed offset is withheld, a transaction that has no end is given one"
                );
                worker.end_lost_transaction(withheld)?;
            }
        }
        Ok(worker)
    }

    /// Begins a transaction on all that one of this partition may hold, and aborts it; then sets the offset
    /// behind what the lost one has left in the derived topics.
    fn end_lost_transaction(&self, withheld: &Withheld) -> Result<(), KafkaError> {
        let witness = Witness::new(&self.settings, &withheld.group, self.partition, CALL_TIMEOUT)?;
        let metadata = witness.consumer.group_metadata();
        let metadata = metadata.ok_or_else(|| KafkaError::other("the group has no metadata"))?;
        self.producer.begin_transaction()?;
        for topic in [&self.settings.enriched_topic, &self.settings.dead_letter_topic] {
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(self.partition).payload(b"");
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        self.settle(Instant::now() + CALL_TIMEOUT)?;
        let mut positions = TopicPartitionList::new();
        positions.add_partition_offset(&self.settings.raw_topic, self.partition, Offset::Offset(0))?;
        // Refused or not, the group's partition of offsets has become part of the transaction.
        let added = self.producer.send_offsets_to_transaction(&positions, &metadata, CALL_TIMEOUT);
        tracing::debug!(partition = self.partition, ?added, "offset of the transaction without an end");
        self.producer.abort_transaction(CALL_TIMEOUT)?;
        let Some(last) = witness.last_derived()? else { return Ok(()) };
        let next_offset = last.offset + 1;
        tracing::warn!(
            partition = self.partition,
            next_offset,
            "the lost transaction had committed its records, its offset is committed for it"
        );
        let note = OffsetNote { topic_id: withheld.topic_id.clone(), last: Some(last) };
        self.producer.begin_transaction()?;
        self.send_offset(next_offset, &note, &metadata, CALL_TIMEOUT)?;
        self.commit(Instant::now() + CALL_TIMEOUT)
    }

    fn send_offset(
        &self,
        next_offset: i64,
        note: &OffsetNote,
        group: &GroupMetadata,
        within: Duration,
    ) -> Result<(), KafkaError> {
        let mut positions = TopicPartitionList::new();
        let mut position = positions.add_partition(&self.settings.raw_topic, self.partition);
        position.set_offset(Offset::Offset(next_offset))?;
        position.set_metadata(note.to_string());
        Ok(self.producer.send_offsets_to_transaction(&positions, group, within)?)
    }

    fn run(self, mut queue: mpsc::Receiver<Job>) {
        let (mut position, mut pace) = (None, Pace::default());
        let mut left_over = None;
        while let Some(Job::Publish(mut work, done)) = left_over.take().or_else(|| queue.blocking_recv()) {
            let mut waiting = vec![done];
            let mut in_order = self.follows(position, &work);
            let mut bytes = work.bytes();
            // What was queued while the last transaction ran is the next one: its cost is mostly that of its
            // end, whatever it holds, as long as that fits one request.
            loop {
                let Ok(Job::Publish(next, done)) = queue.try_recv() else {
                    let gather = pace.left(Instant::now()).min(GATHER_EVERY);
                    if gather.is_zero() || bytes >= REQUEST_BYTES / 2 || queue.is_closed() {
                        break;
                    }
                    std::thread::sleep(gather);
                    continue;
                };
                bytes += next.bytes();
                if bytes > REQUEST_BYTES {
                    left_over = Some(Job::Publish(next, done));
                    break;
                }
                in_order = in_order.and_then(|()| self.follows(Some(work.next_offset), &next));
                work.append(next);
                waiting.push(done);
            }
            position = Some(work.next_offset);
            pace.begins(work.records.len(), Instant::now());
            let outcome = in_order.and_then(|()| {
                if self.settings.transactions { self.transact(&work) } else { self.flush(&work) }
            });
            let end = match &outcome {
                Ok(()) => TransactionEnd::Committed,
                Err(KafkaError::Fenced { .. }) => TransactionEnd::Fenced,
                Err(_) => TransactionEnd::Aborted,
            };
            events::transaction_ended(end);
            let failed = outcome.is_err();
            for done in waiting {
                // Nobody waits when the partition was closed meanwhile.
                let _ = done.send(outcome.clone());
            }
            if failed {
                // What was queued behind belongs to a window that is dropped: the next opening starts afresh.
                return;
            }
        }
    }

    /// Refuses a batch that does not begin where the one before it ended: its offset would be committed over
    /// a later or an earlier one, and rows would be enriched twice or never.
    fn follows(&self, position: Option<i64>, next: &Transaction) -> Result<(), KafkaError> {
        match position {
            Some(position) if position != next.from => Err(KafkaError::other(format!(
                "partition {}: a batch from {} does not follow the one that ended at {position}",
                self.partition, next.from
            ))),
            _ => Ok(()),
        }
    }

    fn transact(&self, transaction: &Transaction) -> Result<(), KafkaError> {
        let deadline = Instant::now() + JOB_TIMEOUT;
        fault_point!("enriched_publisher:begin:before");
        self.producer.begin_transaction()?;
        match self.fill_and_commit(transaction, deadline) {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.abort(&failure);
                Err(failure)
            }
        }
    }

    /// Gives up a transaction. Its queued records go first: librdkafka waits for the report of each, and the
    /// reports come only while they are asked for.
    fn abort(&self, failure: &KafkaError) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let began = Instant::now();
        while self.producer.in_flight_count() > 0 && began.elapsed() < PURGE_TIMEOUT {
            self.look();
            std::thread::sleep(Duration::from_millis(1));
        }
        if matches!(
            failure,
            KafkaError::Unavailable { .. } | KafkaError::Fatal { .. } | KafkaError::Fenced { .. }
        ) {
            // There is nobody to tell, or it is not for this producer to say. The next opening initialises
            // the id again, and that aborts what is left.
            return;
        }
        if let Err(error) = self.abort_transaction() {
            tracing::debug!(partition = self.partition, %error, "transaction was not aborted");
        }
    }

    fn abort_transaction(&self) -> Result<(), KafkaError> {
        fault_point!("enriched_publisher:abort:before");
        self.producer.abort_transaction(ABORT_TIMEOUT)?;
        fault_point!("enriched_publisher:abort:after");
        Ok(())
    }

    fn fill_and_commit(&self, transaction: &Transaction, deadline: Instant) -> Result<(), KafkaError> {
        let Some(group) = &transaction.group else {
            return Err(KafkaError::other("the batch carries no group metadata"));
        };
        fault_point!("enriched_publisher:produce:before");
        self.produce(&transaction.records, deadline)?;
        fault_point!("enriched_publisher:send_offsets:before");
        self.send_offset(transaction.next_offset, &transaction.note, group, left_until(deadline)?)?;
        fault_point!("enriched_publisher:send_offsets:after");
        self.settle(deadline)?;
        fault_point!("enriched_publisher:commit:before");
        self.commit(deadline)?;
        fault_point!("enriched_publisher:commit:after");
        Ok(())
    }

    /// Sends what is queued, and waits for the answer to each record. The wrapper's own flush waits for
    /// reports, 100 ms at a time, and of a record that was delivered there is none.
    fn settle(&self, deadline: Instant) -> Result<(), KafkaError> {
        while self.producer.in_flight_count() > 0 {
            left_until(deadline)?;
            flush::send_and_wait(&self.producer, LOOK_EVERY);
            self.look();
        }
        Ok(())
    }

    /// Takes the reports that are there.
    fn look(&self) {
        self.producer.poll(Duration::ZERO);
    }

    fn commit(&self, deadline: Instant) -> Result<(), KafkaError> {
        loop {
            match self.producer.commit_transaction(left_until(deadline)?) {
                Ok(()) => return Ok(()),
                // A timeout leaves the outcome open; asking again is how librdkafka wants it resolved.
                Err(ClientError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&self, transaction: &Transaction) -> Result<(), KafkaError> {
        self.produce(&transaction.records, Instant::now() + JOB_TIMEOUT)?;
        self.settle(Instant::now() + CALL_TIMEOUT)?;
        if let Some(failure) = self.producer.context().0.lock().take() {
            return Err(failure);
        }
        fault_point!("enriched_publisher:flush:after");
        Ok(())
    }

    fn produce(&self, records: &[DerivedRecord], deadline: Instant) -> Result<(), KafkaError> {
        for record in records {
            let topic = if record.dead_letter {
                &self.settings.dead_letter_topic
            } else {
                &self.settings.enriched_topic
            };
            let mut message = BaseRecord::<[u8], [u8]>::to(topic)
                .partition(self.partition)
                .payload(&record.value)
                .headers(record.headers.to_kafka());
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            loop {
                match self.producer.send(message) {
                    Ok(()) => break,
                    Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        message = back;
                        left_until(deadline)?;
                        flush::send_and_wait(&self.producer, LOOK_EVERY);
                        self.look();
                    }
                    Err((error, _)) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// Returns how long a call may still take.
fn left_until(deadline: Instant) -> Result<Duration, KafkaError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(KafkaError::unavailable(format!("the transaction was not done within {JOB_TIMEOUT:?}")));
    }
    Ok(left.min(CALL_TIMEOUT))
}
