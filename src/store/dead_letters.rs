//! Keeps records that could not be processed: their bytes, why, and where they came from.
//!
//! The same bytes twice are one dead letter, which keeps its first origin. Its life: `open`; `replayed`
//! when its bytes are on their way through the pipeline once more (`replays.rs`); then `resolved` by the
//! transaction that stores the row, or `open` again by the one that meets the same bytes as a dead letter.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::telemetry::labels::StageName;

/// A record that could not be processed.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub payload: Bytes,
    /// The stage that gave up on it.
    pub stage: StageName,
    /// A stable code.
    pub reason: String,
    pub field: Option<String>,
    pub detail: Option<String>,
    pub unique_key: Option<i64>,
    pub kafka_cluster_id: Option<String>,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<i64>,
    pub headers: Option<serde_json::Value>,
    pub poll_id: Option<Uuid>,
    /// The raw partition under which the poll counts it.
    pub raw_partition: i32,
}

impl DeadLetter {
    /// Identifies the bytes.
    pub fn payload_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.payload).into()
    }
}

impl Store {
    /// Counts the open dead letters.
    pub async fn open_dead_letters(&self) -> Result<i64, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let sql = "select count(*) from nyc311.dead_letter where state = 'open'";
            Ok(client.query_one(sql, &[]).await?.get(0))
        })
        .await
    }
}

/// Writes dead letters; one that is known already stays as it is, unless its replay has failed again.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    dead_letters: &[DeadLetter],
) -> Result<(), StoreError> {
    // by key, so that writers that meet the same bytes take their locks in one order
    let by_key: BTreeMap<[u8; 32], &DeadLetter> =
        dead_letters.iter().rev().map(|dead_letter| (dead_letter.payload_sha256(), dead_letter)).collect();
    for (key, dead_letter) in by_key {
        let text = |text: &Option<String>| text.as_deref().map(without_nul);
        transaction
            .execute(
                "insert into nyc311.dead_letter as d
                     (payload_sha256, payload, stage, reason, field, detail, unique_key, kafka_cluster_id,
                      topic, kafka_partition, kafka_offset, headers, poll_id, rejected_by, first_seen_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now())
                 on conflict (payload_sha256) do update set state = 'open' where d.state = 'replayed'",
                &[
                    &key.as_slice(),
                    &dead_letter.payload.as_ref(),
                    &dead_letter.stage.as_str(),
                    &without_nul(&dead_letter.reason),
                    &text(&dead_letter.field),
                    &text(&dead_letter.detail),
                    &dead_letter.unique_key,
                    &dead_letter.kafka_cluster_id,
                    &dead_letter.topic,
                    &dead_letter.partition,
                    &dead_letter.offset,
                    &dead_letter.headers.as_ref().map(json_without_nul),
                    &dead_letter.poll_id,
                    &env!("CARGO_PKG_VERSION"),
                ],
            )
            .await?;
    }
    Ok(())
}

/// Replaces what PostgreSQL cannot keep in a text: a dead letter must never be refused itself.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn json_without_nul(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(values) => Value::Array(values.iter().map(json_without_nul).collect()),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (without_nul(name), json_without_nul(value))).collect(),
        ),
        other => other.clone(),
    }
}
