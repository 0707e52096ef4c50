//! Records the steps of a running poll, each in one transaction that its lease token guards.
//!
//! Order: Kafka acknowledges a page, then [`Store::record_page`] moves the cursors. After the last page
//! [`Store::begin_storing`] notes the ends of the poll's records; when all stored positions are past
//! what follows from them, [`Store::finish_poll`] ends the poll and `stored` catches up with
//! `published`. A crash between two steps repeats the later one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::{ARRIVED, FROZEN_COUNTS, LeaseError};
use crate::fault_point;
use crate::kafka::Acknowledged;
use crate::poll::PollState;
use crate::store::dead_letters::{self, DeadLetter};
use crate::store::drift::{self, NamedColumns};
use crate::store::logs::{self, RawLog};
use crate::store::{Store, StoreError};
use crate::telemetry::events;

/// What one acknowledged page adds to its poll.
#[derive(Debug, Clone, Default)]
pub struct PageRecord {
    /// Its number in the poll, from 1 on: a page that is recorded already changes nothing.
    pub page: u64,
    pub rows: u64,
    pub published: u64,
    /// The last row of the page that can be resumed from; none keeps the cursor.
    pub cursor: Option<(Timestamp, String)>,
    pub newest_updated_at: Option<Timestamp>,
    pub newest_created_at: Option<Timestamp>,
    /// Where the durable cursor may go; none for a window, which does not move it.
    pub published_updated_at: Option<Timestamp>,
    pub source: String,
    pub cluster_id: String,
    pub raw_topic: String,
    pub raw_topic_id: Option<String>,
    /// Where the rows are in the raw log.
    pub acknowledged: Vec<Acknowledged>,
    /// Rows that Kafka cannot take.
    pub dead_letters: Vec<DeadLetter>,
    /// The columns that the source names, where they are not those of the page before.
    pub columns: Option<NamedColumns>,
}

/// Why a poll failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollError {
    pub code: String,
    pub stage: String,
    pub detail: String,
    pub http_status: Option<u16>,
    pub retryable: bool,
}

impl PollError {
    /// Reads the columns `error_…` of a poll, or of what tells of its end as a poll does.
    pub(in crate::store) fn from_row(row: &Row) -> Option<Self> {
        let code: Option<String> = row.get("error_code");
        let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
        let http_status: Option<i32> = row.get("error_http_status");
        code.map(|code| Self {
            code,
            stage: text("error_stage"),
            detail: text("error_detail"),
            http_status: http_status.and_then(|status| u16::try_from(status).ok()),
            retryable: row.get::<_, Option<bool>>("error_retryable").unwrap_or_default(),
        })
    }
}

/// How far a source has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePosition {
    pub published_updated_at: Option<Timestamp>,
    pub stored_updated_at: Option<Timestamp>,
    /// The Kafka that acknowledged what is published.
    pub kafka_cluster_id: Option<String>,
}

/// The end of a poll's records in a raw partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEnd {
    pub partition: i32,
    pub end_offset: i64,
    pub topic_id: Option<String>,
}

/// How often a poll goes back to the source because rows are missing, before it fails. Once is what a loss in
/// Kafka costs that nothing else has told of; a poll that is short again and again has a cause that reading
/// again does not mend.
const MAX_SETBACKS: i32 = 3;

