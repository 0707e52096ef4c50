//! How the records of several partitions flow through one reader: what holds them up, and that each gets its
//! turn.

use std::sync::Arc;
use std::time::Duration;

use nyc311::kafka::consumer::{Command, Event};
use nyc311::kafka::raw_producer::RawProducer;
use nyc311::kafka::{HeaderList, RawRow};
use nyc311_testkit::Topics;
use nyc311_testkit::topics::own_slot;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::kafka::{assigned, next, next_batch, rows, start};

/// How long the window is full in the tests of it.
const FULL_FOR: Duration = Duration::from_secs(2);

/// Asserts that the reader has noticed for how long its window was full.
async fn assert_held(events: &mut UnboundedReceiver<Event>) {
    loop {
        if let Event::Held(held) = next(events).await {
            assert!(held >= FULL_FOR, "the reader was held for {held:?}");
            return;
        }
    }
}

#[tokio::test]
async fn a_full_window_holds_the_reader_and_it_goes_on_afterwards() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    producer.publish(&rows(0, 1000), &HeaderList::default()).await.unwrap();
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "full");
    assigned(&mut events).await;
    let partition = (Arc::from(raw.as_str()), 0);
    thread.send(Command::Open { partition: partition.clone(), assignment: 1, next_offset: 0, opening: 1 });
    let first = next_batch(&mut events).await.0;
    let second = next_batch(&mut events).await.0;
    tokio::time::sleep(FULL_FOR + Duration::from_millis(500)).await;
    let mut next_offset = second.to;
    for bytes in [first.bytes, second.bytes] {
        thread.send(Command::Done { partition: partition.clone(), opening: 1, bytes });
    }
    assert_held(&mut events).await;
    while next_offset < 1000 {
        let batch = next_batch(&mut events).await.0;
        assert_eq!(batch.from, next_offset);
        next_offset = batch.to;
        thread.send(Command::Done { partition: partition.clone(), opening: 1, bytes: batch.bytes });
    }
    topics.delete().await;
}

#[tokio::test]
async fn a_partition_that_was_held_and_closed_flows_when_it_is_opened_again() {
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    for partition in [0, 1] {
        producer.publish(&rows(partition, 1000), &HeaderList::default()).await.unwrap();
    }
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "held");
    assigned(&mut events).await;
    let named = |partition| (Arc::<str>::from(raw.as_str()), partition);
    for partition in [0, 1] {
        thread.send(Command::Open { partition: named(partition), assignment: 1, next_offset: 0, opening: 1 });
    }
    // Nothing is answered: the window is full.
    while next_batch(&mut events).await.0.to < 200 {}
    tokio::time::sleep(FULL_FOR + Duration::from_millis(500)).await;
    for partition in [0, 1] {
        thread.send(Command::Close(named(partition)));
        thread.send(Command::Open { partition: named(partition), assignment: 1, next_offset: 0, opening: 2 });
    }
    assert_held(&mut events).await;
    let mut read = [0, 0];
    while read != [1000, 1000] {
        let (batch, opening, _) = next_batch(&mut events).await;
        if opening == 2 {
            assert_eq!(batch.from, read[batch.partition as usize]);
            read[batch.partition as usize] = batch.to;
            let partition = named(batch.partition);
            thread.send(Command::Done { partition, opening, bytes: batch.bytes });
        }
    }
    topics.delete().await;
}

/// Under a load that lasts no partition may wait until the others are empty: they never are.
#[tokio::test]
async fn each_partition_with_a_backlog_is_read_while_the_others_have_one() {
    const ROWS: usize = 3_000;
    let topics = Topics::create(&[]).await;
    let raw = topics.settings.kafka.raw_topic.clone();
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    let mut draw = fastrand::Rng::with_seed(7);
    for partition in 0..5 {
        // Nothing in them repeats, so that the log is as large: many fetches for each partition.
        let text = |draw: &mut fastrand::Rng| (0..4_000).map(|_| draw.alphanumeric()).collect::<String>();
        let row = |_| RawRow { value: text(&mut draw).into(), borough: None, partition };
        let rows: Vec<_> = (0..ROWS).map(row).collect();
        producer.publish(&rows, &HeaderList::default()).await.unwrap();
    }
    let slot = own_slot();
    let (thread, mut events) = start(&topics, &slot, &raw, "fair");
    assert_eq!(assigned(&mut events).await, 5);
    let named = |partition| (Arc::<str>::from(raw.as_str()), partition);
    for partition in 0..5 {
        thread.send(Command::Open { partition: named(partition), assignment: 1, next_offset: 0, opening: 1 });
    }
    let mut read = [0; 5];
    while read.iter().all(|read| *read < ROWS as i64) {
        let (batch, opening, _) = next_batch(&mut events).await;
        read[batch.partition as usize] = batch.to;
        // As slow as a table that is written.
        tokio::time::sleep(Duration::from_millis(5)).await;
        thread.send(Command::Done { partition: named(batch.partition), opening, bytes: batch.bytes });
    }
    assert!(read.iter().all(|read| *read > ROWS as i64 / 4), "one is read, and of the others {read:?}");
    topics.delete().await;
}
