//! The end of a run: from the last page until the poll's rows are in PostgreSQL, by positions alone.
//!
//! Each of these positions and ends speaks of a log. That the logs are those of the beginning is asked before
//! and after: in between, a topic that was deleted and created again would have an end that is reached at
//! once.

use std::time::Duration;

use super::{PollRun, RunError};
use crate::actors::kafka_loss::Found;
use crate::kafka::groups::enricher_group;
use crate::retry::POLL_END;
use crate::store::LostPlace;
use crate::store::polls::RawEnd;
use crate::supervision::{Named, Wait};

impl PollRun<'_> {
    pub(super) async fn wait_until_stored(&self) -> Result<(), RunError> {
        let raw_ends = self.environment.store.raw_ends(self.poll.id).named(Wait::Database).await?;
        self.same_logs(&raw_ends).await?;
        self.find_lost_end(&raw_ends).await?;
        self.wait_until_enriched(&raw_ends).await?;
        self.wait_until_written().await?;
        self.find_lost_end(&raw_ends).await?;
        self.same_logs(&raw_ends).await
    }

    /// Halts where a log is not the one that the poll was published to: what that means is for the watch to
    /// find out.
    async fn same_logs(&self, raw_ends: &[RawEnd]) -> Result<(), RunError> {
        let raw = &self.environment.settings.kafka.raw_topic;
        let raw_id = self.cluster.topic_id(raw);
        let same = |end: &RawEnd| end.topic_id.as_deref().zip(raw_id).is_none_or(|(noted, now)| noted == now);
        let are_same = raw_ends.iter().all(same);
        if are_same && self.environment.logs_are_of(&self.cluster).named(Wait::Kafka).await? {
            return Ok(());
        }
        self.environment.doubt_logs();
        Err(RunError::Interrupted("the logs are not those that the poll was published to".to_owned()))
    }

    /// Halts where the raw log ends before the poll does.
    async fn find_lost_end(&self, raw_ends: &[RawEnd]) -> Result<(), RunError> {
        let environment = self.environment;
        let raw = &environment.settings.kafka.raw_topic;
        let partitions = raw_ends.iter().map(|end| end.partition);
        let logs = environment.admin.log_ends(raw, partitions).named(Wait::Kafka).await?;
        let short = raw_ends.iter().zip(&logs).find(|(end, log)| log.high < end.end_offset);
        let Some((end, log)) = short else { return Ok(()) };
        let (partition, next_offset) = (end.partition, end.end_offset);
        let found = Found { topic: raw, partition, next_offset, ends: *log };
        let detail = format!("{raw}/{partition}: the poll ends at {next_offset}, the log at {}", log.high);
        let place = LostPlace::PollEnd { poll_id: self.poll.id, token: self.token };
        let noted = environment.note_loss(&self.cluster.id, end.topic_id.as_deref(), found, detail, place);
        noted.named(Wait::Database).await?;
        Err(RunError::LeaseLost)
    }

    async fn wait_until_enriched(&self, raw_ends: &[RawEnd]) -> Result<(), RunError> {
        let environment = self.environment;
        let (raw, group) =
            (&environment.settings.kafka.raw_topic, enricher_group(&environment.settings.kafka));
        let partitions: Vec<i32> = raw_ends.iter().map(|end| end.partition).collect();
        let topic_id = self.cluster.topic_id(raw);
        let mut pauses = POLL_END.delays();
        loop {
            self.stopping()?;
            // Withheld while a transaction with an offset of them is open: ask again.
            let patience = Duration::from_secs(2);
            let committed = environment.admin.committed(&group, raw, &partitions, patience);
            if let Ok(committed) = committed.named(Wait::Kafka).await {
                let known = environment.store.raw_positions(&self.cluster.id, raw);
                let known = known.named(Wait::Database).await?;
                let reached = raw_ends.iter().zip(committed).all(|(end, committed)| {
                    let start = known.iter().find(|row| row.partition == end.partition);
                    let start = start.map(|row| row.start.clone()).unwrap_or_default();
                    let committed = committed.filter(|committed| committed.speaks_of(topic_id));
                    start.position(committed.as_ref()) >= end.end_offset
                });
                if reached {
                    return Ok(());
                }
            }
            pauses.pause().named(Wait::Neighbour).await;
        }
    }

    async fn wait_until_written(&self) -> Result<(), RunError> {
        let environment = self.environment;
        let kafka = &environment.settings.kafka;
        let partitions = environment.partition_map.partitions();
        for topic in [&kafka.enriched_topic, &kafka.dead_letter_topic] {
            let ends = environment.admin.log_ends(topic, 0..partitions).named(Wait::Kafka).await?;
            let mut pauses = POLL_END.delays();
            loop {
                self.stopping()?;
                let named = [topic.as_str()];
                let positions = environment.store.positions(&self.cluster.id, &named);
                let positions = positions.named(Wait::Database).await?;
                let reached = (0..partitions).zip(&ends).all(|(partition, end)| {
                    let position = positions.iter().find(|row| row.partition == partition);
                    position.map_or(0, |row| row.next_offset) >= end.high
                });
                if reached {
                    break;
                }
                pauses.pause().named(Wait::Neighbour).await;
            }
        }
        Ok(())
    }
}