impl Store {
    /// Records a page that Kafka has acknowledged: counts, the poll's cursor, the durable cursor (never
    /// backwards), and the dead letters of rows that Kafka cannot take. Repeating it changes nothing: the
    /// answer to a commit may be lost, and then the page is recorded already.
    pub async fn record_page(&self, id: Uuid, token: Uuid, page: &PageRecord) -> Result<(), LeaseError> {
        let (cursor_updated_at, cursor_row_id) = page.cursor.clone().unzip();
        let (rows, published, number) = (signed(page.rows)?, signed(page.published)?, signed(page.page)?);
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            let counted = transaction
                .execute(
                    "update nyc311.poll
                     set pages = $9, fetched = fetched + $3, published = published + $4,
                         cursor_updated_at = coalesce($5, cursor_updated_at),
                         cursor_row_id = case when $5::timestamptz is null then cursor_row_id else $6 end,
                         newest_source_updated_at = greatest(newest_source_updated_at, $7),
                         newest_created_at = greatest(newest_created_at, $8)
                     where poll_id = $1 and lease_token = $2 and state = 'running' and pages = $9::bigint - 1",
                    &[
                        &id,
                        &token,
                        &rows,
                        &published,
                        &cursor_updated_at,
                        &cursor_row_id,
                        &page.newest_updated_at,
                        &page.newest_created_at,
                        &number,
                    ],
                )
                .await?;
            if counted == 0 {
                let known = transaction
                    .query_opt(
                        "select from nyc311.poll
                         where poll_id = $1 and lease_token = $2 and state = 'running' and pages = $3",
                        &[&id, &token, &number],
                    )
                    .await?;
                return if known.is_some() { Ok(()) } else { Err(LeaseError::Lost) };
            }
            let log = logs::acknowledge(
                &transaction,
                &page.cluster_id,
                &page.raw_topic,
                page.raw_topic_id.as_deref(),
                &page.acknowledged,
            );
            match log.await? {
                RawLog::Grown => {}
                RawLog::SetBack => {
                    let sent =
                        logs::note_set_back(&transaction, &page.source, &page.cluster_id, &page.raw_topic)
                            .await?;
                    transaction.commit().await?;
                    sent.tell(&page.source, "rows of a page lie where older ones were acknowledged");
                    return Err(LeaseError::Lost);
                }
                RawLog::Unknown => {
                    let detail = format!("topic {} is not the one that is known", page.raw_topic);
                    return Err(StoreError::unavailable(detail).into());
                }
            }
            if let Some(reached) = &page.published_updated_at {
                transaction
                    .execute(
                        "insert into nyc311.source_position as s
                             (source, published_updated_at, kafka_cluster_id, raw_topic_id, poll_id, moved_at)
                         values ($1, $2, $3, $4, $5, now())
                         on conflict (source) do update
                         set published_updated_at =
                                 greatest(s.published_updated_at, excluded.published_updated_at),
                             kafka_cluster_id = excluded.kafka_cluster_id,
                             raw_topic_id = excluded.raw_topic_id, poll_id = excluded.poll_id, moved_at = now()",
                        &[&page.source, reached, &page.cluster_id, &page.raw_topic_id, &id],
                    )
                    .await?;
            }
            dead_letters::insert(&transaction, &page.dead_letters).await?;
            count_dead_letters(&transaction, id, &page.dead_letters).await?;
            let changes = match &page.columns {
                Some(columns) => drift::note_columns(&transaction, columns).await?,
                None => Vec::new(),
            };
            fault_point!("poller:record_page:before");
            transaction.commit().await?;
            fault_point!("poller:record_page:after");
            drift::tell_all(changes.iter().map(|(term, change)| (term, *change)));
            Ok(())
        })
        .await
    }

    /// Notes the end of the poll's records in each raw partition: from now on it waits for the tables.
    pub async fn begin_storing(
        &self,
        id: Uuid,
        token: Uuid,
        raw_topic_id: Option<&str>,
        raw_ends: &[(i32, i64)],
    ) -> Result<(), LeaseError> {
        let (partitions, ends): (Vec<i32>, Vec<i64>) = raw_ends.iter().copied().unzip();
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            let held = transaction
                .execute(
                    "update nyc311.poll
                     set state = 'storing', storing_at = coalesce(storing_at, now())
                     where poll_id = $1 and lease_token = $2 and state in ('running', 'storing')",
                    &[&id, &token],
                )
                .await?;
            if held == 0 {
                return Err(LeaseError::Lost);
            }
            // the ends of an earlier attempt say nothing about this one
            transaction
                .execute("update nyc311.poll_partition set raw_end_offset = null where poll_id = $1", &[&id])
                .await?;
            transaction
                .execute(
                    "insert into nyc311.poll_partition
                         (poll_id, kafka_partition, raw_end_offset, raw_topic_id)
                     select $1, kafka_partition, raw_end_offset, $4
                     from unnest($2::int[], $3::bigint[]) as e (kafka_partition, raw_end_offset)
                     order by kafka_partition
                     on conflict (poll_id, kafka_partition) do update
                     set raw_end_offset = excluded.raw_end_offset, raw_topic_id = excluded.raw_topic_id",
                    &[&id, &partitions, &ends, &raw_topic_id],
                )
                .await?;
            fault_point!("poller:begin_storing:before");
            transaction.commit().await?;
            fault_point!("poller:begin_storing:after");
            Ok(())
        })
        .await
    }

    /// Returns the ends that [`Store::begin_storing`] noted, by partition, each with the id of its log.
    pub async fn raw_ends(&self, id: Uuid) -> Result<Vec<RawEnd>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select kafka_partition, raw_end_offset, raw_topic_id from nyc311.poll_partition
                     where poll_id = $1 and raw_end_offset is not null order by kafka_partition",
                    &[&id],
                )
                .await?;
            let read = |row: &tokio_postgres::Row| RawEnd {
                partition: row.get(0),
                end_offset: row.get(1),
                topic_id: row.get(2),
            };
            Ok(rows.iter().map(read).collect())
        })
        .await
    }

    /// Ends a poll whose rows are in the tables: freezes its counts, and what is published from this
    /// source is stored now. (Whatever was published before the ends were noted lies before them, also
    /// the rows of an earlier poll that failed.)
    ///
    /// A poll of which fewer rows have arrived than it has fetched has lost some, whatever the positions say:
    /// it goes back to the source, a few times, and then fails. Either way it is no longer the caller's.
    pub async fn finish_poll(&self, id: Uuid, token: Uuid, source: &str) -> Result<(), LeaseError> {
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            let Some(poll) = transaction
                .query_opt(
                    &format!(
                        "select fetched - ({ARRIVED} - arrived_before), setbacks from nyc311.poll p
                         where poll_id = $1 and lease_token = $2 and state = 'storing' for no key update"
                    ),
                    &[&id, &token],
                )
                .await?
            else {
                return Err(LeaseError::Lost);
            };
            let (rows_missing, setbacks): (i64, i32) = (poll.get(0), poll.get(1));
            if rows_missing > 0 {
                return set_back(transaction, id, source, rows_missing, setbacks).await;
            }
            let sql = format!(
                "update nyc311.poll p
                 set state = 'succeeded', finished_at = now(), lease_token = null, lease_until = null,
                     {FROZEN_COUNTS}
                 where poll_id = $1"
            );
            transaction.execute(&sql, &[&id]).await?;
            transaction
                .execute(
                    "update nyc311.source_position
                     set stored_updated_at = greatest(stored_updated_at, published_updated_at),
                         moved_at = now()
                     where source = $1 and stored_updated_at is distinct from published_updated_at",
                    &[&source],
                )
                .await?;
            fault_point!("poller:finish:before");
            transaction.commit().await?;
            fault_point!("poller:finish:after");
            Ok(())
        })
        .await
    }

    /// Ends a poll with an error; its cursor stays for another attempt.
    pub async fn fail_poll(&self, id: Uuid, token: Uuid, error: &PollError) -> Result<(), LeaseError> {
        let status = error.http_status.map(i32::from);
        let client = self.client().await?;
        self.leased(async {
            let sql = format!(
                "update nyc311.poll p
                 set state = 'failed', finished_at = now(), lease_token = null, lease_until = null,
                     error_code = $3, error_stage = $4, error_detail = $5, error_http_status = $6,
                     error_retryable = $7, {FROZEN_COUNTS}
                 where poll_id = $1 and lease_token = $2 and state in ('running', 'storing')"
            );
            let detail = error.detail.replace('\0', "\u{fffd}");
            fault_point!("poller:fail:before");
            let held = client
                .execute(&sql, &[&id, &token, &error.code, &error.stage, &detail, &status, &error.retryable])
                .await?;
            fault_point!("poller:fail:after");
            if held == 0 { Err(LeaseError::Lost) } else { Ok(()) }
        })
        .await
    }

    /// Ends a poll as somebody asked; its cursor stays for another attempt.
    pub async fn finish_cancelled(&self, id: Uuid, token: Uuid) -> Result<(), LeaseError> {
        let client = self.client().await?;
        self.leased(async {
            let sql = format!(
                "update nyc311.poll p
                 set state = 'cancelled', finished_at = now(), lease_token = null, lease_until = null,
                     {FROZEN_COUNTS}
                 where poll_id = $1 and lease_token = $2 and state in ('running', 'storing')"
            );
            fault_point!("poller:cancel:before");
            let held = client.execute(&sql, &[&id, &token]).await?;
            fault_point!("poller:cancel:after");
            if held == 0 { Err(LeaseError::Lost) } else { Ok(()) }
        })
        .await
    }

    /// Returns how far a source has been read; none where it never was.
    pub async fn source_position(&self, source: &str) -> Result<Option<SourcePosition>, StoreError> {
        fault_point!("poller:read_cursor:before");
        let client = self.client().await?;
        self.bounded(async {
            let row = client
                .query_opt(
                    "select published_updated_at, stored_updated_at, kafka_cluster_id
                     from nyc311.source_position where source = $1",
                    &[&source],
                )
                .await?;
            Ok(row.map(|row| SourcePosition {
                published_updated_at: row.get(0),
                stored_updated_at: row.get(1),
                kafka_cluster_id: row.get(2),
            }))
        })
        .await
    }
}

