//! Settings of Kafka: the brokers, the topics and the groups.

use std::collections::BTreeMap;
use std::time::Duration;

use super::form::{Count, KafkaName, Size, Span, Switch, Text};
use super::properties::Properties;
use super::section::settings;
use super::unit::{KIB, MIB, days, hours, minutes, seconds};

settings! {
    /// The brokers, the topics and what librdkafka is told besides.
    KafkaSettings "kafka" {
        bootstrap_servers: String = "127.0.0.1:9092".to_owned(), Text,
            "Brokers to ask first, `host:port`, separated by commas.",
            "Without a broker there is no pipeline.";
        raw_topic: String = "nyc311.raw".to_owned(), KafkaName,
            "The topic of the rows as the source sent them.",
            "Kafka takes no other letters; the three topics must differ, since their records do.";
        enriched_topic: String = "nyc311.enriched".to_owned(), KafkaName,
            "The topic of the cleaned and typed rows.",
            "Kafka takes no other letters; the three topics must differ, since their records do.";
        dead_letter_topic: String = "nyc311.dead_letter".to_owned(), KafkaName,
            "The topic of the rows that enrichment cannot use.",
            "Kafka takes no other letters; the three topics must differ, since their records do.";
        group_prefix: String = "nyc311".to_owned(), KafkaName,
            "Groups are `{prefix}-enricher` and `{prefix}-writer`; transactional ids begin with it.",
            "Kafka takes no other letters; two deployments on one cluster need two prefixes, or they fence \
             each other.";
        partitions_per_borough: u16 = 1, Count(1..=100),
            "Partitions of each topic for each borough.",
            "Each has a producer and a worker of its own, so memory grows with it; it cannot change while \
             the topics exist.";
        transactions: bool = true, Switch,
            "Whether offsets and enriched records are committed in one transaction.",
            "Turn it off only for a broker without transactions: raw to enriched is then at-least-once.";
        replication_factor: i32 = -1, Count(-1..=10),
            "Replicas of the topics that are created at start; -1 takes the broker's default.",
            "More replicas than brokers cannot be created; 0 is no number of replicas.";
        retention: Duration = days(7), Span(hours(1)..=days(3650)),
            "How long the topics that are created at start keep their records.",
            "Below an hour a writer that was away for lunch would find its position deleted.";
        raw_max_record_bytes: usize = MIB, Size(16 * KIB..=8 * MIB),
            "The largest record of the raw topic; a row of more than this less 1 KiB, which is for key, \
             headers and framing, becomes a dead letter.",
            "Real rows have 2 KiB; the brokers must accept the size (`message.max.bytes`), and several wait \
             in memory.";
        request_timeout: Duration = seconds(30), Span(seconds(1)..=minutes(5)),
            "How long a request to the brokers may take before they count as away.",
            "Below a second a leader election looks like an outage; above five minutes an outage looks like \
             patience.";
        properties: BTreeMap<String, String> = BTreeMap::new(), Properties,
            "Anything else for librdkafka (`session.timeout.ms`, `sasl.*`, ...); it overrides this \
             program's defaults.",
            "Those that delivery rests on (offsets, groups, transactions, acknowledgement) are refused by \
             name, and those that need TLS where the program is built without the feature `kafka-tls`.";
    }
}
