//! What one write transaction is given, and what it says of it afterwards.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use nyc311_domain::Identity;
use uuid::Uuid;

use crate::kafka::Mark;
use crate::store::DeadLetter;
use crate::telemetry::labels::{SetAside, StageName};

/// What one transaction writes.
#[derive(Debug, Clone)]
pub struct WriteBatch {
    /// The Kafka that the positions are about.
    pub cluster_id: Arc<str>,
    /// Sorted by identity, each version once.
    pub rows: Vec<IncomingRow>,
    pub dead_letters: Vec<DeadLetter>,
    pub advances: Vec<PositionAdvance>,
    /// Repeats of versions that were folded away before: poll, raw partition, how many. They count as
    /// duplicates.
    pub folded: Vec<(Option<Uuid>, i32, u64)>,
}

/// One record of the enriched topic.
#[derive(Debug, Clone)]
pub struct IncomingRow {
    /// The enriched JSON.
    pub value: Bytes,
    pub identity: Identity,
    pub poll_id: Option<Uuid>,
    pub raw_partition: i32,
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// When its page had arrived, where that is known.
    pub fetched_at: Option<Timestamp>,
    /// The dead letter whose replay this row is.
    pub replay_of: Option<[u8; 32]>,
}

/// A step of one partition's position, from the first record of the batch to past its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionAdvance {
    pub topic: Arc<str>,
    pub partition: i32,
    pub epoch: i64,
    pub from: i64,
    pub to: i64,
    /// The last record of the batch: what a log that was set back has no more.
    pub last: Option<Mark>,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteSummary {
    /// New versions, current or into the history.
    pub stored: u64,
    /// Versions that were known.
    pub duplicate: u64,
    /// Known versions that better rules have replaced.
    pub reenriched: u64,
    /// All dead letters of the batch: its own, unreadable values and refused rows.
    pub dead_lettered: u64,
    /// Those of them that PostgreSQL refused.
    pub refused: u64,
    /// Those of them whose value was not what the enricher writes.
    pub unreadable: u64,
    /// From the first attempt to the commit.
    pub duration: Duration,
}

impl IncomingRow {
    /// Makes a dead letter of the row's bytes and origin.
    pub(super) fn dead_letter(&self, stage: StageName, reason: SetAside, cluster_id: &str) -> DeadLetter {
        DeadLetter {
            payload: self.value.clone(),
            stage,
            reason: reason.to_string(),
            field: None,
            detail: None,
            unique_key: Some(self.identity.unique_key),
            kafka_cluster_id: Some(cluster_id.to_owned()),
            topic: Some(self.topic.to_string()),
            partition: Some(self.partition),
            offset: Some(self.offset),
            headers: None,
            poll_id: self.poll_id,
            raw_partition: self.raw_partition,
        }
    }
}
