//! The Kafka layer against a real broker: the consumer thread, transactions, what is committed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nyc311::kafka::admin::LogEnds;
use nyc311::kafka::consumer::{Command, ConsumerThread, Event, InFlightLimit, ThreadSlot};
use nyc311::kafka::raw_producer::RawProducer;
use nyc311::kafka::transactional::{Opening, PartitionProducer, Transaction, Withheld};
use nyc311::kafka::{Committed, DerivedRecord, HeaderList, KafkaError, OffsetNote, RawRow, RecordBatch};
use nyc311_testkit::topics::own_slot;
use nyc311_testkit::{Topics, eventually};
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) const LIMIT: InFlightLimit = InFlightLimit {
    batch_rows: 100,
    batch_bytes: 1 << 20,
    batches_per_partition: 2,
    bytes: 4 << 20,
    linger: Duration::from_millis(5),
};

pub(crate) fn rows(partition: i32, count: usize) -> Vec<RawRow> {
    (0..count)
        .map(|number| RawRow {
            value: Bytes::from(format!(r#"{{"unique_key":"{number}"}}"#)),
            borough: Some(nyc311_domain::Borough::ALL[partition as usize]),
            partition,
        })
        .collect()
}

pub(crate) async fn next(events: &mut UnboundedReceiver<Event>) -> Event {
    tokio::time::timeout(Duration::from_secs(30), events.recv())
        .await
        .expect("an event in time")
        .expect("an event")
}

pub(crate) async fn next_batch(
    events: &mut UnboundedReceiver<Event>,
) -> (RecordBatch, u64, Option<Arc<nyc311::kafka::GroupMetadata>>) {
    loop {
        if let Event::Batch(batch) = next(events).await {
            return (batch.read, batch.opening, batch.group);
        }
    }
}

pub(crate) fn start(
    topics: &Topics,
    slot: &Arc<ThreadSlot>,
    topic: &str,
    group: &str,
) -> (ConsumerThread, UnboundedReceiver<Event>) {
    ConsumerThread::start(slot, &topics.settings, group, (Arc::from(topic), Vec::new()), LIMIT).unwrap()
}

/// Waits until the reader has taken what Kafka had for it when this was called: the records of another
/// partition, opened after all others, come behind theirs.
async fn caught_up(
    thread: &ConsumerThread,
    events: &mut UnboundedReceiver<Event>,
    (topic, other): (&str, i32),
) {
    for opening in 901..=903 {
        let partition = (Arc::from(topic), other);
        thread.send(Command::Open { partition, assignment: 1, next_offset: 0, opening });
        let (batch, of, _) = next_batch(events).await;
        assert_eq!((batch.partition, of), (other, opening), "{} to {} came before", batch.from, batch.to);
    }
}

/// Waits until the reader has obeyed what it was told so far and has gone round once since.
async fn gone_round(thread: &ConsumerThread, topics: &Topics, group: &str, (topic, partition): (&str, i32)) {
    for next_offset in [1, 2] {
        let note = OffsetNote::default();
        thread.send(Command::Commit { partition: (Arc::from(topic), partition), next_offset, note });
        eventually("the order is obeyed", async || {
            let patience = Duration::from_secs(2);
            let committed = topics.admin.committed(group, topic, &[partition], patience).await.ok()?;
            (committed[0].as_ref()?.next_offset == next_offset).then_some(())
        })
        .await;
    }
}

pub(crate) async fn assigned(events: &mut UnboundedReceiver<Event>) -> usize {
    loop {
        if let Event::Assigned(_, partitions) = next(events).await {
            return partitions.len();
        }
    }
}

#[tokio::test]
async fn a_reader_gets_what_was_published_from_the_position_it_is_told_in_order_and_within_its_window() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    let published = producer.publish(&rows(1, 1000), &HeaderList::default()).await.unwrap();
    assert_eq!((published.published, published.too_large), (1000, vec![]));
    producer.publish(&rows(3, 1), &HeaderList::default()).await.unwrap();
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "window");
    assert_eq!(assigned(&mut events).await, 5);
    let partition = (Arc::from(raw.as_str()), 1);
    thread.send(Command::Open { partition: partition.clone(), assignment: 1, next_offset: 10, opening: 7 });
    let mut next_offset = 10;
    let mut unanswered = Vec::new();
    while next_offset < 1000 {
        let (batch, opening, group) = next_batch(&mut events).await;
        assert_eq!((opening, batch.from, group.is_some()), (7, next_offset, true));
        for record in &batch.records {
            assert_eq!(record.value, format!(r#"{{"unique_key":"{next_offset}"}}"#));
            assert_eq!(record.key.as_deref(), Some(b"BROOKLYN".as_slice()));
            assert_eq!(record.offset, next_offset);
            next_offset += 1;
        }
        assert_eq!(batch.to, next_offset);
        unanswered.push(batch.bytes);
        if unanswered.len() == LIMIT.batches_per_partition {
            assert!(events.try_recv().is_err(), "the window was overrun");
            for bytes in unanswered.drain(..) {
                thread.send(Command::Done { partition: partition.clone(), opening: 7, bytes });
            }
        }
    }
    thread.send(Command::Open { partition: partition.clone(), assignment: 1, next_offset: 990, opening: 8 });
    let (batch, opening, _) = next_batch(&mut events).await;
    assert_eq!((opening, batch.from, batch.to), (8, 990, 1000));

    // Half a batch is due, and waits until one of the two before it is answered.
    thread.send(Command::Open { partition: partition.clone(), assignment: 1, next_offset: 750, opening: 9 });
    let (first, second) = (next_batch(&mut events).await.0, next_batch(&mut events).await.0);
    assert_eq!((first.from, second.from, second.to), (750, 850, 950));
    caught_up(&thread, &mut events, (&raw, 3)).await;
    thread.send(Command::Done { partition, opening: 9, bytes: first.bytes });
    let third = next_batch(&mut events).await.0;
    assert_eq!((third.from, third.to), (950, 1000));
    topics.delete().await;
}

#[tokio::test]
async fn what_was_decided_for_an_earlier_assignment_opens_nothing() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    producer.publish(&rows(0, 50), &HeaderList::default()).await.unwrap();
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "numbered");
    assigned(&mut events).await;
    let partition = (Arc::<str>::from(raw.as_str()), 0);
    for (assignment, opening) in [(0, 1), (2, 2), (1, 3)] {
        thread.send(Command::Open { partition: partition.clone(), assignment, next_offset: 0, opening });
    }
    assert_eq!(next_batch(&mut events).await.1, 3);
    topics.delete().await;
}

