//! The producer of the raw topic: idempotent, and answers only when every row of a page is acknowledged.
//!
//! Delivery: a page counts as published when the brokers have acknowledged each of its rows (`acks=all`). A
//! crash in between leaves some rows in the log; the page is then published again, and promise 6 makes the
//! repetition free.
//!
//! A producer that librdkafka has given up, and one whose threads do not answer, is of no use any more: the
//! failure is [`KafkaError::Fatal`], and whoever owns the producer makes another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::Message;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio::sync::Notify;

use super::client::{Logged, base, overridden};
use super::error::KafkaError;
use super::headers::HeaderList;
use super::record::{Acknowledged, PublishedPage, RawRow};
use super::topics::{USUAL_OVERHEAD_BYTES, max_row_bytes};
use crate::config::KafkaSettings;
use crate::fault_point;
use crate::retry::QUEUE_FULL;

/// How long librdkafka itself tries to deliver a row before the page is reported as failed.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many seconds may pass without a single report while rows are on their way: past [`MESSAGE_TIMEOUT`]
/// each has its report, so the threads that bring them stand still.
const SILENT_SECONDS: u32 = 40;

/// How long a row waits in the client's queue for others: for longer than it takes to queue a round.
const LINGER: Duration = Duration::from_millis(10);

/// What is queued at one time: of each partition as much as one request carries. While a request to a
/// partition is under way, the client keeps a processor busy with what waits behind it.
struct Round {
    request_bytes: usize,
    queued: BTreeMap<i32, usize>,
}

impl Round {
    fn of(request_bytes: usize) -> Self {
        Self { request_bytes, queued: BTreeMap::new() }
    }

    /// Adds a row, unless its partition has no room for it any more.
    fn takes(&mut self, partition: i32, bytes: usize) -> bool {
        let queued = self.queued.entry(partition).or_default();
        let filled = *queued + bytes + USUAL_OVERHEAD_BYTES;
        let fits = *queued == 0 || filled <= self.request_bytes;
        if fits {
            *queued = filled;
        }
        fits
    }
}

/// Counts the acknowledgements of one page.
struct Receipt {
    /// Rows that are on their way, and one for the publisher until it has queued them all: so nobody but the
    /// last one finds that nothing is left, and one counter tells it. A second flag could be missed by the
    /// one side while the other misses the counter.
    outstanding: AtomicU64,
    /// Reports so far.
    reports: AtomicU64,
    done: Notify,
    too_large: Mutex<Vec<usize>>,
    failure: Mutex<Option<KafkaError>>,
    acknowledged: Mutex<BTreeMap<i32, Acknowledged>>,
}

impl Receipt {
    fn new() -> Self {
        Self {
            outstanding: AtomicU64::new(1),
            reports: AtomicU64::new(0),
            done: Notify::new(),
            too_large: Mutex::default(),
            failure: Mutex::default(),
            acknowledged: Mutex::default(),
        }
    }

