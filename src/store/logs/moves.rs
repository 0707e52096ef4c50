//! What is moved when a log has lost something, inside the transaction that takes note of it.

use tokio_postgres::Transaction;
use uuid::Uuid;

use super::found::{FoundLog, FoundLogs, LogLoss, LostPlace};
use crate::kafka::Committed;
use crate::store::{Position, StoreError};

/// What was sent back to the source.
pub(in crate::store) struct SentBack {
    active: Option<Uuid>,
    others: u64,
}

impl SentBack {
    /// Logs the loss; a Kafka that is new to a new database has lost nothing.
    pub(in crate::store) fn tell(&self, source: &str, detail: &str) {
        if self.active.is_some() || self.others > 0 {
            tracing::error!(
                source, detail, poll_id = ?self.active,
                "kafka lost acknowledged rows, reading the source again"
            );
        } else {
            tracing::info!(source, detail, "kafka has nothing that is not stored");
        }
    }
}

/// Sets what Kafka acknowledged back to what is stored: the source is read again from there, the poll under
/// way starts again from its beginning, and no poll goes on at a cursor whose rows may be gone.
pub(in crate::store) async fn send_back(
    transaction: &Transaction<'_>,
    source: &str,
) -> Result<SentBack, StoreError> {
    let restart = format!("{RESTART_COUNTS}, lease_owner = null, lease_token = null, lease_until = null");
    let active = transaction
        .query_opt(
            &format!(
                "update nyc311.poll p set state = 'running', storing_at = null, {restart}
                 where state in ('running', 'storing') returning poll_id"
            ),
            &[],
        )
        .await?;
    let active: Option<Uuid> = active.map(|row| row.get(0));
    transaction
        .execute(
            "update nyc311.poll_partition set raw_end_offset = null, raw_topic_id = null where poll_id = $1",
            &[&active],
        )
        .await?;
    let ended = transaction
        .execute(
            "update nyc311.poll set cursor_lost = true
             where state in ('failed', 'cancelled') and cursor_row_id is not null and not cursor_lost",
            &[],
        )
        .await?;
    let queued = transaction
        .execute(
            &format!(
                "update nyc311.poll p set {RESTART_COUNTS} where state = 'queued' and cursor_row_id is not null"
            ),
            &[],
        )
        .await?;
    let sources = transaction
        .execute(
            "update nyc311.source_position set published_updated_at = stored_updated_at, moved_at = now()
             where source = $1 and published_updated_at is distinct from stored_updated_at",
            &[&source],
        )
        .await?;
    // Of no log any more; that alone sends nothing back.
    transaction
        .execute(
            "update nyc311.source_position set kafka_cluster_id = null, raw_topic_id = null, moved_at = now()
             where source = $1 and kafka_cluster_id is not null",
            &[&source],
        )
        .await?;
    Ok(SentBack { active, others: ended + queued + sources })
}

/// Lets the poll `p` begin again: what it fetches from now on is counted anew, and what has arrived until now
/// is not taken for it.
pub(super) const RESTART_COUNTS: &str = "
    cursor_updated_at = null, cursor_row_id = null, pages = 0, fetched = 0, published = 0,
    newest_source_updated_at = null, newest_created_at = null,
    arrived_before = (
        select coalesce(sum(n.stored + n.duplicate + n.reenriched + n.dead_lettered), 0)
        from nyc311.poll_partition n where n.poll_id = p.poll_id)";

/// Starts a new log at its beginning: a position that an older topic of the same name has left would skip
/// rows as soon as the new log is longer.
pub(super) async fn restart_positions(
    transaction: &Transaction<'_>,
    cluster_id: &str,
    log: &FoundLog,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "update nyc311.consumer_position
             set next_offset = 0, epoch = epoch + 1, owner = null, topic_id = $3, last_offset = null,
                 last_appended_at_ms = null, updated_at = now()
             where kafka_cluster_id = $1 and topic = $2",
            &[&cluster_id, &log.topic, &log.id],
        )
        .await?;
    Ok(())
}