#[tokio::test]
async fn a_successor_takes_the_seat_of_a_thread_whose_actor_never_lets_go() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let slot = own_slot();
    // Held on to until the end, as by an actor on a thread that stands still.
    let (_hanging, mut held) = start(&topics, &slot, &raw, "slot");
    assert_eq!(assigned(&mut held).await, 5);
    let (_thread, mut events) = start(&topics, &slot, &raw, "slot");
    assert_eq!(assigned(&mut events).await, 5);
    topics.delete().await;
}

#[tokio::test]
async fn a_transaction_that_fails_with_records_queued_is_given_up_at_once() {
    let topics = Topics::create(&[]).await;
    let kafka = Arc::new(topics.settings.kafka.clone());
    let group = format!("{}-enricher", kafka.group_prefix);
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &kafka.raw_topic, &group);
    assigned(&mut events).await;
    RawProducer::new(&kafka).unwrap().publish(&rows(2, 10), &HeaderList::default()).await.unwrap();
    let partition = (Arc::from(kafka.raw_topic.as_str()), 2);
    thread.send(Command::Open { partition, assignment: 1, next_offset: 0, opening: 1 });
    let (batch, _, metadata) = next_batch(&mut events).await;

    let producer = PartitionProducer::open(kafka.clone(), opening(None)).await.unwrap();
    let mut records: Vec<_> = (0..5_000).map(derived).collect();
    records.push(DerivedRecord { value: Bytes::from(vec![b' '; 8 << 20]), ..derived(5_000) });
    let transaction = |records, group| Transaction {
        records,
        from: batch.from,
        next_offset: batch.to,
        group,
        note: OffsetNote::default(),
    };
    let began = std::time::Instant::now();
    let refused = producer.publish(transaction(records, metadata.clone())).await;
    assert!(matches!(refused, Err(KafkaError::TooLarge)), "{refused:?}");
    let producer = PartitionProducer::open(kafka.clone(), opening(None)).await.unwrap();
    producer.publish(transaction(vec![derived(1)], metadata)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    topics.delete().await;
}

