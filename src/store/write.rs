//! Writes a batch of enriched rows, and everything that follows from it, in one transaction.
//!
//! # Delivery
//!
//! Everything that a batch changes becomes durable at one moment, the commit: the positions that it
//! covers, the facts, the history, the rollups, the dead letters, the counts of its polls. So
//!
//! - a crash anywhere before the commit leaves nothing, and whoever claims the partitions next reads the
//!   same records again from the stored positions;
//! - a crash after the commit, also before anybody heard of it, repeats nothing: the positions have
//!   moved. A caller that lost the connection during the commit and writes the batch again is told
//!   [`WriteError::Fenced`], because the positions are no longer where the batch begins;
//! - a writer that was taken over is refused by the epoch, whatever it still holds.
//!
//! And where records do come again (a page that was published twice, a rewind), the tables stay the same,
//! because they depend on the set of versions seen and on nothing else.
//!
//! # Order inside the transaction
//!
//! 1. COPY into a temporary table. A writer that stops in the middle of this holds no lock that another
//!    waits for, and no statement timeout of the server's applies; ours does. So of two batches of one
//!    process the later one is copied while the earlier one is written, and goes on when that one has ended
//!    ([`Turn`]). However it ended: the positions tell whether the later one follows.
//! 2. The positions, locked in the order of their keys and compared with the batch.
//! 3. The texts that many rows share, in the order of their numbers; a writer that brings a new one waits for
//!    another that brings the same.
//! 4. The facts, in the order of their keys. Triggers keep what is replaced and collect what it means
//!    for the rollups.
//! 5. In a statement of its own, so that it sees what 4 did: every version of the batch that is not current
//!    goes to the history; nothing is left for it where 4 wrote all rows as versions of their own. From 4 on
//!    each key of the batch is locked, by which every access to the history of a key is in turn.
//!    Then what was found gone from the source and is there again is marked so no more.
//! 6. The rollups, each in one upsert in the order of its cells; the one whose cells all writers share comes
//!    last. Until the commit a cell is locked.
//! 7. Dead letters, the counts of polls and the words of the source, in the order of their keys.
//! 8. The marks of likely duplicates. From here to the commit writers take turns, so it comes last: all else
//!    is done side by side.
//!
//! Why the marks are right: one lock of the transaction's, the turn, is taken before the look at the requests
//! of the seconds that the batch touched, and let go by the commit. Of two batches that touch one second, the
//! one that has the turn later looks after the other's commit, in a statement that begins then, so that it
//! sees all of it, and marks all requests of the second anew. Nothing of a second can be committed between a
//! look at it and the commit of the marks, for whoever touches it needs the turn first. A batch that touches
//! no second needs no turn: what it changes decides no mark. So each commit leaves the marks of the seconds
//! that it touched equal to a recount, whichever writer comes first.
//!
//! All writers take all locks in the same order, so they wait for each other and do not deadlock; but for 8,
//! which may find a twin that another writer is about to change. PostgreSQL reports such a conflict, and the
//! transaction is tried again.
//!
//! A batch that PostgreSQL refuses because of its data is searched for the rows to blame; they become
//! dead letters, and the rest is committed with the positions of all.

mod batch;
mod bisect;
mod counts;
mod encode;
mod statements;
mod texts;
mod turn;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use jiff::Timestamp;
use nyc311_domain::CONTENT;
use tokio_postgres::Transaction;

pub use self::batch::{IncomingRow, PositionAdvance, WriteBatch, WriteSummary};
use self::counts::Counts;
use self::encode::Encoded;
use self::texts::Texts;
pub use self::turn::{Ended, Turn};
use super::dead_letters::{self, DeadLetter};
use super::drift::Terms;
use super::{Store, StoreError};
use crate::fault_point;
use crate::faults::{Failure, Injected};
use crate::retry::CONFLICT;
use crate::telemetry::labels::{SetAside, StageName};

