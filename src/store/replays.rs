//! Lets dead letters go through the pipeline again.
//!
//! Their rows stay locked from before the records are sent until they are marked, so a record that fails
//! again at once finds its letter marked and opens it anew. After a crash in between the records are in Kafka
//! and the letters still open: they are sent again, and promise 6 makes that free.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::{Store, StoreError};
use crate::fault_point;

/// SHA-256 of a dead letter's bytes, which names it.
pub type LetterKey = [u8; 32];

/// Which dead letters; all conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct LetterSelection {
    /// These alone; none means any.
    pub keys: Vec<LetterKey>,
    pub stage: Option<String>,
    pub reason: Option<String>,
    /// Also those that were replayed and have neither arrived nor failed since.
    pub again: bool,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone)]
pub struct StoredLetter {
    pub key: LetterKey,
    pub payload: Bytes,
    pub stage: String,
    pub reason: String,
    pub field: Option<String>,
    pub detail: Option<String>,
    pub unique_key: Option<i64>,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub headers: Option<Value>,
    pub first_seen_at: Timestamp,
    pub replay_count: i32,
}

impl Store {
    /// Lists dead letters that could be replayed, oldest first, from behind `after` on.
    pub async fn dead_letters(
        &self,
        selection: &LetterSelection,
        after: Option<(Timestamp, LetterKey)>,
        limit: i64,
    ) -> Result<Vec<StoredLetter>, StoreError> {
        let keys: Vec<&[u8]> = selection.keys.iter().map(LetterKey::as_slice).collect();
        let (after_time, after_key) = after.unzip();
        let after_key = after_key.as_ref().map(LetterKey::as_slice);
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select payload_sha256, payload, stage, reason, field, detail, unique_key, topic,
                            kafka_partition, headers, first_seen_at, replay_count
                     from nyc311.dead_letter
                     where (state = 'open' or $1 and state = 'replayed')
                       and (cardinality($2::bytea[]) = 0 or payload_sha256 = any ($2))
                       and ($3::text is null or stage = $3) and ($4::text is null or reason = $4)
                       and ($5::timestamptz is null or (first_seen_at, payload_sha256) > ($5, $6::bytea))
                     order by first_seen_at, payload_sha256 limit $7",
                    &[
                        &selection.again,
                        &keys,
                        &selection.stage,
                        &selection.reason,
                        &after_time,
                        &after_key,
                        &limit,
                    ],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(StoredLetter {
                        key: letter_key(row.get(0))?,
                        payload: Bytes::from(row.get::<_, Vec<u8>>(1)),
                        stage: row.get(2),
                        reason: row.get(3),
                        field: row.get(4),
                        detail: row.get(5),
                        unique_key: row.get(6),
                        topic: row.get(7),
                        partition: row.get(8),
                        headers: row.get(9),
                        first_seen_at: row.get(10),
                        replay_count: row.get(11),
                    })
                })
                .collect()
        })
        .await
    }

    /// Locks the letters, lets `send` send those that may still be replayed, and marks those of them that it
    /// says were acknowledged. When it fails none is marked. Whoever held a lock meanwhile may have discarded
    /// a letter or replayed it: that stands.
    pub async fn replay<E>(
        &self,
        keys: &[LetterKey],
        again: bool,
        send: impl AsyncFnOnce(Vec<LetterKey>) -> Result<Vec<LetterKey>, E>,
    ) -> Result<Result<Vec<LetterKey>, E>, StoreError> {
        let slices = |keys: &[LetterKey]| keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>();
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            // The condition is looked at once more when a lock was waited for, on the row as it is then.
            let rows = transaction
                .query(
                    "select payload_sha256 from nyc311.dead_letter
                     where payload_sha256 = any ($1) and (state = 'open' or $2 and state = 'replayed')
                     order by payload_sha256 for update",
                    &[&slices(keys), &again],
                )
                .await?;
            let held = rows.iter().map(|row| letter_key(row.get(0))).collect::<Result<Vec<_>, _>>()?;
            fault_point!("replay:send:before");
            let sent = match send(held).await {
                Ok(sent) => sent,
                Err(error) => return Ok(Err(error)),
            };
            fault_point!("replay:send:after");
            transaction
                .execute(
                    "update nyc311.dead_letter
                     set state = 'replayed', replay_count = replay_count + 1, replayed_at = now()
                     where payload_sha256 = any ($1)",
                    &[&slices(&sent)],
                )
                .await?;
            fault_point!("replay:mark:before");
            transaction.commit().await?;
            fault_point!("replay:mark:after");
            Ok(Ok(sent))
        })
        .await
    }
}

fn letter_key(bytes: &[u8]) -> Result<LetterKey, StoreError> {
    bytes.try_into().map_err(|_| StoreError::other("a dead letter's key is no SHA-256"))
}
