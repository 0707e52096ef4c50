//! Keeps what durable positions and cursors say of the logs they speak of, and takes note when a log is not
//! what it was.
//!
//! # Delivery
//!
//! What Kafka has acknowledged may be gone: a topic was deleted, and perhaps created again; a volume was
//! wiped or set back to an older copy; retention passed before anybody read. The evidence is in PostgreSQL,
//! beside each position: the topic's id, and the last record before the position. Noticing and acting are one
//! transaction here: it compares what is stored with what was found, sets `published` back to `stored`, sends
//! the poll under way back to its beginning, moves the positions that point into the lost log, and stores the
//! ids of the new one. Until it has committed, nothing of the evidence has changed, and whoever looks next
//! finds it again; after that, nothing is left to be found. So it does not matter when a process dies, or a
//! connection, and repeating it changes nothing.
//!
//! A topic that is missing is evidence too, so that is noted before it is created anew.

mod found;
mod known;
mod moves;

use tokio_postgres::Transaction;

pub use self::found::{FoundLog, FoundLogs, LogLoss, LostPlace, RawStart};
use self::known::Known;
pub(super) use self::moves::{SentBack, send_back};
use self::moves::{adopt, move_from_loss, restart_positions, restart_raw};
use super::{Position, Store, StoreError};
use crate::fault_point;
use crate::kafka::{Acknowledged, Mark};

/// Whoever looks for losses takes turns: two that note the same one would send a poll back twice.
const LOSS_LOCK: i64 = 0x6e79_6333_3131_0004;

/// What comparing the logs has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenUp {
    /// They are those that are known, or the first.
    Known,
    /// They are not, and that is noted.
    LossNoted,
    /// The raw log is another, and what was committed for the old one has to be known before that can be
    /// noted.
    AskForCommitted,
}

/// What is known of a raw partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawPosition {
    pub partition: i32,
    pub topic_id: Option<String>,
    pub start: RawStart,
    /// The end of what Kafka has acknowledged, and the last record before it.
    pub acknowledged: Option<(i64, Option<Mark>)>,
}

impl Store {
    /// Compares the logs with those that positions and cursors speak of, notes a loss, and stores whose ids
    /// they are now.
    pub async fn take_up_logs(&self, found: &FoundLogs<'_>) -> Result<TakenUp, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            // Most looks find nothing to write, and ask once.
            let known = Known::read(&client, found).await?;
            if !known.is_nameless && known.lost(found).detail.is_none() {
                return Ok(TakenUp::Known);
            }
            let transaction = client.transaction().await?;
            take_turns(&transaction).await?;
            let known = Known::read(&transaction, found).await?;
            let lost = known.lost(found);
            let raw_lost = lost.topics.contains(found.raw.topic.as_str());
            if raw_lost && found.committed.is_none() {
                return Ok(TakenUp::AskForCommitted);
            }
            let noted = match &lost.detail {
                None => None,
                Some(_) => Some(send_back(&transaction, found.source).await?),
            };
            for log in found.derived.iter().filter(|log| lost.topics.contains(log.topic.as_str())) {
                restart_positions(&transaction, found.cluster_id, log).await?;
            }
            if raw_lost {
                restart_raw(&transaction, found).await?;
            }
            adopt(&transaction, found).await?;
            fault_point!("environment:take_up:before");
            transaction.commit().await?;
            fault_point!("environment:take_up:after");
            match (lost.detail, noted) {
                (Some(detail), Some(sent)) => {
                    sent.tell(found.source, &detail);
                    Ok(TakenUp::LossNoted)
                }
                _ => Ok(TakenUp::Known),
            }
        })
        .await
    }

    /// Takes note of a loss that an offset has told of, and moves what pointed at the lost records; none
    /// where that has moved since, so that there is nothing to note.
    pub async fn note_log_loss(&self, loss: &LogLoss<'_>) -> Result<Option<Position>, StoreError> {
        let mut client = self.client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            take_turns(&transaction).await?;
            let Some(position) = move_from_loss(&transaction, loss).await? else { return Ok(None) };
            let sent = send_back(&transaction, loss.source).await?;
            fault_point!("environment:note_loss:before");
            transaction.commit().await?;
            fault_point!("environment:note_loss:after");
            sent.tell(loss.source, &loss.detail);
            Ok(Some(position))
        })
        .await
    }

    /// Returns what is known of the raw partitions.
    pub async fn raw_positions(&self, cluster_id: &str, topic: &str) -> Result<Vec<RawPosition>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select kafka_partition, topic_id, start_offset, superseded_commit, acknowledged_end,
                            acknowledged_at_ms
                     from nyc311.raw_position where kafka_cluster_id = $1 and topic = $2
                     order by kafka_partition",
                    &[&cluster_id, &topic],
                )
                .await?;
            let read = |row: &tokio_postgres::Row| {
                let end: Option<i64> = row.get(4);
                let appended_at: Option<i64> = row.get(5);
                let mark =
                    |end: i64| appended_at.map(|appended_at_ms| Mark { offset: end - 1, appended_at_ms });
                RawPosition {
                    partition: row.get(0),
                    topic_id: row.get(1),
                    start: RawStart { start_offset: row.get(2), superseded_commit: row.get(3) },
                    acknowledged: end.map(|end| (end, mark(end))),
                }
            };
            Ok(rows.iter().map(read).collect())
        })
        .await
    }

    /// Forgets where enriching was to start in place of a committed offset: somebody has set the offsets by
    /// hand.
    pub async fn forget_raw_starts(&self, cluster_id: &str, topic: &str) -> Result<(), StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            client
                .execute(
                    "update nyc311.raw_position
                     set start_offset = 0, superseded_commit = null, updated_at = now()
                     where kafka_cluster_id = $1 and topic = $2",
                    &[&cluster_id, &topic],
                )
                .await?;
            Ok(())
        })
        .await
    }
}

