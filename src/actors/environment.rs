//! What every stage needs before it can work: a migrated database and a Kafka with our topics; watched while running.
//!
//! A dependency that is away, also at start, is no failure: stages wait here, and readiness names it. What waiting
//! cannot mend (a database newer than the program, a topic of another shape) ends the process with a clear text.
//!
//! Kafka may lose what it acknowledged: its volume is wiped (then its cluster id is another), or a topic is deleted.
//! Both are noticed here, and `published` goes back to `stored` (law 1), before any stage works with the new log.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::raw_consumer::enricher_group;
use crate::{
    config::Settings,
    kafka::{Admin, KafkaFailure, PartitionMap, topics},
    store::{Store, StoreError},
    supervision::{Life, StageError},
    telemetry::metrics::metrics,
};

/// The Kafka that the stages work with. Another incarnation means other logs, whatever the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub id: Arc<str>,
    incarnation: u64,
}

#[derive(Debug, Clone, Default)]
struct Condition {
    database: Option<String>,
    kafka: Option<String>,
    cluster: Option<Cluster>,
}

/// What the stages share; every clone is the same.
pub struct Environment {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub admin: Admin,
    pub partition_map: PartitionMap,
    condition: watch::Sender<Condition>,
}

/// How often the dependencies are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often one that is away is tried again: a quick return is what the first seconds after a start are about.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How often what only the database knows is shown as a metric.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

impl Environment {
    /// Prepares the clients; nothing is connected yet.
    pub fn new(settings: Arc<Settings>) -> Result<Arc<Self>, StageError> {
        let store = Store::new(&settings.database).map_err(|error| StageError::new("database.url", error))?;
        let admin = Admin::new(&settings.kafka).map_err(|error| StageError::new("kafka settings", error))?;
        let away = || Some("not reached yet".to_owned());
        let condition = Condition { database: away(), kafka: away(), cluster: None };
        Ok(Arc::new(Self {
            partition_map: PartitionMap::new(settings.kafka.partitions_per_borough),
            settings,
            store,
            admin,
            condition: watch::channel(condition).0,
        }))
    }

