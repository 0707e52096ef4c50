//! The watch of the dependencies: prepares the database and Kafka, looks at both once a second, and says who is away.
//!
//! What waiting cannot mend (a database newer than the program, a topic of another shape) ends the process with a clear
//! text. The two are asked at the same time, each with a bound of a few seconds, so that one that stands still does
//! not hide how the other is.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::environment::Environment;
use crate::telemetry::metrics::metrics;

/// How often the dependencies are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often one that is away is tried again: a quick return is what the first seconds after a start are about.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How long Kafka may be away before it is asked by a fresh client, and how often again.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How often what only the database knows is shown as a metric.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

impl Environment {
    /// Prepares and watches the dependencies; returns only with what waiting cannot mend.
    pub async fn watch(&self) -> String {
        let mut migrated = false;
        let mut measured: Option<Instant> = None;
        let mut answered = Instant::now();
        loop {
            let looks = if migrated {
                tokio::join!(self.look_at_database(), self.look_at_kafka())
            } else {
                // Without the database a loss in Kafka could not be recorded.
                tokio::join!(self.migrate(&mut migrated), async { Ok(self.reach_kafka().await) })
            };
            let (database, kafka) = match looks {
                (Err(fatal), _) | (_, Err(fatal)) => return fatal,
                (Ok(database), Ok(kafka)) => (database, kafka),
            };
            if kafka.is_none() {
                answered = Instant::now();
            } else if answered.elapsed() > RENEW_EVERY {
                answered = Instant::now();
                if let Err(error) = self.admin.renew() {
                    tracing::warn!(%error, "kafka cannot be asked by a fresh client");
                }
            }
            self.show(database, kafka);
            let (away, known) = {
                let now = self.condition.borrow();
                (now.database.is_some() || now.kafka.is_some(), now.cluster.is_some())
            };
            if !away && known && measured.is_none_or(|at| at.elapsed() > MEASURE_EVERY) {
                self.measure().await;
                measured = Some(Instant::now());
            }
            if migrated && !away && !known {
                // The database is there, and Kafka has not been compared with it yet.
                continue;
            }
            tokio::time::sleep(if away { RETRY_EVERY } else { WATCH_EVERY }).await;
        }
    }

    fn show(&self, database: Option<String>, kafka: Option<String>) {
        metrics().dependency_up.with_label_values(&["database"]).set(i64::from(database.is_none()));
        metrics().dependency_up.with_label_values(&["kafka"]).set(i64::from(kafka.is_none()));
        self.condition.send_if_modified(|now| {
            for (name, was, is) in [("database", &now.database, &database), ("kafka", &now.kafka, &kafka)] {
                match (was, is) {
                    (None, Some(detail)) => tracing::warn!(dependency = name, detail, "dependency is away"),
                    (Some(_), None) => tracing::info!(dependency = name, "dependency is there"),
                    (Some(was), Some(is)) if was != is => {
                        tracing::warn!(dependency = name, detail = is, "dependency is away");
                    }
                    _ => {}
                }
            }
            if now.kafka.is_none() && kafka.is_some() {
                // Whoever was away may come back as an older copy of itself.
                self.doubt_logs();
            }
            let changed = now.database != database || now.kafka != kafka;
            (now.database, now.kafka) = (database, kafka);
            changed
        });
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

    async fn migrate(&self, migrated: &mut bool) -> Result<Option<String>, String> {
        match self.store.migrate().await {
            Ok(_) => {
                *migrated = true;
                self.condition.send_modify(|now| now.migrated = true);
                Ok(None)
            }
            Err(error) if error.needs_another_database() => Err(error.to_string()),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    async fn look_at_database(&self) -> Result<Option<String>, String> {
        match self.store.ping().await {
            Ok(()) => Ok(None),
            Err(error) if error.needs_another_database() => Err(error.to_string()),
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    async fn reach_kafka(&self) -> Option<String> {
        self.admin.cluster_id().await.err().map(|failure| failure.to_string())
    }
}
