//! What a Kafka that is not the one it was means: the source is asked again for what Kafka acknowledged and
//! lost (promise 1).
//!
//! Each look asks for the cluster's id and the ids of the three topics. As long as they are those that are
//! known, nothing else is asked. Otherwise, at start, after Kafka was away, and whenever a stage doubts the
//! logs, everything that is known of them is compared with what is there:
//!
//! | seen | means |
//! |---|---|
//! | another cluster id | its volume was wiped, or it is another Kafka |
//! | a topic that is missing, or has another id | it was deleted, and perhaps created again |
//! | a position beyond the end of its log | the log was set back to an older copy |
//! | another record where one was seen | it was set back, and has grown again since |
//! | a position before the beginning of its log | retention passed before it was read |
//!
//! Each is noted and acted upon by one transaction of the store (`store::logs` has the delivery argument),
//! before any stage works with the new log; a look that does not get that far leaves the evidence to the
//! next.
//!
//! Brokers before 2.8 give topics no ids. There a topic that was deleted and created by somebody else between
//! two looks is noticed only by its records: a position beyond its end, or another record where one was seen.
//! That is said once in the log.

use std::collections::HashMap;
use std::sync::{Arc, Once};

use super::cluster::Cluster;
use super::dependencies::{Presence, Unfit};
use super::environment::Environment;
use crate::error_policy::Directive;
use crate::kafka::admin::LogEnds;
use crate::kafka::groups::{COMMITTED_PATIENCE, enricher_group};
use crate::kafka::{Admin, DescribedTopic, KafkaError, Mark, topics};
use crate::messages::BatchError;
use crate::store::{FoundLog, FoundLogs, LogLoss, LostPlace, Position, StoreError, TakenUp};
use crate::supervision::{Life, StageError};
use crate::telemetry::labels::Dependency;

/// Why a look at Kafka was not finished.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The log is not the one that is known: the partition waits until the watch has found out what that means.
pub(super) fn another_log(topic: &str) -> BatchError {
    BatchError::unavailable(Dependency::Kafka, format!("topic {topic} is not the one that is known"))
}

type Described = HashMap<String, DescribedTopic>;

fn ids(described: &Described) -> HashMap<String, Arc<str>> {
    described.iter().filter_map(|(name, topic)| Some((name.clone(), topic.id.clone()?))).collect()
}

impl Environment {
    /// Looks at Kafka once; an error ends the process.
    pub(super) async fn look_at_kafka(&self) -> Result<Presence, Unfit> {
        let doubted = self.take_doubt();
        let error = match self.check_kafka(doubted).await {
            Ok(()) => return Ok(Presence::There),
            Err(error) => error,
        };
        if doubted {
            self.doubt_logs();
        }
        match error {
            LookError::Kafka(failure) => match failure.policy().directive {
                Directive::EndProcess => Err(Unfit(failure.to_string())),
                Directive::Wait
                | Directive::RebuildClient
                | Directive::OpenAnew
                | Directive::DeadLetter
                | Directive::Fail => Ok(Presence::Away(failure.to_string())),
            },
            // Kafka has answered, and stages that know their Kafka go on with it; others wait for it to be
            // compared.
            LookError::Store(error) if self.condition.borrow().cluster.is_none() => {
                Ok(Presence::Away(error.to_string()))
            }
            LookError::Store(error) => {
                tracing::warn!(%error, "the logs of kafka were not compared with the database");
                self.doubt_logs();
                Ok(Presence::There)
            }
        }
    }

    fn topic_names(&self) -> [&str; 3] {
        let kafka = &self.settings.kafka;
        [&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic].map(String::as_str)
    }

    /// Fails a stage, whatever it is `doing`, as soon as Kafka is no longer the one that `cluster` was: what
    /// it holds speaks of other logs.
    pub(super) async fn fail_when_replaced(&self, cluster: Cluster, life: Life, doing: &'static str) {
        self.replaced(cluster).await;
        life.fail(StageError::new(doing, "kafka is not the one it was"));
    }