/// A transaction that meets a conflict is tried this often.
const ATTEMPTS: u32 = 6;
/// The triggers leave the rollups to the end of this transaction. No table is read whole because it is small
/// yet, or the planner believes so: the temporary ones alone have no index. What a statement has changed,
/// some ten megabytes, is read by several triggers, and stays in memory for them.
const SETTINGS: &str = "
    set local nyc311.writing = on;
    set local enable_seqscan = off;
    set local work_mem = '32MB'";
/// How long a transaction that is ready may wait for its turn, idle: for less than the server allows it.
const STAGED_AT_MOST: Duration = Duration::from_secs(5);
/// A batch is searched for refused rows this often: a row may hide behind another one's refusal.
const SEARCHES: u32 = 3;

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The partition has another owner, was rewound, or the batch was committed before. The batch is
    /// worthless: claim the position and go on from there.
    #[error(
        "position of {topic}/{partition} is not where the batch begins: \
         expected epoch {} offset {}, found {found:?}", expected.0, expected.1
    )]
    Fenced {
        topic: String,
        partition: i32,
        /// Epoch and offset that the batch carries.
        expected: (i64, i64),
        /// Epoch and offset that are stored.
        found: Option<(i64, i64)>,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for WriteError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Injected> for WriteError {
    fn from(fault: Injected) -> Self {
        match fault.failure {
            Failure::Fenced => {
                Self::Fenced { topic: fault.to_string(), partition: 0, expected: (0, 0), found: None }
            }
            _ => Self::Store(fault.into()),
        }
    }
}

/// What is to be committed: grows by the dead letters of refused rows.
struct Plan<'a> {
    batch: &'a WriteBatch,
    encoded: Encoded,
    /// Indices into the encoded rows.
    chosen: Vec<usize>,
    dead_letters: Vec<DeadLetter>,
    /// Counts of what is known before the transaction.
    counts: Counts,
    refused: u64,
    unreadable: u64,
    terms: Terms,
    texts: Texts,
}

impl Store {
    /// Writes a batch, whole or not at all, except for rows that PostgreSQL refuses.
    pub async fn write(&self, batch: &WriteBatch) -> Result<WriteSummary, WriteError> {
        self.write_after(&mut Turn::now(), batch).await
    }

    /// Writes a batch behind the one that its turn waits for: what needs no lock is done beside that one.
    #[tracing::instrument(level = "info", skip_all, fields(rows = batch.rows.len()))]
    pub async fn write_after(&self, turn: &mut Turn, batch: &WriteBatch) -> Result<WriteSummary, WriteError> {
        let started = Instant::now();
        if !batch.rows.is_sorted_by(|one, other| one.identity < other.identity) {
            return Err(StoreError::other("the rows of a batch are not sorted by identity").into());
        }
        fault_point!("writer:write:before");
        let mut plan = Plan::new(batch);
        let mut conflicts = 0;
        let mut pauses = CONFLICT.delays();
        let mut searches = 0;
        let summary = loop {
            let error = match self.commit(&plan, turn).await {
                Ok(counts) => break plan.summary(&counts, started.elapsed().saturating_sub(turn.waited())),
                Err(error) => error,
            };
            match &error {
                WriteError::Store(StoreError::Conflict { detail, .. }) if conflicts + 1 < ATTEMPTS => {
                    conflicts += 1;
                    tracing::warn!(attempt = conflicts, detail, "write conflict, trying again");
                    pauses.pause().await;
                }
                WriteError::Store(StoreError::Refused { .. }) if searches < SEARCHES => {
                    searches += 1;
                    let refused = self.find_refused(&plan.encoded, &plan.chosen).await?;
                    if refused.is_empty() {
                        return Err(error);
                    }
                    tracing::warn!(rows = refused.len(), "rows refused by the database");
                    plan.refuse(refused);
                }
                _ => return Err(error),
            }
        };
        tracing::debug!(?summary, "batch stored");
        Ok(summary)
    }

