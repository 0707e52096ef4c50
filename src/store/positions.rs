//! Keeps, for each partition, the next offset to write and the epoch under which it may move.
//!
//! A claim or a rewind begins an epoch, so whoever still writes under the old one is refused by the
//! write transaction. Within an epoch a position only grows.

use super::{Store, StoreError};
use crate::fault_point;
use jiff::Timestamp;

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
}

impl Store {
    /// Takes a partition over: fences its former owner and returns where to go on. A partition that was
    /// never seen starts at `initial`.
    pub async fn claim_position(
        &self,
        cluster: &str,
        topic: &str,
        partition: i32,
        owner: &str,
        initial: i64,
    ) -> Result<Position, StoreError> {
        fault_point!("enriched_consumer:claim:before");
        let claimed = self
            .begin_epoch(
                "insert into nyc311.consumer_position as p
                     (kafka_cluster_id, topic, kafka_partition, next_offset, epoch, owner, updated_at)
                 values ($1, $2, $3, $4, 1, $5, now())
                 on conflict (kafka_cluster_id, topic, kafka_partition) do update
                 set epoch = p.epoch + 1, owner = excluded.owner, updated_at = now()
                 returning next_offset, epoch",
                &[&cluster, &topic, &partition, &initial, &owner],
            )
            .await?;
        fault_point!("enriched_consumer:claim:after");
        Ok(claimed)
    }

    /// Sets a position anywhere, forward or back, in a new epoch that nobody owns yet.
    pub async fn rewind_position(
        &self,
        cluster: &str,
        topic: &str,
        partition: i32,
        next_offset: i64,
    ) -> Result<Position, StoreError> {
        self.begin_epoch(
            "insert into nyc311.consumer_position as p
                 (kafka_cluster_id, topic, kafka_partition, next_offset, epoch, owner, updated_at)
             values ($1, $2, $3, $4, 1, null, now())
             on conflict (kafka_cluster_id, topic, kafka_partition) do update
             set next_offset = excluded.next_offset, epoch = p.epoch + 1, owner = null, updated_at = now()
             returning next_offset, epoch",
            &[&cluster, &topic, &partition, &next_offset],
        )
        .await
    }

    async fn begin_epoch(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Position, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let row = client.query_one(sql, params).await?;
            Ok(Position { next_offset: row.get(0), epoch: row.get(1) })
        })
        .await
    }

    /// Lists the positions of these topics on this cluster, by topic and partition.
    pub async fn positions(&self, cluster: &str, topics: &[&str]) -> Result<Vec<PositionRow>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select topic, kafka_partition, next_offset, epoch, owner, updated_at
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
                })
                .collect())
        })
        .await
    }

    /// Tells whether positions of any other cluster are known: then this Kafka is not the one it was.
    pub async fn other_clusters_known(&self, cluster: &str) -> Result<bool, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let row = client
                .query_one(
                    "select exists (select from nyc311.consumer_position where kafka_cluster_id <> $1)",
                    &[&cluster],
                )
                .await?;
            Ok(row.get(0))
        })
        .await
    }
}
