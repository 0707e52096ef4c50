//! Reads files and puts their rows into the source's order.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use nyc311_json::{blank, members, sound_value, value_end};

use super::system_fields::{Found, place};
use super::table::{FileTable, Version};
use crate::night;
use crate::soql::{KnownColumns, SYSTEM_FIELDS};
use crate::stamp::Stamp;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error("{path} line {line} is neither json nor a row in braces, at byte {at} of the line")]
    NotJson { path: String, line: usize, at: usize },
}

/// A version before its neighbours are known.
struct Loaded {
    version: Version,
    /// What the versions of one row have in common: the key, or for a row without one all of it.
    key: Range<usize>,
    version_text: Vec<u8>,
}

/// Reads files, `.gz` ones unpacked. Rows become visible up to `visible_after_ms` after their stamp.
pub fn load(
    paths: &[PathBuf],
    shows_every_version: bool,
    visible_after_ms: i64,
) -> Result<FileTable, LoadError> {
    let mut rows = Vec::new();
    let mut loader = Loader { columns: KnownColumns::default(), ..Loader::default() };
    for path in paths {
        let start = rows.len();
        unpack(path, &mut rows)
            .map_err(|error| LoadError::Unreadable { path: path.display().to_string(), error })?;
        loader.read_lines(&rows, start, path, visible_after_ms)?;
    }
    rows.shrink_to_fit();
    let versions = loader.finish(&rows);
    let has_ties = versions.is_sorted_by(|left, right| left.stamp < right.stamp);
    Ok(FileTable {
        rows,
        added: loader.added,
        versions,
        columns: loader.columns,
        shows_every_version,
        has_ties: !has_ties,
    })
}

fn unpack(path: &Path, out: &mut Vec<u8>) -> io::Result<()> {
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, file)).read_to_end(out)?;
    } else {
        file.read_to_end(out)?;
    }
    // The next file's first line must not continue this one's last.
    out.push(b'\n');
    Ok(())
}

#[derive(Default)]
struct Loader {
    columns: KnownColumns,
    seen: HashSet<Vec<u8>>,
    added: Vec<u8>,
    loaded: Vec<Loaded>,
}

impl Loader {
    fn read_lines(
        &mut self,
        text: &[u8],
        mut start: usize,
        path: &Path,
        visible_after_ms: i64,
    ) -> Result<(), LoadError> {
        for (index, line) in text[start..].split(|byte| *byte == b'\n').enumerate() {
            let (first, end) = (blank(text, start).min(start + line.len()), start + line.len());
            start = end + 1;
            if first == end {
                continue;
            }
            let not_json = |at: usize| LoadError::NotJson {
                path: path.display().to_string(),
                line: index + 1,
                at: at - first,
            };
            let (row, found) = self.read_line(&text[..end], first).map_err(not_json)?;
            self.add(text, row, &found, visible_after_ms);
        }
        Ok(())
    }

    /// Returns where the row lies, and what it says of itself.
    fn read_line(&mut self, text: &[u8], first: usize) -> Result<(Range<usize>, Found), usize> {
        let mut found = Found::default();
        let end = if text[first] == b'{' {
            let (seen, columns) = (&mut self.seen, &mut self.columns);
            members(text, first, |name, value| {
                let name = &text[name];
                if !seen.contains(name) {
                    seen.insert(name.to_vec());
                    columns.add(&String::from_utf8_lossy(name));
                }
                found.note(text, name, value);
            })
        } else {
            value_end(text, first)
        };
        let sound = end.map_err(|malformed| malformed.at).and_then(|end| match blank(text, end) {
            rest if rest < text.len() => Err(rest),
            _ => Ok(end),
        });
        match (sound, text[first..].trim_ascii_end()) {
            (Ok(end), _) => Ok((first..end, found)),
            // Not quite JSON, but a row: the source has such, and they are served as they are.
            (Err(_), row @ [b'{', .., b'}']) => {
                let mut found = Found::default();
                for name in FIELDS {
                    if let Some(value) = sound_value(row, name) {
                        found.note(text, name, first + value.start..first + value.end);
                    }
                }
                Ok((first..first + row.len(), found))
            }
            (Err(at), _) => Err(at),
        }
    }

    fn add(&mut self, text: &[u8], row: Range<usize>, found: &Found, visible_after_ms: i64) {
        let placed = place(text, &row, found);
        let start = self.added.len();
        self.added.extend_from_slice(&placed.added);
        let late_ms = night::lateness_ms(visible_after_ms, placed.row_number);
        let version = Version {
            stamp: Stamp { updated_at: placed.updated_at, row_number: placed.row_number },
            visible_at_ms: placed.updated_at.as_millisecond() + late_ms,
            superseded_at_ms: i64::MAX,
            row: row.clone(),
            added: start..self.added.len(),
        };
        let key = found.unique_key.clone().unwrap_or(row);
        self.loaded.push(Loaded { version, key, version_text: placed.version });
    }

    /// Drops repeated versions, finds out which version gives way to which, and sorts by stamp.
    fn finish(&mut self, text: &[u8]) -> Vec<Version> {
        let mut loaded = std::mem::take(&mut self.loaded);
        loaded.sort_by(|left, right| {
            let key = text[left.key.clone()].cmp(&text[right.key.clone()]);
            let time = left.version.stamp.updated_at.cmp(&right.version.stamp.updated_at);
            key.then(time).then_with(|| left.version_text.cmp(&right.version_text))
        });
        loaded.dedup_by(|later, earlier| {
            text[later.key.clone()] == text[earlier.key.clone()]
                && later.version.stamp.updated_at == earlier.version.stamp.updated_at
                && later.version_text == earlier.version_text
        });
        for index in (1..loaded.len()).rev() {
            if text[loaded[index].key.clone()] == text[loaded[index - 1].key.clone()] {
                let newer = &loaded[index].version;
                loaded[index - 1].version.superseded_at_ms = newer.visible_at_ms.min(newer.superseded_at_ms);
            }
        }
        let mut versions: Vec<Version> = loaded.into_iter().map(|loaded| loaded.version).collect();
        versions.sort_by_key(|version| version.stamp);
        versions
    }
}

/// The fields that place a row, of which [`Found::note`] takes note.
const FIELDS: [&[u8]; 8] = [
    b"unique_key",
    b"created_date",
    b"closed_date",
    b"resolution_action_updated_date",
    b":id",
    b":version",
    b":created_at",
    b":updated_at",
];

impl Found {
    fn note(&mut self, text: &[u8], name: &[u8], value: Range<usize>) {
        let inner = match &text[value.clone()] {
            [b'"', .., b'"'] => value.start + 1..value.end - 1,
            b"null" => return,
            _ => value,
        };
        match name {
            b"unique_key" => self.unique_key = Some(inner),
            b"created_date" => self.created_date = Some(inner),
            b"closed_date" => self.closed_date = Some(inner),
            b"resolution_action_updated_date" => self.resolution_date = Some(inner),
            [b':', ..] => {
                if let Some(field) = SYSTEM_FIELDS.iter().position(|field| field.as_bytes() == name) {
                    self.system[field] = Some(inner);
                }
            }
            _ => {}
        }
    }
}