/// Notes what a page's acknowledgement says of the raw log. An acknowledged row that lies before the end of
/// what was acknowledged earlier tells of a log that was set back: then it is none, and the loss is the
/// caller's to note.
pub(super) async fn acknowledge(
    transaction: &Transaction<'_>,
    cluster_id: &str,
    topic: &str,
    topic_id: Option<&str>,
    acknowledged: &[Acknowledged],
) -> Result<RawLog, StoreError> {
    let partitions: Vec<i32> = acknowledged.iter().map(|rows| rows.partition).collect();
    let firsts: Vec<i64> = acknowledged.iter().map(|rows| rows.first_offset).collect();
    let ends: Vec<i64> = acknowledged.iter().map(|rows| rows.end_offset).collect();
    let times: Vec<Option<i64>> = acknowledged.iter().map(|rows| rows.last_appended_at_ms).collect();
    let known = transaction
        .query_one(
            "select coalesce(bool_or(r.topic_id <> $3), false),
                    coalesce(bool_or(r.acknowledged_end > a.first_offset), false)
             from nyc311.raw_position r
             join unnest($4::int[], $5::bigint[]) as a (kafka_partition, first_offset) using (kafka_partition)
             where r.kafka_cluster_id = $1 and r.topic = $2",
            &[&cluster_id, &topic, &topic_id, &partitions, &firsts],
        )
        .await?;
    match (known.get(0), known.get(1)) {
        (true, _) => return Ok(RawLog::Unknown),
        (false, true) => return Ok(RawLog::SetBack),
        (false, false) => {}
    }
    transaction
        .execute(
            "insert into nyc311.raw_position as r
                 (kafka_cluster_id, topic, kafka_partition, topic_id, acknowledged_end, acknowledged_at_ms,
                  updated_at)
             select $1, $2, kafka_partition, $3, end_offset, appended_at_ms, now()
             from unnest($4::int[], $5::bigint[], $6::bigint[])
                 as a (kafka_partition, end_offset, appended_at_ms)
             order by kafka_partition
             on conflict (kafka_cluster_id, topic, kafka_partition) do update
             set topic_id = coalesce(r.topic_id, excluded.topic_id),
                 acknowledged_end = excluded.acknowledged_end,
                 acknowledged_at_ms = excluded.acknowledged_at_ms, updated_at = now()",
            &[&cluster_id, &topic, &topic_id, &partitions, &ends, &times],
        )
        .await?;
    Ok(RawLog::Grown)
}

/// What a page's acknowledgement says of the raw log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawLog {
    Grown,
    SetBack,
    /// It is not the log that is known; the watch decides which of the two it is.
    Unknown,
}

/// Notes that the raw log was set back, inside the transaction that has found it.
pub(super) async fn note_set_back(
    transaction: &Transaction<'_>,
    source: &str,
    cluster_id: &str,
    topic: &str,
) -> Result<SentBack, StoreError> {
    transaction
        .execute(
            "update nyc311.raw_position
             set acknowledged_end = null, acknowledged_at_ms = null, updated_at = now()
             where kafka_cluster_id = $1 and topic = $2",
            &[&cluster_id, &topic],
        )
        .await?;
    send_back(transaction, source).await
}

async fn take_turns(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute("select pg_advisory_xact_lock($1)", &[&LOSS_LOCK]).await?;
    Ok(())
}