    /// Returns the names of the dependencies that are away.
    pub fn missing(&self) -> Vec<String> {
        let condition = self.condition.borrow();
        let named = [("database", condition.database.is_some()), ("kafka", condition.kafka.is_some())];
        named.iter().filter(|(_, away)| *away).map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Waits for a migrated database and a checked Kafka.
    pub async fn prepared(&self, life: &Life) -> Cluster {
        let mut condition = self.condition.subscribe();
        loop {
            {
                let now = condition.borrow_and_update();
                match (&now.database, &now.kafka, &now.cluster) {
                    (None, None, Some(cluster)) => return cluster.clone(),
                    (Some(_), _, _) => life.waiting_for("database"),
                    _ => life.waiting_for("kafka"),
                }
            }
            if condition.changed().await.is_err() {
                // The process ends; whoever waits is ended with it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until Kafka is no longer the one that `cluster` was.
    pub async fn replaced(&self, cluster: Cluster) {
        let mut condition = self.condition.subscribe();
        let gone = condition
            .wait_for(|now| now.cluster.as_ref().is_some_and(|current| *current != cluster))
            .await
            .is_err();
        if gone {
            std::future::pending::<()>().await;
        }
    }

    /// Prepares and watches the dependencies; returns only with what waiting cannot mend.
    pub async fn watch(&self) -> String {
        let mut migrated = false;
        let mut measured: Option<Instant> = None;
        loop {
            let database = self.look_at_database(&mut migrated).await;
            let kafka = match (&database, migrated) {
                (Ok(None), true) => self.look_at_kafka().await,
                // Without the database a loss in Kafka could not be recorded, so the stages go on with the Kafka they know.
                _ => Ok(self.reach_kafka().await),
            };
            let (database, kafka) = match (database, kafka) {
                (Err(fatal), _) | (_, Err(fatal)) => return fatal,
                (Ok(database), Ok(kafka)) => (database, kafka),
            };
            let away = database.is_some() || kafka.is_some();
            metrics().dependency_up.with_label_values(&["database"]).set(i64::from(database.is_none()));
            metrics().dependency_up.with_label_values(&["kafka"]).set(i64::from(kafka.is_none()));
            self.condition.send_if_modified(|now| {
                for (name, was, is) in [("database", &now.database, &database), ("kafka", &now.kafka, &kafka)]
                {
                    match (was, is) {
                        (None, Some(detail)) => {
                            tracing::warn!(dependency = name, detail, "dependency is away")
                        }
                        (Some(_), None) => tracing::info!(dependency = name, "dependency is there"),
                        (Some(was), Some(is)) if was != is => {
                            tracing::warn!(dependency = name, detail = is, "dependency is away");
                        }
                        _ => {}
                    }
                }
                let changed = now.database != database || now.kafka != kafka;
                (now.database, now.kafka) = (database, kafka);
                changed
            });
            if !away && measured.is_none_or(|at| at.elapsed() > MEASURE_EVERY) {
                self.measure().await;
                measured = Some(Instant::now());
            }
            tokio::time::sleep(if away { RETRY_EVERY } else { WATCH_EVERY }).await;
        }
    }

    /// Shows what only the database knows; without an answer the gauges keep what they showed.
    async fn measure(&self) {
        if let Ok(open) = self.store.open_dead_letters().await {
            metrics().dead_letters_open.set(open);
        }
        if let Ok(polls) = self.store.poll_overview().await {
            let seconds = |at: Timestamp| at.as_second() as f64;
            metrics().poll_queue_length.set(polls.queued);
            if let Some(at) = polls.last_success_at {
                metrics().poll_last_success_timestamp_seconds.set(seconds(at));
            }
            if let Some(at) = polls.newest_source_updated_at {
                metrics().source_newest_updated_timestamp_seconds.set(seconds(at));
            }
        }
    }

    async fn look_at_database(&self, migrated: &mut bool) -> Result<Option<String>, String> {
        let outcome = if *migrated { self.store.ping().await } else { self.store.migrate().await.map(drop) };
        match outcome {
            Ok(()) => {
                *migrated = true;
                Ok(None)
            }
            Err(error) if error.needs_another_database() => Err(error.to_string()),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    async fn reach_kafka(&self) -> Option<String> {
        self.admin.cluster_id().await.err().map(|failure| failure.to_string())
    }

    async fn look_at_kafka(&self) -> Result<Option<String>, String> {
        match self.check_kafka().await {
            Ok(()) => Ok(None),
            Err(Trouble::Kafka(KafkaFailure::Mismatch(text))) => Err(text),
            Err(Trouble::Kafka(failure)) => Ok(Some(failure.to_string())),
            Err(Trouble::Store(error)) => Ok(Some(error.to_string())),
        }
    }

    async fn check_kafka(&self) -> Result<(), Trouble> {
        let id = self.admin.cluster_id().await?;
        let known = self.condition.borrow().cluster.clone();
        if let Some(known) = &known
            && known.id == id
            && self.all_topics_exist().await?
        {
            return Ok(());
        }
        let created = topics::ensure(&self.admin, &self.settings.kafka).await?;
        let source = self.settings.source.dataset();
        let published_elsewhere = self
            .store
            .source_position(source)
            .await?
            .and_then(|position| position.kafka_cluster_id)
            .is_some_and(|published| *published != *id);
        let kafka = &self.settings.kafka;
        let derived = [kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()];
        let unknown = self.store.positions(&id, &derived).await?.is_empty();
        let moved = unknown && self.store.other_clusters_known(&id).await?;
        self.forget_positions(&id, &created).await?;
        if !created.is_empty() || published_elsewhere || moved {
            let detail =
                if created.is_empty() { "kafka is another cluster" } else { "a topic had to be created" };
            self.store.note_kafka_loss(source, detail).await?;
        }
        let incarnation = known.map_or(0, |known| known.incarnation + 1);
        if incarnation > 0 {
            tracing::error!(cluster_id = &*id, "kafka is not the one it was, reading and writing start anew");
        }
        self.condition.send_modify(|now| now.cluster = Some(Cluster { id, incarnation }));
        Ok(())
    }

    /// Starts new topics at their beginning: a position that an older topic of the same name has left would skip rows
    /// as soon as the new log is longer.
    async fn forget_positions(&self, cluster_id: &str, created: &[String]) -> Result<(), Trouble> {
        let names: Vec<&str> = created.iter().map(String::as_str).collect();
        for row in self.store.positions(cluster_id, &names).await? {
            self.store.rewind_position(cluster_id, &row.topic, row.partition, 0).await?;
        }
        let raw = self.settings.kafka.raw_topic.as_str();
        if names.contains(&raw) {
            let group = enricher_group(&self.settings);
            let partitions: Vec<i32> = (0..self.partition_map.partitions()).collect();
            let committed = self.admin.committed(&group, raw, &partitions, Duration::from_secs(10)).await?;
            // Kafka forgets the offsets of a deleted topic by itself, a moment later; this does not wait for it.
            if committed.iter().flatten().any(|offset| *offset > 0) {
                let beginning: Vec<_> = partitions.iter().map(|partition| (*partition, 0)).collect();
                self.admin.commit(&group, raw, &beginning).await?;
            }
        }
        Ok(())
    }

    async fn all_topics_exist(&self) -> Result<bool, KafkaFailure> {
        let topics = self.admin.topics().await?;
        let kafka = &self.settings.kafka;
        Ok([&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic]
            .iter()
            .all(|name| topics.contains_key(name.as_str())))
    }
}

enum Trouble {
    Kafka(KafkaFailure),
    Store(StoreError),
}

impl From<KafkaFailure> for Trouble {
    fn from(failure: KafkaFailure) -> Self {
        Self::Kafka(failure)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
