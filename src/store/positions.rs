//! Keeps, for each partition, the next offset to write and the epoch under which it may move.
//!
//! A claim or a rewind begins an epoch, so whoever still writes under the old one is refused by the
//! write transaction. Within an epoch a position only grows.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::fault_point;
use crate::kafka::Mark;

/// Where a consumer starts, and the epoch that its batches must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub next_offset: i64,
    pub epoch: i64,
}

/// One stored position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionRow {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    pub epoch: i64,
    pub owner: Option<String>,
    pub updated_at: Timestamp,
    /// The last record before the position that was written.
    pub last: Option<Mark>,
}

/// The answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The partition is taken over; `last` is the last record before the position, where it is known.
    Taken { position: Position, last: Option<Mark> },
    /// The position speaks of another log than the one that is there, and stays as it was.
    OtherLog,
}

impl Store {
    /// Takes a partition over: fences its former owner and returns where to go on. A partition that was never
    /// seen starts at `initial`. Where the topic's id is known, a position of another log is not taken for
    /// one of this.
    pub async fn claim_position(
        &self,
        cluster: &str,
        topic: &str,
        topic_id: Option<&str>,
        partition: i32,
        owner: &str,
        initial: i64,
    ) -> Result<Claim, StoreError> {
        fault_point!("enriched_consumer:claim:before");
        let client = self.client().await?;
        let claimed = self
            .bounded(async {
                let row = client
                    .query_opt(
                        "insert into nyc311.consumer_position as p
                             (kafka_cluster_id, topic, kafka_partition, next_offset, epoch, owner, topic_id,
                              updated_at)
                         values ($1, $2, $3, $4, 1, $5, $6, now())
                         on conflict (kafka_cluster_id, topic, kafka_partition) do update
                         set epoch = p.epoch + 1, owner = excluded.owner,
                             topic_id = coalesce(p.topic_id, excluded.topic_id), updated_at = now()
                         where p.topic_id is null or excluded.topic_id is null
                            or p.topic_id = excluded.topic_id
                         returning next_offset, epoch, last_offset, last_appended_at_ms",
                        &[&cluster, &topic, &partition, &initial, &owner, &topic_id],
                    )
                    .await?;
                Ok(row.map_or(Claim::OtherLog, |row| Claim::Taken {
                    position: Position { next_offset: row.get(0), epoch: row.get(1) },
                    last: mark(row.get(2), row.get(3)),
                }))
            })
            .await?;
        fault_point!("enriched_consumer:claim:after");
        Ok(claimed)
    }

    /// Sets a position back, in a new epoch that nobody owns yet, and returns where it is. One that stands
    /// before `next_offset` stays: what lies between was never written. A partition that was never seen
    /// starts at `initial`.
    pub async fn rewind_position(
        &self,
        cluster: &str,
        topic: &str,
        partition: i32,
        next_offset: i64,
        initial: i64,
    ) -> Result<Position, StoreError> {
        fault_point!("rewind:move:before");
        let client = self.client().await?;
        let moved = self
            .bounded(async {
                let row = client
                    .query_one(
                        "insert into nyc311.consumer_position as p
                         (kafka_cluster_id, topic, kafka_partition, next_offset, epoch, owner, updated_at)
                     values ($1, $2, $3, $5, 1, null, now())
                     on conflict (kafka_cluster_id, topic, kafka_partition) do update
                     set next_offset = least(p.next_offset, $4), epoch = p.epoch + 1, owner = null,
                         last_offset = case when p.next_offset <= $4 then p.last_offset end,
                         last_appended_at_ms = case when p.next_offset <= $4 then p.last_appended_at_ms end,
                         updated_at = now()
                     returning next_offset, epoch",
                        &[&cluster, &topic, &partition, &next_offset, &initial],
                    )
                    .await?;
                Ok(Position { next_offset: row.get(0), epoch: row.get(1) })
            })
            .await?;
        fault_point!("rewind:move:after");
        Ok(moved)
    }

    /// Lists the positions of these topics on this cluster, by topic and partition.
    pub async fn positions(&self, cluster: &str, topics: &[&str]) -> Result<Vec<PositionRow>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select topic, kafka_partition, next_offset, epoch, owner, updated_at, last_offset,
                            last_appended_at_ms
                     from nyc311.consumer_position
                     where kafka_cluster_id = $1 and topic = any ($2)
                     order by topic, kafka_partition",
                    &[&cluster, &topics],
                )
                .await?;
            Ok(rows
                .iter()
                .map(|row| PositionRow {
                    topic: row.get(0),
                    partition: row.get(1),
                    next_offset: row.get(2),
                    epoch: row.get(3),
                    owner: row.get(4),
                    updated_at: row.get(5),
                    last: mark(row.get(6), row.get(7)),
                })
                .collect())
        })
        .await
    }
}

fn mark(offset: Option<i64>, appended_at_ms: Option<i64>) -> Option<Mark> {
    Some(Mark { offset: offset?, appended_at_ms: appended_at_ms? })
}
