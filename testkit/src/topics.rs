//! The real Kafka that tests talk to: topics and groups of each test's own.

use std::sync::Arc;
use std::time::Duration;

use nyc311::config::{KafkaSettings, Settings};
use nyc311::kafka::consumer::ThreadSlot;
use nyc311::kafka::{Admin, topics};
use nyc311::supervision::Watchdog;
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::waiting::eventually;

/// A test's own topics; a test that ends well deletes them.
pub struct Topics {
    pub settings: Arc<Settings>,
    pub admin: Admin,
}

/// Reads the address that the test was given.
pub fn bootstrap_servers() -> String {
    std::env::var("NYC311_KAFKA__BOOTSTRAP_SERVERS").expect(
        "NYC311_KAFKA__BOOTSTRAP_SERVERS names no Kafka: run `make services` and export what it prints, or run `make test`",
    )
}

/// Returns a slot for a consumer of the test's own.
pub fn own_slot() -> Arc<ThreadSlot> {
    Arc::new(ThreadSlot::new(Watchdog::start(Duration::from_secs(60)).unwrap(), || false))
}

/// Returns settings with names of their own, whatever else the test sets.
pub fn own_names(overrides: &[(&str, &str)]) -> Settings {
    let name = format!("t{}", Uuid::new_v4().simple());
    let servers = bootstrap_servers();
    let (raw, enriched, dead) =
        (format!("{name}.raw"), format!("{name}.enriched"), format!("{name}.dead_letter"));
    let mut all = vec![
        ("kafka.bootstrap_servers", servers.as_str()),
        ("kafka.raw_topic", &raw),
        ("kafka.enriched_topic", &enriched),
        ("kafka.dead_letter_topic", &dead),
        ("kafka.group_prefix", &name),
        ("instance.id", &name),
    ];
    all.extend_from_slice(overrides);
    Settings::with(&all).expect("settings of a test")
}

/// Returns the names of the three topics: raw, enriched, dead letters.
pub fn names(kafka: &KafkaSettings) -> [&str; 3] {
    [&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic].map(String::as_str)
}

/// Deletes topics and waits until Kafka has forgotten them.
pub async fn delete(admin: &Admin, names: &[&str]) {
    admin.client().delete_topics(names, &AdminOptions::new()).await.unwrap();
    eventually("the topics are gone", async || admin.describe(names).await.ok()?.is_empty().then_some(()))
        .await;
}

/// Deletes what a topic holds, and keeps the topic.
pub async fn delete_records(admin: &Admin, topic: &str) {
    let ends = admin.log_ends(topic, 0..5).await.unwrap();
    let mut until = TopicPartitionList::new();
    for (partition, ends) in (0..).zip(&ends) {
        until.add_partition_offset(topic, partition, Offset::Offset(ends.high)).unwrap();
    }
    admin.client().delete_records(&until, &AdminOptions::new()).await.unwrap();
    eventually("the records are gone", async || {
        let ends = admin.log_ends(topic, 0..5).await.ok()?;
        ends.iter().all(|ends| ends.low == ends.high).then_some(())
    })
    .await;
}

impl Topics {
    /// Creates the three topics.
    pub async fn create(overrides: &[(&str, &str)]) -> Self {
        let settings = Arc::new(own_names(overrides));
        let admin = Admin::new(&settings.kafka).unwrap();
        assert_eq!(topics::ensure(&admin, &settings.kafka).await.unwrap().len(), 3);
        Self { settings, admin }
    }

    /// Deletes the topics.
    pub async fn delete(self) {
        let names = names(&self.settings.kafka);
        self.admin.client().delete_topics(&names, &AdminOptions::new()).await.unwrap();
    }
}