fn opening(withheld: Option<String>) -> Opening {
    let withheld = withheld.map(|group| Withheld { group, topic_id: Some("a-topic".into()) });
    Opening { partition: 2, withheld }
}

fn derived(number: usize) -> DerivedRecord {
    DerivedRecord {
        dead_letter: false,
        key: None,
        value: Bytes::from(format!("{number}")),
        headers: HeaderList {
            raw_partition: Some(2),
            raw_offset: Some(number as i64),
            ..HeaderList::default()
        },
    }
}

#[tokio::test]
async fn records_and_offsets_are_committed_together_and_the_old_owner_is_fenced() {
    let topics = Topics::create(&[]).await;
    let kafka = Arc::new(topics.settings.kafka.clone());
    let group = format!("{}-enricher", kafka.group_prefix);
    RawProducer::new(&kafka).unwrap().publish(&rows(2, 50), &HeaderList::default()).await.unwrap();
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &kafka.raw_topic, &group);
    assigned(&mut events).await;
    let partition = (Arc::from(kafka.raw_topic.as_str()), 2);
    thread.send(Command::Open { partition, assignment: 1, next_offset: 0, opening: 1 });
    let (batch, _, metadata) = next_batch(&mut events).await;

    let first = PartitionProducer::open(kafka.clone(), opening(None)).await.unwrap();
    let transaction = |numbers: std::ops::Range<usize>, next_offset| Transaction {
        from: numbers.start as i64,
        records: numbers.map(derived).collect(),
        next_offset,
        note: OffsetNote::default(),
        group: metadata.clone(),
    };
    first.publish(transaction(0..50, batch.to)).await.unwrap();
    let committed = async || {
        let patience = Duration::from_secs(10);
        let all = topics.admin.committed(&group, &kafka.raw_topic, &[2], patience).await.unwrap();
        all[0].clone().unwrap()
    };
    assert_eq!(committed().await, Committed { next_offset: 50, note: OffsetNote::default() });

    let second = PartitionProducer::open(kafka.clone(), opening(None)).await.unwrap();
    let fenced = first.publish(transaction(50..60, 60)).await;
    assert!(matches!(fenced, Err(KafkaError::Fenced { .. })), "{fenced:?}");
    second.publish(transaction(60..61, 61)).await.unwrap();
    // The end that is given to a lost transaction leaves no record and moves no offset.
    let third = PartitionProducer::open(kafka.clone(), opening(Some(group.clone()))).await.unwrap();
    assert_eq!(committed().await.next_offset, 61);
    // What is queued together is one transaction or several, in its order.
    let queued = [(61..62, 62), (62..70, 70), (70..80, 80), (80..95, 95)];
    let queued = queued.map(|(numbers, next_offset)| third.publish(transaction(numbers, next_offset)));
    for outcome in futures_util::future::join_all(queued).await {
        outcome.unwrap();
    }
    // What does not follow is refused, and moves nothing.
    let astray = third.publish(transaction(96..97, 97)).await.unwrap_err();
    assert!(
        astray.to_string().contains("a batch from 96 does not follow the one that ended at 95"),
        "{astray}"
    );
    assert_eq!(committed().await.next_offset, 95);

    let slot = own_slot();
    let (reader, mut derived_events) = start(&topics, &slot, &kafka.enriched_topic, "derived");
    assigned(&mut derived_events).await;
    let partition = (Arc::from(kafka.enriched_topic.as_str()), 2);
    reader.send(Command::Open { partition, assignment: 1, next_offset: 0, opening: 1 });
    let mut seen = Vec::new();
    let mut position = 0;
    let ends: LogEnds = topics.admin.log_ends(&kafka.enriched_topic, [2]).await.unwrap()[0];
    while position < ends.high {
        let (batch, _, _) = next_batch(&mut derived_events).await;
        assert_eq!(batch.from, position);
        seen.extend(batch.records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()));
        position = batch.to;
        reader.send(Command::Done {
            partition: (Arc::from(kafka.enriched_topic.as_str()), 2),
            opening: 1,
            bytes: batch.bytes,
        });
    }
    let expected: Vec<_> = (0..50).chain(60..95).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
    topics.delete().await;
}