    /// Makes one attempt at the transaction.
    async fn commit(&self, plan: &Plan<'_>, turn: &mut Turn) -> Result<Counts, WriteError> {
        let mut client = self.writing_client().await?;
        let staged = self.stage(&mut client, plan).await?;
        let transaction = if turn.comes_within(STAGED_AT_MOST).await {
            staged
        } else {
            // An open transaction is not kept for longer, though it holds no lock.
            drop(staged);
            turn.comes_within(Duration::MAX).await;
            self.stage(&mut client, plan).await?
        };
        let work = async {
            fault_point!("writer:advance:before");
            advance_positions(&transaction, plan.batch).await?;
            fault_point!("writer:advance:after");
            let mut counts = plan.counts.clone();
            if plan.has_rows() {
                plan.texts.store(&transaction).await?;
                fault_point!("writer:upsert:before");
                plan.count_placed(&mut counts, store_incoming(&transaction, plan.all_named()).await?);
                bring_back(&transaction, plan.batch).await?;
                fault_point!("writer:upsert:after");
                apply_rollups(&transaction).await?;
                fault_point!("writer:rollups:after");
            }
            fault_point!("writer:dead_letters:before");
            dead_letters::insert(&transaction, &plan.dead_letters).await?;
            fault_point!("writer:dead_letters:after");
            resolve_dead_letters(&transaction, plan).await?;
            counts.write(&transaction).await?;
            let new_terms = self.note_terms(&transaction, &plan.terms).await?;
            if plan.has_rows() {
                transaction.execute("select nyc311.mark_duplicates()", &[]).await?;
            }
            fault_point!("writer:commit:before");
            transaction.commit().await?;
            self.terms_noted(&plan.terms, &new_terms);
            fault_point!("writer:commit:after");
            Ok(counts)
        };
        self.bounded(async { Ok(work.await) }).await?
    }

    /// Begins the transaction with all that needs no lock: the rows are copied.
    async fn stage<'c>(
        &self,
        client: &'c mut deadpool_postgres::Client,
        plan: &Plan<'_>,
    ) -> Result<deadpool_postgres::Transaction<'c>, StoreError> {
        self.bounded(async {
            let transaction = client.transaction().await?;
            if plan.has_rows() {
                self.copy_incoming(&transaction, &plan.encoded, &plan.chosen).await?;
            }
            Ok(transaction)
        })
        .await
    }

    /// Takes a connection whose session has the temporary tables.
    async fn writing_client(&self) -> Result<deadpool_postgres::Client, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            client.batch_execute(&statements::CREATE_INCOMING).await?;
            Ok(())
        })
        .await?;
        Ok(client)
    }

    /// Sends rows to the temporary table. The server's timeouts do not cover COPY.
    async fn copy_incoming(
        &self,
        transaction: &Transaction<'_>,
        encoded: &Encoded,
        chosen: &[usize],
    ) -> Result<(), StoreError> {
        transaction.batch_execute(SETTINGS).await?;
        fault_point!("writer:copy:before");
        let copy = async {
            let sink = transaction.copy_in::<_, Bytes>(&*statements::COPY_INCOMING).await?;
            futures_util::pin_mut!(sink);
            for message in encoded.copy_data(chosen) {
                sink.send(message).await?;
            }
            fault_point!("writer:copy_end:before");
            sink.finish().await?;
            fault_point!("writer:copy:after");
            Ok(())
        };
        let late = || Err(StoreError::timeout("copying a batch took too long"));
        self.in_time(self.limits.copy, copy).await.unwrap_or_else(late)
    }
}

