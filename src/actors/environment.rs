//! What every stage needs before it can work: a migrated database and a Kafka with our topics.
//!
//! A dependency that is away, also at start, is no failure: stages wait here, and readiness names it.
//! `dependencies` watches them, `kafka_loss` decides what a Kafka that is not the one it was means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::cluster::Cluster;
use crate::config::{Settings, hostname};
use crate::kafka::{Admin, PartitionMap};
use crate::messages::BatchError;
use crate::store::{InstanceRun, Store};
use crate::supervision::{LOOKS, Life, Named, StageError, Wait, Works, end_hung};
use crate::telemetry::labels::Dependency;

#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    pub(super) database: Option<String>,
    pub(super) kafka: Option<String>,
    /// Why this process does not have its name yet.
    pub(super) instance: Option<String>,
    pub(super) cluster: Option<Cluster>,
    pub(super) migrated: bool,
}

/// What every stage works at first.
pub(super) const PREPARING: &str = "taking up the environment";

/// What the stages share; every clone is the same.
pub struct Environment {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub admin: Admin,
    pub partition_map: PartitionMap,
    pub(super) condition: watch::Sender<Condition>,
    /// Something does not fit the logs that are known: the next look compares everything.
    doubted: AtomicBool,
    /// This life of the process.
    pub(super) run: InstanceRun,
    /// What the process works at beside its stages.
    pub(super) works: Works,
}

impl Environment {
    /// Prepares the clients; nothing is connected yet.
    pub fn new(settings: Arc<Settings>) -> Result<Arc<Self>, StageError> {
        let store = Store::new(&settings.database).map_err(|error| StageError::new("database.url", error))?;
        let admin = Admin::new(&settings.kafka).map_err(|error| StageError::new("kafka settings", error))?;
        let away = || Some("not reached yet".to_owned());
        let instance = Some("not taken yet".to_owned());
        let condition =
            Condition { database: away(), kafka: away(), instance, cluster: None, migrated: false };
        Ok(Arc::new(Self {
            run: this_run(&settings),
            partition_map: PartitionMap::new(settings.kafka.partitions_per_borough),
            settings,
            store,
            admin,
            condition: watch::channel(condition).0,
            doubted: AtomicBool::new(true),
            works: Works::default(),
        }))
    }

    /// Watches the work of the process beside its stages. What stands still there is what nobody can build
    /// anew: the process ends over it.
    pub async fn watch_work(&self) {
        let look_every = (self.settings.supervision.hang_after / LOOKS).max(Duration::from_millis(10));
        loop {
            tokio::time::sleep(look_every).await;
            if let Some(what) = self.works.look() {
                end_hung(format!("{what}; nothing can replace it, the process ends"));
            }
        }
    }

    /// Waits for a migrated database.
    pub(super) async fn migrated(&self) {
        if self.condition.subscribe().wait_for(|now| now.migrated).await.is_err() {
            // The process ends.
            std::future::pending::<()>().await;
        }
    }

    /// Returns the names of what keeps this process from working: dependencies that are away, and its own
    /// name.
    pub fn missing(&self) -> Vec<String> {
        let condition = self.condition.borrow();
        let named = [
            (Dependency::Database.as_str(), condition.database.is_some()),
            (Dependency::Kafka.as_str(), condition.kafka.is_some()),
            // Without a database there is no name to be had.
            ("instance", condition.instance.is_some() && condition.database.is_none()),
        ];
        named.iter().filter(|(_, away)| *away).map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Returns why dependencies are away, by their names.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        let condition = self.condition.borrow();
        let reasons = [
            (Dependency::Database.as_str(), &condition.database),
            (Dependency::Kafka.as_str(), &condition.kafka),
        ];
        reasons.into_iter().filter_map(|(name, why)| Some((name.to_owned(), why.clone()?))).collect()
    }

    /// Returns whether a dependency is away, as the last look found it.
    pub fn is_away(&self, dependency: Dependency) -> bool {
        let condition = self.condition.borrow();
        match dependency {
            Dependency::Database => condition.database.is_some(),
            Dependency::Kafka => condition.kafka.is_some(),
            // Nobody watches it: whoever asks it finds out.
            Dependency::Source => false,
        }
    }

    /// Returns the error for what it is: one that comes while a dependency is away tells of that, whatever it
    /// says itself. A limit that has passed, a thread that gave no answer and a neighbour that was rebuilt
    /// are no failures of ours then.
    pub fn excused(&self, error: BatchError) -> BatchError {
        let away = [Dependency::Kafka, Dependency::Database].into_iter().find(|one| self.is_away(*one));
        match (away, &error) {
            (Some(dependency), BatchError::Interrupted { detail, .. }) => {
                BatchError::unavailable(dependency, detail.clone()).caused_by(error)
            }
            _ => error,
        }
    }

    /// Waits for a migrated database and a checked Kafka.
    pub async fn prepared(&self, life: &Life) -> Cluster {
        let mut condition = self.condition.subscribe();
        loop {
            {
                let now = condition.borrow_and_update();
                match (&now.database, &now.kafka, &now.instance, &now.cluster) {
                    (None, None, None, Some(cluster)) => return cluster.clone(),
                    (None, None, Some(_), _) => life.waiting_for("instance"),
                    (Some(_), ..) => life.waiting_for(Dependency::Database),
                    _ => life.waiting_for(Dependency::Kafka),
                }
            }
            if condition.changed().named(Wait::Environment).await.is_err() {
                // The process ends; whoever waits is ended with it.
                std::future::pending::<()>().named(Wait::Environment).await;
            }
        }
    }

    /// Waits for the same without a word, for who works beside a stage that says what it waits for.
    pub(super) async fn ready(&self) {
        let is_ready = |now: &Condition| {
            now.database.is_none() && now.kafka.is_none() && now.instance.is_none() && now.cluster.is_some()
        };
        if self.condition.subscribe().wait_for(is_ready).await.is_err() {
            // The process ends; whoever waits is ended with it.
            std::future::pending::<()>().await;
        }
    }

    /// Lets the next look at Kafka compare its logs with everything that is known of them.
    pub fn doubt_logs(&self) {
        self.doubted.store(true, Ordering::SeqCst);
    }

    /// Returns whether the logs are in doubt, and takes the doubt on.
    pub(super) fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::SeqCst)
    }

    /// Waits until Kafka is no longer the one that `cluster` was.
    pub async fn replaced(&self, cluster: Cluster) {
        let mut condition = self.condition.subscribe();
        let another =
            condition.wait_for(|now| now.cluster.as_ref().is_some_and(|current| *current != cluster));
        if another.named(Wait::Idle).await.is_err() {
            // The process ends.
            std::future::pending::<()>().named(Wait::Environment).await;
        }
    }
}

/// Describes this life of the process.
fn this_run(settings: &Settings) -> InstanceRun {
    InstanceRun {
        instance_id: settings.instance.id.clone(),
        run_id: Uuid::new_v4(),
        host: hostname(),
        process_id: std::process::id(),
        started_at: Timestamp::now(),
    }
}
