//! What the benchmark is told, and the machine that it runs on.

use std::fmt;
use std::path::PathBuf;

use nyc311_testkit::TestDatabase;
use serde_json::{Value, json};

use crate::usage::{Meter, kib_of, value_of};

/// The servers and the rows to measure with.
pub struct Environment {
    pub rows: u64,
    /// A file of real rows.
    pub feed: Option<PathBuf>,
    /// The folder in which the broker has its logs.
    pub kafka_data: PathBuf,
}

/// What the servers' addresses are told by; the benchmark measures their processes, so it wants its own.
const NEEDED: [&str; 3] =
    ["NYC311_DATABASE__URL", "NYC311_KAFKA__BOOTSTRAP_SERVERS", "NYC311_BENCH_KAFKA_DATA"];
const DEFAULT_ROWS: u64 = 200_000;
/// With fewer a leg is over before its first batch is.
const FEWEST_ROWS: u64 = 20_000;

impl Environment {
    /// Reads what `scripts/bench_path` has set; says what to do where it has not.
    pub fn read() -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(missing) = NEEDED.into_iter().find(|name| variable(name).is_none()) {
            return Err(format!(
                "{missing} is not set: run `make bench-path`, which starts servers and sets it"
            ));
        }
        let rows = match variable("NYC311_BENCH_ROWS") {
            None => DEFAULT_ROWS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|rows| *rows >= FEWEST_ROWS)
                .ok_or_else(|| format!("ROWS is a number of rows from {FEWEST_ROWS} on, not: {text}"))?,
        };
        let feed = variable("NYC311_BENCH_FEED").map(PathBuf::from);
        if let Some(feed) = feed.as_ref().filter(|feed| !feed.is_file()) {
            return Err(format!("FEED is a file of rows; cannot read: {}", feed.display()));
        }
        let kafka_data = variable(NEEDED[2]).map(PathBuf::from).unwrap_or_default();
        Ok(Self { rows, feed, kafka_data })
    }
}

/// Where and when a run took place: figures of two machines, or of two versions of a server, do not compare.
pub struct Machine {
    date: jiff::Timestamp,
    commit: &'static str,
    cores: usize,
    processor: String,
    memory_gib: f64,
    postgres: String,
    kafka: String,
}

impl Machine {
    pub async fn describe(database: &TestDatabase, meter: &Meter) -> Self {
        let version = "select split_part(current_setting('server_version'), ' ', 1) as version";
        let postgres = database.json(version).await[0]["version"].as_str().unwrap().to_owned();
        Self {
            date: jiff::Timestamp::now(),
            commit: option_env!("GIT_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown"),
            cores: std::thread::available_parallelism().unwrap().get(),
            processor: value_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_gib: kib_of("/proc/meminfo", "MemTotal") / 1_048_576.0,
            postgres,
            kafka: meter.kafka_version(),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "date": self.date.to_string(),
            "commit": self.commit,
            "cores": self.cores,
            "processor": self.processor,
            "memory_gib": self.memory_gib,
            "postgresql": self.postgres,
            "kafka": self.kafka,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, commit, cores, processor, memory_gib, postgres, kafka } = self;
        writeln!(f, "date     {}, commit {commit}", date.strftime("%Y-%m-%d %H:%M UTC"))?;
        writeln!(f, "machine  {cores} cores ({processor}), {memory_gib:.1} GiB of memory")?;
        writeln!(f, "servers  PostgreSQL {postgres} with fsync, Apache Kafka {kafka}, on the same machine")
    }
}