impl<'a> Plan<'a> {
    fn new(batch: &'a WriteBatch) -> Self {
        let read = encode::encode(&batch.cluster_id, &batch.rows);
        let mut counts = Counts::default();
        for (poll_id, raw_partition, repeats) in &batch.folded {
            counts.of(*poll_id, *raw_partition).duplicate += repeats;
        }
        for row in read.folded.iter().filter_map(|source| batch.rows.get(*source)) {
            counts.of(row.poll_id, row.raw_partition).duplicate += 1;
        }
        let unreadable = read.unreadable.len() as u64;
        let mut dead_letters = batch.dead_letters.clone();
        dead_letters.extend(read.unreadable);
        counts.add_dead_letters(&dead_letters);
        let chosen = (0..read.encoded.rows().len()).collect();
        Self {
            batch,
            encoded: read.encoded,
            chosen,
            dead_letters,
            counts,
            refused: 0,
            unreadable,
            terms: read.terms,
            texts: read.texts,
        }
    }

    /// Tells whether there are rows to write: a batch that only moves positions, past control records, is
    /// spared what they need.
    fn has_rows(&self) -> bool {
        !self.chosen.is_empty()
    }

    /// Makes dead letters of rows.
    fn refuse(&mut self, refused: Vec<bisect::RefusedRow>) {
        self.chosen.retain(|index| refused.iter().all(|row| row.index != *index));
        self.refused += refused.len() as u64;
        let dead_letters: Vec<DeadLetter> = refused
            .into_iter()
            .filter_map(|refused| {
                let row = self.row(refused.index)?;
                Some(DeadLetter {
                    detail: Some(refused.detail),
                    ..row.dead_letter(StageName::Writer, SetAside::RefusedByDatabase, &self.batch.cluster_id)
                })
            })
            .collect();
        self.counts.add_dead_letters(&dead_letters);
        self.dead_letters.extend(dead_letters);
    }

    /// Returns how many rows there are; none where one could stand for a version in the history without being
    /// it: one that its content tells takes the place of one without a name.
    fn all_named(&self) -> Option<usize> {
        let mut rows = self.chosen.iter().filter_map(|index| self.row(*index));
        let has_name = |row: &IncomingRow| {
            let version = &*row.identity.source_version;
            !version.is_empty() && !version.starts_with(CONTENT)
        };
        rows.all(has_name).then_some(self.chosen.len())
    }

    fn count_placed(&self, counts: &mut Counts, placed: Placed) {
        match placed {
            Placed::Counted(rows) => counts.add_placed(&rows),
            Placed::AllStored => {
                for row in self.chosen.iter().filter_map(|index| self.row(*index)) {
                    counts.of(row.poll_id, row.raw_partition).stored += 1;
                }
            }
        }
    }

    fn row(&self, index: usize) -> Option<&IncomingRow> {
        self.batch.rows.get(self.encoded.rows().get(index)?.source)
    }

    fn summary(&self, counts: &Counts, duration: Duration) -> WriteSummary {
        let total = counts.total();
        WriteSummary {
            stored: total.stored,
            duplicate: total.duplicate,
            reenriched: total.reenriched,
            dead_lettered: total.dead_lettered,
            refused: self.refused,
            unreadable: self.unreadable,
            duration,
        }
    }
}

/// Locks the positions, compares them with the batch, and moves them.
async fn advance_positions(transaction: &Transaction<'_>, batch: &WriteBatch) -> Result<(), WriteError> {
    if batch.advances.is_empty() {
        return Ok(());
    }
    let topics: Vec<&str> = batch.advances.iter().map(|advance| &*advance.topic).collect();
    let partitions: Vec<i32> = batch.advances.iter().map(|advance| advance.partition).collect();
    let next_offsets: Vec<i64> = batch.advances.iter().map(|advance| advance.to).collect();
    let cluster_id = &*batch.cluster_id;

    let rows = transaction.query(statements::LOCK_POSITIONS, &[&cluster_id, &topics, &partitions]).await?;
    let stored: HashMap<(String, i32), (i64, i64)> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect();
    for advance in &batch.advances {
        let found = stored.get(&(advance.topic.to_string(), advance.partition)).copied();
        let expected = (advance.epoch, advance.from);
        if found != Some(expected) || advance.to < advance.from {
            return Err(WriteError::Fenced {
                topic: advance.topic.to_string(),
                partition: advance.partition,
                expected,
                found,
            });
        }
    }
    let (last_offsets, last_times): (Vec<Option<i64>>, Vec<Option<i64>>) = batch
        .advances
        .iter()
        .map(|advance| advance.last.map(|last| (last.offset, last.appended_at_ms)).unzip())
        .unzip();
    transaction
        .execute(
            statements::ADVANCE_POSITIONS,
            &[&cluster_id, &topics, &partitions, &next_offsets, &last_offsets, &last_times],
        )
        .await?;
    Ok(())
}

