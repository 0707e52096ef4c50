//! The real Kafka that tests talk to: topics and groups of each test's own.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use nyc311::{
    config::Settings,
    kafka::{Admin, consumer::ThreadSlot, topics},
    supervision::Watchdog,
};
use uuid::Uuid;

/// A test's own topics; they are deleted when it ends.
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
    Arc::new(ThreadSlot::new(Watchdog::start(Duration::from_secs(60)).unwrap()))
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
        let kafka = &self.settings.kafka;
        let names = [kafka.raw_topic.as_str(), &kafka.enriched_topic, &kafka.dead_letter_topic];
        self.admin.client().delete_topics(&names, &rdkafka::admin::AdminOptions::new()).await.unwrap();
    }
}

/// Returns the client that tests ask HTTP servers with. It reads no certificates, which takes a client without
/// optimisation longer than a hundred answers, and keeps no connection, which would belong to another test's runtime.
pub fn http_client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let builder = reqwest::Client::builder().tls_built_in_root_certs(false);
        builder.pool_max_idle_per_host(0).build().expect("a client without certificates")
    });
    CLIENT.clone()
}

/// Waits until `condition` yields something, for a minute at most.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what} did not happen within a minute");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
