//! The rows of files as a table.

use std::ops::Range;

use crate::soql::KnownColumns;
use crate::stamp::Stamp;
use crate::table::Table;

/// A version of a row: where its text lies, and when the source shows it.
#[derive(Debug)]
pub struct Version {
    pub stamp: Stamp,
    pub visible_at_ms: i64,
    /// When a newer version of the same key becomes visible.
    pub superseded_at_ms: i64,
    pub row: Range<usize>,
    /// The members to put in before the row's last brace.
    pub added: Range<usize>,
}

/// All rows of some files, in memory as they were written.
pub struct FileTable {
    pub rows: Vec<u8>,
    pub added: Vec<u8>,
    pub versions: Vec<Version>,
    pub columns: KnownColumns,
    pub shows_every_version: bool,
    pub has_ties: bool,
}

impl FileTable {
    fn version(&self, position: u64) -> &Version {
        &self.versions[position as usize]
    }
}

impl Table for FileTable {
    fn len(&self) -> u64 {
        self.versions.len() as u64
    }

    fn stamp(&self, position: u64) -> Stamp {
        self.version(position).stamp
    }

    fn is_shown(&self, position: u64, now_ms: i64) -> bool {
        let version = self.version(position);
        version.visible_at_ms <= now_ms && (self.shows_every_version || now_ms < version.superseded_at_ms)
    }

    fn write_row(&self, position: u64, out: &mut Vec<u8>) {
        let version = self.version(position);
        let row = &self.rows[version.row.clone()];
        let added = &self.added[version.added.clone()];
        match row {
            [body @ .., b'}'] if !added.is_empty() => {
                out.extend_from_slice(body);
                out.extend_from_slice(added);
                out.push(b'}');
            }
            _ => out.extend_from_slice(row),
        }
    }

    fn columns(&self) -> &KnownColumns {
        &self.columns
    }

    fn all_visible_at_ms(&self) -> i64 {
        self.versions.iter().map(|version| version.visible_at_ms).max().unwrap_or(0)
    }

    fn keeps_ties_together(&self) -> bool {
        self.has_ties
    }
}