/// As [`restart_positions`], for the raw log. Kafka forgets the offsets of a deleted topic a moment later
/// than the topic: until then they are known to be worthless.
pub(super) async fn restart_raw(
    transaction: &Transaction<'_>,
    found: &FoundLogs<'_>,
) -> Result<(), StoreError> {
    let commits = found.committed.iter().flatten();
    let (partitions, superseded): (Vec<i32>, Vec<Option<String>>) =
        commits.map(|(partition, commit)| (*partition, commit.as_ref().map(Committed::to_string))).unzip();
    transaction
        .execute(
            "insert into nyc311.raw_position as r
                 (kafka_cluster_id, topic, kafka_partition, topic_id, superseded_commit, updated_at)
             select $1, $2, kafka_partition, $3, superseded_commit, now()
             from unnest($4::int[], $5::text[]) as a (kafka_partition, superseded_commit)
             order by kafka_partition
             on conflict (kafka_cluster_id, topic, kafka_partition) do update
             set topic_id = excluded.topic_id, acknowledged_end = null, acknowledged_at_ms = null,
                 start_offset = 0, superseded_commit = excluded.superseded_commit, updated_at = now()",
            &[&found.cluster_id, &found.raw.topic, &found.raw.id, &partitions, &superseded],
        )
        .await?;
    Ok(())
}

/// Stores the ids of logs that are taken for those that are known, because nothing says otherwise.
pub(super) async fn adopt(transaction: &Transaction<'_>, found: &FoundLogs<'_>) -> Result<(), StoreError> {
    for log in found.derived.iter().filter(|log| log.id.is_some()) {
        transaction
            .execute(
                "update nyc311.consumer_position set topic_id = $3
                 where kafka_cluster_id = $1 and topic = $2 and topic_id is null",
                &[&found.cluster_id, &log.topic, &log.id],
            )
            .await?;
    }
    if found.raw.id.is_some() {
        transaction
            .execute(
                "update nyc311.raw_position set topic_id = $3
                 where kafka_cluster_id = $1 and topic = $2 and topic_id is null",
                &[&found.cluster_id, &found.raw.topic, &found.raw.id],
            )
            .await?;
        transaction
            .execute(
                "update nyc311.source_position set raw_topic_id = $3
                 where source = $1 and kafka_cluster_id = $2 and raw_topic_id is null",
                &[&found.source, &found.cluster_id, &found.raw.id],
            )
            .await?;
    }
    Ok(())
}

/// Moves what pointed at lost records, if it still does; returns where it is now.
pub(super) async fn move_from_loss(
    transaction: &Transaction<'_>,
    loss: &LogLoss<'_>,
) -> Result<Option<Position>, StoreError> {
    let (cluster_id, topic, partition) = (&loss.cluster_id, &loss.topic, &loss.partition);
    let moved = match &loss.place {
        LostPlace::Position { epoch, next_offset, start_offset } => {
            transaction
                .query_opt(
                    "update nyc311.consumer_position
                     set next_offset = $5, epoch = epoch + 1, last_offset = null, last_appended_at_ms = null,
                         updated_at = now()
                     where kafka_cluster_id = $1 and topic = $2 and kafka_partition = $3 and epoch = $4
                       and next_offset = $6
                     returning next_offset, epoch",
                    &[cluster_id, topic, partition, epoch, start_offset, next_offset],
                )
                .await?
        }
        LostPlace::Enrichers { found, start } => {
            transaction
                .query_opt(
                    "insert into nyc311.raw_position as r
                         (kafka_cluster_id, topic, kafka_partition, topic_id, start_offset, superseded_commit,
                          updated_at)
                     values ($1, $2, $3, $4, $5, $6, now())
                     on conflict (kafka_cluster_id, topic, kafka_partition) do update
                     set topic_id = coalesce(r.topic_id, excluded.topic_id),
                         start_offset = excluded.start_offset,
                         superseded_commit = excluded.superseded_commit, updated_at = now()
                     where r.start_offset = $7 and r.superseded_commit is not distinct from $8
                     returning start_offset, 0::bigint",
                    &[
                        cluster_id,
                        topic,
                        partition,
                        &loss.topic_id,
                        &start.start_offset,
                        &start.superseded_commit,
                        &found.start_offset,
                        &found.superseded_commit,
                    ],
                )
                .await?
        }
        LostPlace::Acknowledged { end_offset } => {
            transaction
                .query_opt(
                    "update nyc311.raw_position
                     set acknowledged_end = null, acknowledged_at_ms = null, updated_at = now()
                     where kafka_cluster_id = $1 and topic = $2 and kafka_partition = $3
                       and acknowledged_end = $4
                     returning start_offset, 0::bigint",
                    &[cluster_id, topic, partition, end_offset],
                )
                .await?
        }
        LostPlace::PollEnd { poll_id, token } => {
            transaction
                .query_opt(
                    "select 0::bigint, 0::bigint from nyc311.poll
                     where poll_id = $1 and lease_token = $2 and state = 'storing' for no key update",
                    &[poll_id, token],
                )
                .await?
        }
    };
    Ok(moved.map(|row| Position { next_offset: row.get(0), epoch: row.get(1) }))
}