/// Sends a poll that lacks rows back to the source, or lets it fail where that was tried often enough.
async fn set_back(
    transaction: deadpool_postgres::Transaction<'_>,
    id: Uuid,
    source: &str,
    rows_missing: i64,
    setbacks: i32,
) -> Result<(), LeaseError> {
    let detail = format!("{rows_missing} rows that were fetched have not arrived in the tables");
    let gives_up = setbacks >= MAX_SETBACKS;
    if gives_up {
        let sql = format!(
            "update nyc311.poll p
             set state = 'failed', finished_at = now(), error_code = 'rows_missing', error_stage = 'poller',
                 error_detail = $2, error_http_status = null, error_retryable = true, cursor_lost = true,
                 lease_token = null, lease_until = null, {FROZEN_COUNTS}
             where poll_id = $1"
        );
        let detail = format!("{detail}, after {setbacks} more attempts: is something else deleting records?");
        transaction.execute(&sql, &[&id, &detail]).await?;
    } else {
        let sql = "update nyc311.poll set setbacks = setbacks + 1 where poll_id = $1";
        transaction.execute(sql, &[&id]).await?;
    }
    let sent = logs::send_back(&transaction, source).await?;
    transaction.commit().await?;
    sent.tell(source, &detail);
    if gives_up {
        events::poll_entered(PollState::Failed);
        tracing::error!(poll_id = %id, code = "rows_missing", detail, "poll failed");
    }
    Err(LeaseError::Lost)
}

/// Adds dead letters to the counts of the poll that met them.
async fn count_dead_letters(
    transaction: &Transaction<'_>,
    id: Uuid,
    dead_letters: &[DeadLetter],
) -> Result<(), StoreError> {
    let mut by_partition: BTreeMap<i32, i64> = BTreeMap::new();
    for dead_letter in dead_letters {
        *by_partition.entry(dead_letter.raw_partition).or_default() += 1;
    }
    let (partitions, counts): (Vec<i32>, Vec<i64>) = by_partition.into_iter().unzip();
    transaction
        .execute(
            "insert into nyc311.poll_partition as n (poll_id, kafka_partition, dead_lettered)
             select $1, kafka_partition, dead_lettered
             from unnest($2::int[], $3::bigint[]) as d (kafka_partition, dead_lettered)
             order by kafka_partition
             on conflict (poll_id, kafka_partition) do update
             set dead_lettered = n.dead_lettered + excluded.dead_lettered",
            &[&id, &partitions, &counts],
        )
        .await?;
    Ok(())
}

fn signed(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::other("a count is out of range"))
}
