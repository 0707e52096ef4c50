//! What the source has, and what of it arrived: the one witness of which rows there are, and of which there
//! were.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use nyc311::config::KafkaSettings;
use nyc311_simulator::Simulator;
use rdkafka::Message as _;
use serde_json::Value;

use crate::whole_topic::each_record;

/// A version of a request: its time in microseconds, and its text. Of two the later one is newer.
pub type Version = (i64, String);
/// A version and the request that it is of.
pub type VersionOf = (i64, Version);

/// Tells rows apart by their bytes, without keeping them.
fn mark(row: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish()
}

fn version_of(row: &[u8]) -> Option<VersionOf> {
    let row: Value = serde_json::from_slice(row).ok()?;
    let updated_at: Timestamp = row[":updated_at"].as_str()?.parse().ok()?;
    let version = row[":version"].as_str()?.to_owned();
    Some((row["unique_key"].as_str()?.parse().ok()?, (updated_at.as_microsecond(), version)))
}

/// The rows that a source has.
pub struct Source {
    /// The newest version of each request that is shown.
    pub shown: HashMap<i64, Version>,
    /// Every version that there is, by the bytes of its row, and what it says of the status.
    known: HashMap<u64, VersionOf>,
    /// Rows of no use that faults have put in.
    pub put_in: BTreeSet<Vec<u8>>,
}

impl Source {
    /// Asks the simulator for everything that it has.
    pub fn of(simulator: &Simulator) -> Self {
        let mut shown: HashMap<i64, Version> = HashMap::new();
        let mut known = HashMap::new();
        for version in simulator.versions() {
            let Some((key, found)) = version_of(&version.row) else { continue };
            if version.is_shown && shown.get(&key).is_none_or(|newest| *newest < found) {
                shown.insert(key, found.clone());
            }
            known.insert(mark(&version.row), (key, found));
        }
        let put_in = simulator.put_in().into_iter().map(String::into_bytes).collect();
        Self { shown, known, put_in }
    }
}

/// What the raw topic holds, held against the source.
pub struct Arrived {
    /// Where each record lies: partition and offset.
    pub places: HashSet<(i32, i64)>,
    /// The versions of each request.
    pub versions: HashMap<i64, BTreeSet<Version>>,
    /// What is no version of the source.
    pub others: BTreeSet<Vec<u8>>,
}

impl Arrived {
    /// Reads the topic whole.
    pub fn in_raw(kafka: &KafkaSettings, source: &Source) -> Self {
        let mut arrived = Self { places: HashSet::new(), versions: HashMap::new(), others: BTreeSet::new() };
        each_record(kafka, &kafka.raw_topic, |record| {
            arrived.places.insert((record.partition(), record.offset()));
            let row = record.payload().unwrap_or_default();
            match source.known.get(&mark(row)) {
                Some((key, version)) => {
                    arrived.versions.entry(*key).or_default().insert(version.clone());
                }
                None => {
                    arrived.others.insert(row.to_vec());
                }
            }
        });
        arrived
    }
}
