//! Rows from NDJSON files, served byte for byte.
//!
//! A row without system fields gets them as a function of itself alone, so the same file always makes the same
//! source, whatever lies beside it: the id comes from the key, the version from the bytes, the times from the night
//! after the latest sane date in the row.

mod load;
mod system_fields;

use std::ops::Range;
use std::path::PathBuf;

use super::soql::Columns;
use super::table::{Stamp, Table};

pub use load::LoadError;

/// A version of a row: where its text lies, and when the source shows it.
#[derive(Debug)]
struct Version {
    stamp: Stamp,
    visible_at_ms: i64,
    /// When a newer version of the same key becomes visible.
    superseded_at_ms: i64,
    row: Range<usize>,
    /// The members to put in before the row's last brace.
    added: Range<usize>,
}

/// All rows of some files, in memory as they were written.
pub struct FileTable {
    rows: Vec<u8>,
    added: Vec<u8>,
    versions: Vec<Version>,
    columns: Columns,
    shows_every_version: bool,
    has_ties: bool,
}

impl FileTable {
    /// Reads files, `.gz` ones unpacked. Rows become visible up to `visible_after_ms` after their stamp.
    pub fn load(
        paths: &[PathBuf],
        shows_every_version: bool,
        visible_after_ms: i64,
    ) -> Result<Self, LoadError> {
        load::load(paths, shows_every_version, visible_after_ms)
    }

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

    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn all_visible_at_ms(&self) -> i64 {
        self.versions.iter().map(|version| version.visible_at_ms).max().unwrap_or(0)
    }

    fn keeps_ties_together(&self) -> bool {
        self.has_ties
    }
}
