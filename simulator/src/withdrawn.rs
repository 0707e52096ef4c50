//! Rows that the source has no more, as an operator of the simulator says: it never announces that one is
//! gone, it only stops showing it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nyc311_domain::peek;
use parking_lot::RwLock;

use crate::soql::KnownColumns;
use crate::stamp::Stamp;
use crate::table::Table;

/// A table without the rows that were withdrawn.
pub struct Withdrawn {
    table: Arc<dyn Table>,
    /// The positions of all versions of all rows that are gone.
    gone: RwLock<BTreeSet<u64>>,
    /// Mostly there are none, and then nothing is asked for each row.
    is_any: AtomicBool,
}

impl Withdrawn {
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self { table, gone: RwLock::default(), is_any: AtomicBool::new(false) }
    }

    /// Withdraws the rows with these keys, and returns how many versions of them there are.
    pub fn withdraw(&self, keys: &[String]) -> usize {
        let keys: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        let mut row = Vec::new();
        let found: Vec<u64> = (0..self.table.len())
            .filter(|position| {
                row.clear();
                self.table.write_row(*position, &mut row);
                peek(&row).unique_key.is_some_and(|key| keys.contains(key.trim()))
            })
            .collect();
        self.gone.write().extend(&found);
        self.is_any.store(true, Ordering::Release);
        found.len()
    }

    /// Shows all rows again.
    pub fn bring_back(&self) {
        self.gone.write().clear();
        self.is_any.store(false, Ordering::Release);
    }

    /// Counts the versions that are gone.
    pub fn count(&self) -> usize {
        self.gone.read().len()
    }
}

impl Table for Withdrawn {
    fn len(&self) -> u64 {
        self.table.len()
    }

    fn stamp(&self, position: u64) -> Stamp {
        self.table.stamp(position)
    }

    fn is_shown(&self, position: u64, now_ms: i64) -> bool {
        let is_gone = self.is_any.load(Ordering::Acquire) && self.gone.read().contains(&position);
        !is_gone && self.table.is_shown(position, now_ms)
    }

    fn write_row(&self, position: u64, out: &mut Vec<u8>) {
        self.table.write_row(position, out);
    }

    fn created_date(&self, position: u64) -> Option<i64> {
        self.table.created_date(position)
    }

    fn publishes_after_creation(&self) -> bool {
        self.table.publishes_after_creation()
    }

    fn columns(&self) -> &KnownColumns {
        self.table.columns()
    }

    fn all_visible_at_ms(&self) -> i64 {
        self.table.all_visible_at_ms()
    }

    fn modified_at_ms(&self, now_ms: i64) -> i64 {
        self.table.modified_at_ms(now_ms)
    }

    fn first_at_or_after(&self, bound: Stamp) -> u64 {
        self.table.first_at_or_after(bound)
    }

    fn keeps_ties_together(&self) -> bool {
        self.table.keeps_ties_together()
    }
}
