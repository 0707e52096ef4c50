//! Reads a topic whole, as fast as a consumer can.

use std::time::Duration;

use nyc311::config::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Reads a topic from its beginning to its end, what is committed of it, on the thread that calls it.
pub fn each_record(kafka: &KafkaSettings, topic: &str, mut act: impl FnMut(BorrowedMessage<'_>)) {
    const SILENCE: Duration = Duration::from_secs(30);
    let mut config = ClientConfig::new();
    // A broker may let nobody in without a certificate or a sign-in.
    config.extend(kafka.properties.clone());
    let consumer: BaseConsumer = config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", "whole-topic")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), SILENCE).unwrap();
    let mut partitions = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        partitions.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut unfinished = partitions.count();
    while unfinished > 0 {
        match consumer.poll(SILENCE).expect("a broker that answers") {
            Ok(record) => act(record),
            Err(KafkaError::PartitionEOF(_)) => unfinished -= 1,
            Err(error) => panic!("{topic} cannot be read: {error}"),
        }
    }
}
