//! What all requests share: the table, the clock, the faults, and what is counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;

use crate::city::{City, Plan};
use crate::clock::{Clock, milliseconds};
use crate::faults::Faults;
use crate::files::{self, LoadError};
use crate::options::SimulatorOptions;
use crate::table::Table;
use crate::withdrawn::Withdrawn;

/// The dataset that is served, as the city names it.
pub const DATASET: &str = "erm2-nwe9";
/// The clock stands so far after the last row, unless it is set: the durable cursor keeps two hours' distance
/// from it.
const REST_AFTER_LAST_ROW: Duration = Duration::from_secs(3 * 60 * 60);

/// What all requests share.
pub struct SimulatorState {
    pub table: Withdrawn,
    pub clock: Clock,
    pub faults: Faults,
    pub token: Option<String>,
    pub gzip: bool,
    pub requests: AtomicU64,
    pub malformed_rows: AtomicU64,
    /// The rows that faults have put into pages, each once: as many as there are texts of faults.
    pub put_in: Mutex<BTreeSet<String>>,
}

impl SimulatorState {
    /// Loads what is to be served, and sets the clock.
    pub fn load(options: &SimulatorOptions) -> Result<Self, LoadError> {
        let late_ms = milliseconds(options.visible_after);
        let table: Arc<dyn Table> = if options.file.is_empty() {
            Arc::new(City::new(Plan {
                requests: options.rows,
                requests_per_day: options.rows_per_day,
                seed: options.seed,
                shows_every_version: options.every_version,
                visible_after_ms: late_ms,
            }))
        } else {
            Arc::new(files::load(&options.file, options.every_version, late_ms)?)
        };
        let start_ms = options.clock.map_or_else(
            || table.all_visible_at_ms() + milliseconds(REST_AFTER_LAST_ROW),
            |clock| clock.as_millisecond(),
        );
        let faults = Faults::default();
        for fault in &options.fault {
            faults.add(fault.clone());
        }
        Ok(Self {
            table: Withdrawn::new(table),
            clock: Clock::new(start_ms, options.clock_rate, options.clock_step),
            faults,
            token: options.token.clone(),
            gzip: options.gzip,
            requests: AtomicU64::new(0),
            malformed_rows: AtomicU64::new(0),
            put_in: Mutex::default(),
        })
    }
}