    /// Asks whether the logs are still those of `cluster`; if they are not, the next look finds out what that
    /// means.
    pub async fn logs_are_of(&self, cluster: &Cluster) -> Result<bool, KafkaError> {
        let id = self.admin.cluster_id().await?;
        let same =
            id == cluster.id && self.are_known(cluster, &self.admin.describe(&self.topic_names()).await?);
        if !same {
            self.doubt_logs();
        }
        Ok(same)
    }

    fn are_known(&self, cluster: &Cluster, described: &Described) -> bool {
        described.len() == self.topic_names().len() && ids(described) == *cluster.topic_ids
    }

    async fn check_kafka(&self, doubted: bool) -> Result<(), LookError> {
        let id = self.admin.cluster_id().await?;
        let described = self.admin.describe(&self.topic_names()).await?;
        let known = self.condition.borrow().cluster.clone();
        let same = known.as_ref().is_some_and(|known| known.id == id && self.are_known(known, &described));
        if same {
            // It has answered; comparing its logs with what the database knows may have to wait for that.
            self.show_kafka(Presence::There);
            if !doubted {
                return Ok(());
            }
        }
        let (described, lost) = self.take_up(&id, described).await?;
        self.look_for_shortened_logs(&id, &described).await?;
        if described.len() < self.topic_names().len() {
            // Another process has only just created them.
            let detail = "the topics are not known to the brokers yet".to_owned();
            return Err(KafkaError::unavailable(detail).into());
        }
        let topic_ids = Arc::new(ids(&described));
        if topic_ids.len() < self.topic_names().len() {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                tracing::warn!(
                    "these brokers give topics no ids: a topic that somebody deletes and creates again is noticed by its \
                     records alone"
                );
            });
        }
        if same && !lost {
            return Ok(());
        }
        let incarnation = known.map_or(0, |known| known.incarnation + 1);
        if incarnation > 0 {
            tracing::error!(cluster_id = &*id, "kafka is not the one it was, reading and writing start anew");
        }
        self.condition.send_modify(|now| now.cluster = Some(Cluster { id, incarnation, topic_ids }));
        Ok(())
    }

    /// Brings the topics into being, and what the database knows of them up to date; tells whether something
    /// was lost.
    async fn take_up(&self, id: &str, mut described: Described) -> Result<(Described, bool), LookError> {
        let mut lost = false;
        let names = self.topic_names();
        if names.iter().any(|name| !described.contains_key(*name)) {
            // Before they are created: their absence is the evidence.
            lost |= self.compare(id, &described, &[]).await?;
        }
        let created = topics::ensure(&self.admin, &self.settings.kafka).await?;
        if !created.is_empty() || described.len() < names.len() {
            // Created by this process, or by another one meanwhile.
            described = self.admin.describe(&names).await?;
        }
        lost |= self.compare(id, &described, &created).await?;
        Ok((described, lost))
    }

    async fn compare(&self, id: &str, described: &Described, created: &[String]) -> Result<bool, LookError> {
        let kafka = &self.settings.kafka;
        let found = |name: &String| FoundLog {
            topic: name.clone(),
            id: described.get(name).and_then(|topic| topic.id.as_deref().map(str::to_owned)),
            // A new topic with an id speaks for itself, and another process may have taken it up already.
            is_new: described.get(name).is_none_or(|topic| topic.id.is_none() && created.contains(name)),
        };
        let mut logs = FoundLogs {
            cluster_id: id,
            source: self.settings.source.dataset(),
            raw: found(&kafka.raw_topic),
            derived: vec![found(&kafka.enriched_topic), found(&kafka.dead_letter_topic)],
            committed: None,
        };
        loop {
            match self.store.take_up_logs(&logs).await? {
                TakenUp::Known => return Ok(false),
                TakenUp::LossNoted => return Ok(true),
                TakenUp::AskForCommitted => {
                    let partitions: Vec<i32> = (0..self.partition_map.partitions()).collect();
                    let group = enricher_group(kafka);
                    let committed = self
                        .admin
                        .committed(&group, &kafka.raw_topic, &partitions, COMMITTED_PATIENCE)
                        .await?;
                    logs.committed = Some(partitions.into_iter().zip(committed).collect());
                }
            }
        }
    }

    /// Looks for logs that do not reach as far as they did, or hold other records there.
    async fn look_for_shortened_logs(&self, id: &str, described: &Described) -> Result<(), LookError> {
        let kafka = &self.settings.kafka;
        let derived = [kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()];
        let partitions = self.partition_map.partitions();
        let admin = self.admin.impatient();
        let topic_id = |topic: &str| described.get(topic).and_then(|topic| topic.id.as_deref());
        for row in self.store.positions(id, &derived).await? {
            if row.partition >= partitions {
                continue;
            }
            let Some(ends) = admin.log_ends(&row.topic, [row.partition]).await?.first().copied() else {
                continue;
            };
            let (epoch, next_offset) = (row.epoch, row.next_offset);
            let place = LostPlace::Position { epoch, next_offset, start_offset: ends.low };
            let found = Found { topic: &row.topic, partition: row.partition, next_offset, ends };
            if let Some(detail) = Self::missing_in(&admin, found, row.last).await? {
                self.note_loss(id, topic_id(&row.topic), found, detail, place).await?;
            }
        }
        for row in self.store.raw_positions(id, &kafka.raw_topic).await? {
            let Some((end_offset, last)) = row.acknowledged.filter(|_| row.partition < partitions) else {
                continue;
            };
            let Some(ends) = admin.log_ends(&kafka.raw_topic, [row.partition]).await?.first().copied() else {
                continue;
            };
            // What was acknowledged and is past its retention is for whoever has not read it to miss.
            let ends = LogEnds { low: ends.low.min(end_offset), ..ends };
            let place = LostPlace::Acknowledged { end_offset };
            let found =
                Found { topic: &kafka.raw_topic, partition: row.partition, next_offset: end_offset, ends };
            if let Some(detail) = Self::missing_in(&admin, found, last).await? {
                self.note_loss(id, topic_id(&kafka.raw_topic), found, detail, place).await?;
            }
        }
        Ok(())
    }

    /// Says what a log lacks that a position speaks of; none where it lacks nothing.
    pub(super) async fn missing_in(
        admin: &Admin,
        found: Found<'_>,
        last: Option<Mark>,
    ) -> Result<Option<String>, KafkaError> {
        let Found { topic, partition, next_offset, ends } = found;
        if !(ends.low..=ends.high).contains(&next_offset) {
            return Ok(Some(format!(
                "{topic}/{partition}: position {next_offset} lies outside the log, which holds {} to {}",
                ends.low, ends.high
            )));
        }
        match last {
            Some(mark) if !admin.holds(topic, partition, mark).await? => Ok(Some(format!(
                "{topic}/{partition}: the record at {} is not the one that was seen there",
                mark.offset
            ))),
            _ => Ok(None),
        }
    }

    /// Records that Kafka no longer has what it acknowledged; none where nothing points there any more.
    pub(super) async fn note_loss(
        &self,
        cluster_id: &str,
        topic_id: Option<&str>,
        Found { topic, partition, .. }: Found<'_>,
        detail: String,
        place: LostPlace,
    ) -> Result<Option<Position>, StoreError> {
        let source = self.settings.source.dataset();
        let loss = LogLoss { cluster_id, source, topic, partition, topic_id, detail, place };
        self.store.note_log_loss(&loss).await
    }
}

/// A position, and the ends of its log, asked for after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) next_offset: i64,
    pub(super) ends: LogEnds,
}
