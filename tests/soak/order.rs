//! What the soak is told: how long, by which seed, on how many processes, with which servers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What `scripts/soak` has set.
pub struct Order {
    pub lasting: Duration,
    pub seed: u64,
    pub processes: usize,
    /// The folder with the logs of the broker.
    pub kafka_data: PathBuf,
    /// Where the processes and the servers that were started again log.
    pub logs: PathBuf,
}

/// Fewer could not hold the shortest burst and its recovery.
const SHORTEST: u64 = 10;
const LONGEST: u64 = 24 * 3_600;
/// More do not fit on the partitions.
const MOST_PROCESSES: u64 = 5;

impl Order {
    /// Reads the environment; says what to do where something is missing or wrong.
    pub fn read() -> Result<Self, String> {
        let text = |name: &str| {
            let given = std::env::var(format!("NYC311_SOAK_{name}")).ok().filter(|text| !text.is_empty());
            given.ok_or_else(|| {
                format!("NYC311_SOAK_{name} is not set: run `make soak`, which starts servers and sets it")
            })
        };
        let number = |name: &str, least: u64, most: u64| {
            let text = text(name)?;
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("{name} is a whole number from {least} to {most}, not: {text}"))
        };
        let order = Self {
            lasting: Duration::from_secs(number("SECONDS", SHORTEST, LONGEST)?),
            seed: number("SEED", 0, u64::MAX)?,
            processes: number("PROCESSES", 1, MOST_PROCESSES)? as usize,
            kafka_data: text("KAFKA_DATA")?.into(),
            logs: text("LOGS")?.into(),
        };
        for name in ["NYC311_DATABASE__URL", "NYC311_KAFKA__BOOTSTRAP_SERVERS"] {
            if std::env::var(name).is_err() {
                return Err(format!("{name} is not set: run `make soak`, which starts servers and sets it"));
            }
        }
        Ok(order)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SECONDS={} SEED={} PROCESSES={}", self.lasting.as_secs(), self.seed, self.processes)
    }
}
