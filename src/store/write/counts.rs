//! Counts what a write does to the rows of each poll, by the raw partition that carried them.

use std::collections::BTreeMap;

use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use super::statements::COUNT_BY_POLL;
use crate::store::{DeadLetter, StoreError};

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outcomes {
    pub(super) stored: u64,
    pub(super) duplicate: u64,
    pub(super) reenriched: u64,
    pub(super) dead_lettered: u64,
}

/// Outcomes by poll and raw partition, in the order in which they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(BTreeMap<(Option<Uuid>, i32), Outcomes>);

impl Counts {
    pub(super) fn of(&mut self, poll_id: Option<Uuid>, raw_partition: i32) -> &mut Outcomes {
        self.0.entry((poll_id, raw_partition)).or_default()
    }

    pub(super) fn add_dead_letters(&mut self, dead_letters: &[DeadLetter]) {
        for dead_letter in dead_letters {
            self.of(dead_letter.poll_id, dead_letter.raw_partition).dead_lettered += 1;
        }
    }

    /// Adds the rows that the placing statement returns.
    pub(super) fn add_placed(&mut self, rows: &[Row]) {
        let count = |row: &Row, column: &str| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
        for row in rows {
            let outcomes = self.of(row.get("poll_id"), row.get("raw_partition"));
            outcomes.stored += count(row, "stored");
            outcomes.duplicate += count(row, "duplicate");
            outcomes.reenriched += count(row, "reenriched");
        }
    }

    pub(super) fn total(&self) -> Outcomes {
        self.0.values().fold(Outcomes::default(), |total, outcomes| Outcomes {
            stored: total.stored + outcomes.stored,
            duplicate: total.duplicate + outcomes.duplicate,
            reenriched: total.reenriched + outcomes.reenriched,
            dead_lettered: total.dead_lettered + outcomes.dead_lettered,
        })
    }

    /// Adds them to the polls' own counts.
    pub(super) async fn write(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let mut polls: Vec<Uuid> = Vec::new();
        let mut partitions: Vec<i32> = Vec::new();
        let mut columns: [Vec<i64>; 4] = Default::default();
        for ((poll_id, raw_partition), outcomes) in &self.0 {
            let Some(poll_id) = poll_id else { continue };
            polls.push(*poll_id);
            partitions.push(*raw_partition);
            let counted = [outcomes.stored, outcomes.duplicate, outcomes.reenriched, outcomes.dead_lettered];
            for (column, count) in columns.iter_mut().zip(counted) {
                column.push(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        if polls.is_empty() {
            return Ok(());
        }
        let [stored, duplicate, reenriched, dead_lettered] = &columns;
        transaction
            .execute(COUNT_BY_POLL, &[&polls, &partitions, stored, duplicate, reenriched, dead_lettered])
            .await?;
        Ok(())
    }
}