#[tokio::test]
async fn the_offset_of_a_transaction_that_was_lost_behind_its_records_is_committed_for_it() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let topics = Topics::create(&[]).await;
    let kafka = Arc::new(topics.settings.kafka.clone());
    let group = format!("{}-enricher", kafka.group_prefix);
    RawProducer::new(&kafka).unwrap().publish(&rows(2, 50), &HeaderList::default()).await.unwrap();
    // What a broker shows that has committed the records, and forgotten the offset.
    let lost: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("transactional.id", format!("{}-lost", kafka.group_prefix))
        .create()
        .unwrap();
    lost.init_transactions(Duration::from_secs(20)).unwrap();
    let commit = |numbers: std::ops::Range<usize>, topic: &str| {
        lost.begin_transaction().unwrap();
        for record in numbers.map(derived) {
            let sent = BaseRecord::<[u8], [u8]>::to(topic).partition(2).payload(&record.value);
            lost.send(sent.headers(record.headers.to_kafka())).ok().unwrap();
        }
        lost.flush(Duration::from_secs(10)).unwrap();
        lost.commit_transaction(Duration::from_secs(20)).unwrap();
    };
    let committed = async || {
        let patience = Duration::from_secs(10);
        topics.admin.committed(&group, &kafka.raw_topic, &[2], patience).await.unwrap()[0].clone()
    };
    let opened = async || {
        drop(PartitionProducer::open(kafka.clone(), opening(Some(group.clone()))).await.unwrap());
    };
    opened().await;
    assert_eq!(committed().await, None, "there is nothing to go behind");
    commit(0..20, &kafka.enriched_topic);
    commit(20..25, &kafka.dead_letter_topic);
    opened().await;
    let offset = committed().await.unwrap();
    assert_eq!((offset.next_offset, offset.note.last.unwrap().offset), (25, 24));
    assert_eq!(offset.note.topic_id.as_deref(), Some("a-topic"));
    opened().await;
    assert_eq!(committed().await, Some(offset), "it is behind them already");
    commit(25..30, &kafka.enriched_topic);
    commit(31..40, &kafka.enriched_topic);
    opened().await;
    assert_eq!(committed().await.unwrap().next_offset, 25, "a gap is no transaction of this program");
    topics.delete().await;
}

#[tokio::test]
async fn a_position_steps_over_an_aborted_transaction_at_the_end_of_a_log() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let topics = Topics::create(&[]).await;
    let kafka = &topics.settings.kafka;
    let foreign: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("transactional.id", format!("{}-foreign", kafka.group_prefix))
        .create()
        .unwrap();
    foreign.init_transactions(Duration::from_secs(20)).unwrap();
    foreign.begin_transaction().unwrap();
    foreign
        .send(BaseRecord::<(), str>::to(&kafka.enriched_topic).partition(3).payload("never seen"))
        .ok()
        .unwrap();
    foreign.flush(Duration::from_secs(10)).unwrap();
    foreign.abort_transaction(Duration::from_secs(20)).unwrap();
    // The record and the mark of its abortion, which is written a moment later.
    eventually("the end of the log behind the aborted transaction", async || {
        let ends = topics.admin.log_ends(&kafka.enriched_topic, [3]).await.unwrap();
        (ends[0].high == 2).then_some(())
    })
    .await;

    let slot = own_slot();
    let (reader, mut events) = start(&topics, &slot, &kafka.enriched_topic, "steps");
    assigned(&mut events).await;
    let partition = (Arc::from(kafka.enriched_topic.as_str()), 3);
    reader.send(Command::Open { partition, assignment: 1, next_offset: 0, opening: 1 });
    let (batch, _, _) = next_batch(&mut events).await;
    assert_eq!((batch.from, batch.to, batch.records.len()), (0, 2, 0));
    topics.delete().await;
}