/// What became of the rows that were copied.
enum Placed {
    /// Each is now the version of its key, and was not known before.
    AllStored,
    /// The outcomes by poll and partition.
    Counted(Vec<tokio_postgres::Row>),
}

/// Moves what was copied into the facts and the history. Where as many rows were written as `all_named` says,
/// and none in place of the same version, nothing is left to place: none is late, and none is known.
async fn store_incoming(
    transaction: &Transaction<'_>,
    all_named: Option<usize>,
) -> Result<Placed, StoreError> {
    // these are planned anew each time: a plan that was made for an empty table must not be kept
    let written: i64 = transaction.query_one(&*statements::UPSERT_NEWEST, &[]).await?.get("written");
    if all_named.is_some_and(|rows| usize::try_from(written) == Ok(rows)) {
        let in_place = "select exists (select from pg_temp.reenriched)";
        if !transaction.query_one(in_place, &[]).await?.get::<_, bool>(0) {
            return Ok(Placed::AllStored);
        }
    }
    Ok(Placed::Counted(transaction.query(&*statements::PLACE_SUPERSEDED, &[]).await?))
}

/// Takes the mark from rows that were found gone from the source and that it has shown since, on a page that
/// arrived after that. What was fetched before says nothing, however often it is read again. (A page that was
/// under way when a row was found gone brings it back, until the next reconciliation finds it gone again.)
async fn bring_back(transaction: &Transaction<'_>, batch: &WriteBatch) -> Result<(), StoreError> {
    if !transaction.query_one(statements::ANY_WITHDRAWN, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    let withdrawn = transaction.query(statements::WITHDRAWN, &[]).await?;
    let withdrawn: HashMap<i64, Timestamp> = withdrawn.iter().map(|row| (row.get(0), row.get(1))).collect();
    let is_back = |row: &&IncomingRow| {
        let gone_at = withdrawn.get(&row.identity.unique_key);
        gone_at.is_some_and(|gone_at| row.fetched_at.is_some_and(|fetched_at| fetched_at > *gone_at))
    };
    let back: Vec<i64> = batch.rows.iter().filter(is_back).map(|row| row.identity.unique_key).collect();
    if !back.is_empty() {
        transaction.execute(statements::BRING_BACK, &[&back]).await?;
        tracing::info!(rows = back.len(), "rows that were gone from the source are there again");
    }
    Ok(())
}

async fn apply_rollups(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction.execute("select nyc311.apply_rollups()", &[]).await?;
    Ok(())
}

/// Marks the dead letters whose replay is now stored.
async fn resolve_dead_letters(transaction: &Transaction<'_>, plan: &Plan<'_>) -> Result<(), StoreError> {
    let resolved: Vec<&[u8]> = plan
        .chosen
        .iter()
        .filter_map(|index| plan.row(*index)?.replay_of.as_ref().map(<[u8; 32]>::as_slice))
        .collect();
    if resolved.is_empty() {
        return Ok(());
    }
    transaction.execute(statements::RESOLVE_DEAD_LETTERS, &[&resolved]).await?;
    Ok(())
}