    /// A row is on its way.
    fn expect_one(&self) {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until nothing has been reported for so long that nothing will be. Counted in seconds that were
    /// waited for, because a process that was stopped as a whole finds its reports when it goes on.
    async fn silence(&self) {
        let (mut silent_seconds, mut seen) = (0, 0);
        while silent_seconds < SILENT_SECONDS {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let reports = self.reports.load(Ordering::Relaxed);
            silent_seconds = if reports == seen { silent_seconds + 1 } else { 0 };
            seen = reports;
        }
    }

    /// A row is in the log.
    fn acknowledge(&self, partition: i32, offset: i64, appended_at_ms: Option<i64>) {
        let row = Acknowledged {
            partition,
            first_offset: offset,
            end_offset: offset + 1,
            last_appended_at_ms: appended_at_ms,
        };
        let mut acknowledged = self.acknowledged.lock();
        let rows = acknowledged.entry(partition).or_insert(row);
        rows.first_offset = rows.first_offset.min(offset);
        if row.end_offset >= rows.end_offset {
            (rows.end_offset, rows.last_appended_at_ms) = (row.end_offset, appended_at_ms);
        }
    }

    /// Waits until each row that was queued has its answer.
    async fn settled(&self) {
        self.answered();
        self.done.notified().await;
        // Nothing is on its way that could count meanwhile.
        self.outstanding.store(1, Ordering::Release);
    }

    /// A row has its answer, or the publisher has queued them all.
    fn answered(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

/// What travels with a row through librdkafka: its page's receipt and its index in the page.
struct Ticket(Arc<Receipt>, usize);

struct Delivery;

impl ProducerContext for Logged<Delivery> {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let Ticket(receipt, index) = *ticket;
        match result {
            // An answer to a repetition may not say where the row is.
            Ok(message) if message.offset() < 0 => {}
            Ok(message) => {
                receipt.acknowledge(message.partition(), message.offset(), message.timestamp().to_millis());
            }
            Err((error, _)) => match KafkaError::from(error.clone()) {
                KafkaError::TooLarge => receipt.too_large.lock().push(index),
                failure => drop(receipt.failure.lock().get_or_insert(failure)),
            },
        }
        receipt.answered();
    }
}

/// The idempotent producer.
pub struct RawProducer {
    /// None only while it is dropped.
    producer: Option<ThreadedProducer<Logged<Delivery>>>,
    topic: String,
    max_row_bytes: usize,
    request_bytes: usize,
}

impl RawProducer {
    /// Creates the producer; no connection is needed yet.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        // A batch must not be larger than what the topic takes of a single record.
        let request_bytes = settings.raw_max_record_bytes.min(1_000_000);
        let mut config = base(settings);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string())
            .set("message.max.bytes", settings.raw_max_record_bytes.to_string())
            .set("compression.type", "lz4")
            .set("linger.ms", LINGER.as_millis().to_string())
            .set("batch.size", request_bytes.to_string())
            // One page of rows and some; the default would be a gigabyte.
            .set("queue.buffering.max.kbytes", "16384");
        let producer =
            overridden(config, settings).create_with_context(Logged::of("raw producer", Delivery))?;
        Ok(Self {
            producer: Some(producer),
            topic: settings.raw_topic.clone(),
            max_row_bytes: max_row_bytes(settings),
            request_bytes,
        })
    }

    /// Publishes rows and waits for all acknowledgements; rows that the broker refuses for their size are
    /// named.
    ///
    /// # Errors
    /// The first failure; rows before it may be in the log.
    pub async fn publish(&self, rows: &[RawRow], headers: &HeaderList) -> Result<PublishedPage, KafkaError> {
        let receipt = Arc::new(Receipt::new());
        tokio::select! {
            published = self.publish_with(&receipt, rows, headers) => published,
            () = receipt.silence() => {
                Err(KafkaError::fatal(format!("no report of any row for {SILENT_SECONDS} seconds")))
            }
        }
    }

    async fn publish_with(
        &self,
        receipt: &Arc<Receipt>,
        rows: &[RawRow],
        headers: &HeaderList,
    ) -> Result<PublishedPage, KafkaError> {
        let producer = self.producer.as_ref().ok_or_else(|| KafkaError::other("the producer is gone"))?;
        let headers = headers.to_kafka();
        let mut round = Round::of(self.request_bytes);
        for (index, row) in rows.iter().enumerate() {
            if index == rows.len() / 2 {
                fault_point!("raw_publisher:second_half:before");
            }
            if row.value.len() > self.max_row_bytes {
                receipt.too_large.lock().push(index);
                continue;
            }
            if !round.takes(row.partition, row.value.len()) {
                receipt.settled().await;
                round = Round::of(self.request_bytes);
                round.takes(row.partition, row.value.len());
            }
            receipt.expect_one();
            let mut record = BaseRecord::<str, [u8], Box<Ticket>>::with_opaque_to(
                &self.topic,
                Box::new(Ticket(receipt.clone(), index)),
            )
            .partition(row.partition)
            .payload(&row.value)
            .headers(headers.clone());
            if let Some(borough) = row.borough {
                record = record.key(borough.name());
            }
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        tokio::time::sleep(QUEUE_FULL).await;
                    }
                    Err((error, _)) => {
                        match KafkaError::from(error) {
                            KafkaError::TooLarge => receipt.too_large.lock().push(index),
                            failure => drop(receipt.failure.lock().get_or_insert(failure)),
                        }
                        receipt.answered();
                        break;
                    }
                }
            }
            if receipt.failure.lock().is_some() {
                break;
            }
        }
        receipt.settled().await;
        if let Some(failure) = receipt.failure.lock().take() {
            return Err(failure);
        }
        let mut too_large = std::mem::take(&mut *receipt.too_large.lock());
        too_large.sort_unstable();
        let published = (rows.len() - too_large.len()) as u64;
        let acknowledged = std::mem::take(&mut *receipt.acknowledged.lock()).into_values().collect();
        Ok(PublishedPage { published, too_large, acknowledged })
    }
}