#[tokio::test]
async fn a_reader_that_is_told_to_stop_moves_no_position_past_records_it_did_not_hand_on() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    producer.publish(&rows(4, 150), &HeaderList::default()).await.unwrap();
    producer.publish(&rows(3, 1), &HeaderList::default()).await.unwrap();
    let group = format!("{raw}-quiesce");
    // One batch at a time: what is behind the first one is taken, and waits.
    let limit = InFlightLimit { batches_per_partition: 1, ..LIMIT };
    let slot = own_slot();
    let (thread, mut events) =
        ConsumerThread::start(&slot, &topics.settings, &group, (Arc::from(raw.as_str()), Vec::new()), limit)
            .unwrap();
    assigned(&mut events).await;
    let partition: (Arc<str>, i32) = (Arc::from(raw.as_str()), 4);
    thread.send(Command::Open { partition: partition.clone(), assignment: 1, next_offset: 0, opening: 1 });
    let (batch, _, _) = next_batch(&mut events).await;
    assert_eq!((batch.from, batch.to, batch.records.len()), (0, 100, 100));
    // It takes the other fifty and, after the order to stop, goes round, when it could hand on what is none.
    caught_up(&thread, &mut events, (&raw, 3)).await;
    thread.send(Command::Quiesce);
    thread.send(Command::Done { partition, opening: 1, bytes: batch.bytes });
    gone_round(&thread, &topics, &group, (&raw, 4)).await;
    while let Ok(event) = events.try_recv() {
        let Event::Batch(batch) = event else { continue };
        let batch = batch.read;
        panic!("{} records were handed on as {} to {}", batch.records.len(), batch.from, batch.to);
    }
    topics.delete().await;
}

#[tokio::test]
async fn a_partition_that_is_opened_anew_starts_where_it_is_told_however_far_it_was_read() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    for partition in [0, 1] {
        producer.publish(&rows(partition, 50), &HeaderList::default()).await.unwrap();
    }
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "anew");
    assigned(&mut events).await;
    let named = |partition| (Arc::<str>::from(raw.as_str()), partition);
    for opening in 1..=100 {
        thread.send(Command::Open { partition: named(0), assignment: 1, next_offset: 0, opening });
        // Its end is reached at once, which is when the positions of all partitions are looked at.
        thread.send(Command::Open { partition: named(1), assignment: 1, next_offset: 50, opening });
        let mut next_offset = 0;
        while next_offset < 50 {
            let (batch, current, _) = next_batch(&mut events).await;
            if current == opening && batch.partition == 0 {
                assert_eq!((batch.from, batch.to - batch.from), (next_offset, batch.records.len() as i64));
                next_offset = batch.to;
            }
        }
    }
    topics.delete().await;
}

#[tokio::test]
async fn a_row_larger_than_the_limit_is_named_and_the_others_are_published() {
    let topics = Topics::create(&[]).await;
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    let mut page = rows(0, 3);
    page[1].value = Bytes::from(vec![b' '; 2 << 20]);
    let published = producer.publish(&page, &HeaderList::default()).await.unwrap();
    assert_eq!((published.published, published.too_large), (2, vec![1]));
    topics.delete().await;
}

#[tokio::test]
async fn a_member_that_comes_back_under_its_name_gets_its_partitions_at_once() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "stable");
    assert_eq!(assigned(&mut events).await, 5);
    drop(thread);
    drop(events);
    let began = std::time::Instant::now();
    let (_thread, mut events) = start(&topics, &slot, &raw, "stable");
    assert_eq!(assigned(&mut events).await, 5);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    topics.delete().await;
}
