//! The watch of the dependencies: prepares the database and Kafka, looks at both once a second, and says who
//! is away.
//!
//! What waiting cannot mend (a database newer than the program, a topic of another shape) ends the process
//! with a clear text. Each is watched on its own, with a bound of a few seconds, so that one that stands
//! still does not hide how the other is.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::environment::{Condition, Environment};
use crate::error_policy::Directive;
use crate::reconciliation::DifferenceKind;
use crate::supervision::{Named, Wait};
use crate::telemetry::events;
use crate::telemetry::labels::Dependency;
use crate::telemetry::metrics::metrics;

/// How often the dependencies are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often one that is away is tried again: a quick return is what the first seconds after a start are
/// about.
const RETRY_EVERY: Duration = Duration::from_millis(250);
/// How long Kafka may be away before it is asked by a fresh client, and how often again.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How often what only the database knows is shown as a metric.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// How a dependency is, at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    /// Waiting may mend it; the text says why.
    Away(String),
}

impl Presence {
    /// Takes a failed look for a dependency that is away.
    pub(super) fn of<T>(looked: Result<T, impl std::fmt::Display>) -> Self {
        looked.map_or_else(|error| Self::Away(error.to_string()), |_| Self::There)
    }
}

/// What has to be changed before the dependency can be used, whatever it is waited for.
pub(super) struct Unfit(pub(super) String);

/// What waiting cannot mend.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The settings, or what they lead to, have to be changed.
    #[error("{0}")]
    Unfit(String),
    /// Somebody has dropped what this process had migrated. The next start makes it anew.
    #[error("the tables of the database are gone; start the program again, and it makes them anew")]
    TablesGone,
}

impl Environment {
    /// Prepares and watches the dependencies; returns only with what waiting cannot mend.
    pub async fn watch(&self) -> Fatal {
        tokio::select! {
            fatal = self.works.work("the watch of the database", self.watch_database()) => fatal,
            Unfit(why) = self.works.work("the watch of kafka", self.watch_kafka()) => Fatal::Unfit(why),
        }
    }

    async fn watch_database(&self) -> Fatal {
        let mut measured: Option<Instant> = None;
        loop {
            let migrated = self.condition.borrow().migrated;
            let database = if migrated {
                if self.store.has_lost_its_tables().named(Wait::Database).await.unwrap_or(false) {
                    return Fatal::TablesGone;
                }
                Presence::of(self.store.ping().named(Wait::Database).await)
            } else {
                match self.migrate().named(Wait::Database).await {
                    Ok(database) => database,
                    Err(Unfit(why)) => return Fatal::Unfit(why),
                }
            };
            let is_away = database != Presence::There;
            self.show(Dependency::Database, database, |now| &mut now.database);
            if !is_away && measured.is_none_or(|at| at.elapsed() > MEASURE_EVERY) {
                self.measure().named(Wait::Database).await;
                measured = Some(Instant::now());
            }
            tokio::time::sleep(if is_away { RETRY_EVERY } else { WATCH_EVERY }).named(Wait::Pause).await;
        }
    }

    async fn watch_kafka(&self) -> Unfit {
        let mut answered = Instant::now();
        loop {
            // Without the database a loss in Kafka could not be recorded.
            let migrated = self.condition.borrow().migrated;
            let look =
                async { if migrated { self.look_at_kafka().await } else { Ok(self.reach_kafka().await) } };
            let kafka = match look.named(Wait::Kafka).await {
                Ok(kafka) => kafka,
                Err(unfit) => return unfit,
            };
            let is_away = kafka != Presence::There;
            if !is_away {
                answered = Instant::now();
            } else if answered.elapsed() > RENEW_EVERY {
                answered = Instant::now();
                if let Err(error) = self.admin.renew() {
                    tracing::warn!(%error, "kafka cannot be asked by a fresh client");
                }
            }
            self.show_kafka(kafka);
            if !is_away && !migrated {
                // As soon as the database is there, Kafka is compared with it.
                let _ = tokio::time::timeout(WATCH_EVERY, self.migrated()).named(Wait::Pause).await;
                continue;
            }
            tokio::time::sleep(if is_away { RETRY_EVERY } else { WATCH_EVERY }).named(Wait::Pause).await;
        }
    }

    /// Shows whether Kafka is there.
    pub(super) fn show_kafka(&self, kafka: Presence) {
        let was_there = self.condition.borrow().kafka.is_none();
        if was_there && kafka != Presence::There {
            // Whoever was away may come back as an older copy of itself.
            self.doubt_logs();
        }
        self.show(Dependency::Kafka, kafka, |now| &mut now.kafka);
    }

    fn show(
        &self,
        dependency: Dependency,
        looked: Presence,
        place: impl FnOnce(&mut Condition) -> &mut Option<String>,
    ) {
        let away = match looked {
            Presence::There => None,
            Presence::Away(why) => Some(why),
        };
        events::dependency_seen(dependency, away.is_none());
        let dependency = dependency.as_str();
        self.condition.send_if_modified(|now| {
            let shown = place(now);
            match (&*shown, &away) {
                (Some(_), None) => tracing::info!(dependency, "dependency is there"),
                (was, Some(detail)) if was.as_ref() != Some(detail) => {
                    tracing::warn!(dependency, detail, "dependency is away");
                }
                _ => {}
            }
            let changed = *shown != away;
            *shown = away;
            changed
        });
    }

    /// Shows what only the database knows; without an answer the gauges keep what they showed.
    async fn measure(&self) {
        if let Ok(open) = self.store.open_dead_letters().await {
            metrics().dead_letters_open.set(open);
        }
        if let Ok(Some(last)) = self.store.last_difference().await {
            for (kind, found) in [
                (DifferenceKind::Missing, last.missing),
                (DifferenceKind::Surplus, last.surplus),
                (DifferenceKind::Stale, last.stale),
            ] {
                metrics().reconciliation_difference.of(kind).set(found);
            }
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

    async fn migrate(&self) -> Result<Presence, Unfit> {
        match self.store.migrate().await {
            Ok(_) => {
                self.condition.send_modify(|now| now.migrated = true);
                Ok(Presence::There)
            }
            Err(error) => match error.policy().directive {
                Directive::EndProcess => Err(Unfit(error.to_string())),
                // Somebody is setting the database up.
                Directive::Wait
                | Directive::RebuildClient
                | Directive::OpenAnew
                | Directive::DeadLetter
                | Directive::Fail => Ok(Presence::Away(error.to_string())),
            },
        }
    }

    async fn reach_kafka(&self) -> Presence {
        Presence::of(self.admin.cluster_id().await)
    }
}