impl Drop for RawProducer {
    /// Gives up what has not been delivered. librdkafka's threads are waited for on a thread of its own: one
    /// of them may be why the producer is dropped.
    fn drop(&mut self) {
        let Some(producer) = self.producer.take() else { return };
        producer.purge(PurgeConfig::default().queue().inflight());
        let dropped =
            std::thread::Builder::new().name("producer-end".to_owned()).spawn(move || drop(producer));
        if let Err(error) = dropped {
            tracing::warn!(%error, "a producer could not be ended on a thread of its own");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_last_acknowledgement_wakes_a_publisher_that_queues_its_last_row_at_the_same_moment() {
        const ROUNDS: usize = 200_000;
        let receipts: Arc<Vec<Receipt>> = Arc::new((0..ROUNDS).map(|_| Receipt::new()).collect());
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let wait_for = |turn: &AtomicUsize, round: usize| {
            // A machine with one processor has to be left to the other thread.
            (0u32..).take_while(|_| turn.load(Ordering::Acquire) <= round).for_each(|spun| {
                match spun % 1_000 {
                    999 => std::thread::yield_now(),
                    _ => std::hint::spin_loop(),
                }
            });
        };
        let broker = {
            let (receipts, begun, ended) = (receipts.clone(), begun.clone(), ended.clone());
            std::thread::spawn(move || {
                for round in 0..ROUNDS {
                    wait_for(&begun, round);
                    receipts[round].answered();
                    ended.store(round + 1, Ordering::Release);
                }
            })
        };
        for (round, receipt) in receipts.iter().enumerate() {
            receipt.expect_one();
            begun.store(round + 1, Ordering::Release);
            (0..round % 40).for_each(|_| std::hint::spin_loop());
            receipt.answered();
            wait_for(&ended, round);
            assert!(receipt.done.notified().now_or_never().is_some(), "round {round} would wait for ever");
        }
        broker.join().unwrap();
    }

    #[tokio::test]
    async fn a_producer_that_librdkafka_has_given_up_says_that_it_has_to_be_rebuilt() {
        use rdkafka::bindings::{rd_kafka_resp_err_t, rd_kafka_test_fatal_error};
        let settings = crate::config::Settings::with(&[("kafka.bootstrap_servers", "127.0.0.1:1")]).unwrap();
        let producer = RawProducer::new(&settings.kafka).unwrap();
        let native = producer.producer.as_ref().unwrap().client().native_ptr();
        let code = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        // librdkafka's own way to test what follows from a fatal error; the client lives, and the text has
        // its end.
        #[allow(unsafe_code)]
        unsafe {
            rd_kafka_test_fatal_error(native, code, c"a test".as_ptr());
        }
        let row = RawRow { value: "{}".into(), borough: None, partition: 0 };
        let published = producer.publish(&[row], &HeaderList::default()).await;
        assert!(matches!(published, Err(KafkaError::Fatal { .. })), "{published:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_of_which_nothing_is_reported_any_more_does_not_wait_for_ever() {
        let receipt = Receipt::new();
        let began = tokio::time::Instant::now();
        receipt.silence().await;
        assert_eq!(began.elapsed(), Duration::from_secs(u64::from(SILENT_SECONDS)));
    }

    #[test]
    fn a_round_has_one_request_for_each_partition() {
        let row = 1000 - USUAL_OVERHEAD_BYTES;
        let mut round = Round::of(2000);
        assert!(round.takes(0, row) && round.takes(0, row));
        assert!(!round.takes(0, 0), "the request of the partition is full");
        assert!(round.takes(1, 5000), "a row that no request has room for goes alone");
        assert!(!round.takes(1, 0));
    }

    #[test]
    fn a_publisher_without_rows_waits_for_nobody() {
        let receipt = Receipt::new();
        assert!(receipt.done.notified().now_or_never().is_none());
        receipt.answered();
        assert!(receipt.done.notified().now_or_never().is_some());
    }
}
