//! What the processes of the path use: CPU time and memory, as the kernel counts them.

use std::path::Path;

use nyc311_testkit::{TestDatabase, servers};
use serde_json::{Value, json};

/// Linux tells CPU time in hundredths of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of CPU, by what used them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub nyc311: f64,
    pub postgres: f64,
    pub kafka: f64,
    pub simulator: f64,
    /// The benchmark itself, which is the client of the references.
    pub bench: f64,
}

impl Cpu {
    /// Returns what has been used since.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            nyc311: self.nyc311 - earlier.nyc311,
            postgres: self.postgres - earlier.postgres,
            kafka: self.kafka - earlier.kafka,
            simulator: self.simulator - earlier.simulator,
            bench: self.bench - earlier.bench,
        }
    }

    /// Returns the microseconds of each row.
    pub fn per_row(self, rows: u64) -> Self {
        let us = |seconds: f64| seconds * 1e6 / rows as f64;
        Self {
            nyc311: us(self.nyc311),
            postgres: us(self.postgres),
            kafka: us(self.kafka),
            simulator: us(self.simulator),
            bench: us(self.bench),
        }
    }

    pub fn json(self) -> Value {
        json!({
            "nyc311": self.nyc311,
            "postgresql": self.postgres,
            "kafka": self.kafka,
            "simulator": self.simulator,
            "bench": self.bench,
        })
    }
}

/// Knows the processes of the servers.
pub struct Meter {
    postmaster: u32,
    kafka: u32,
}

/// What /proc/PID/stat says of the time that a process has used.
struct Stat {
    parent: u32,
    own: f64,
    ended_children: f64,
}

fn stat(process: u32) -> Option<Stat> {
    let fields = servers::stat(process)?;
    let seconds = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: seconds(11)? + seconds(12)?,
        ended_children: seconds(13)? + seconds(14)?,
    })
}

impl Meter {
    /// Finds the server of the database, and the broker whose logs lie in the folder.
    pub async fn find(database: &TestDatabase, kafka_data: &Path) -> Self {
        Self { postmaster: servers::postmaster(database).await, kafka: servers::broker(kafka_data) }
    }

    /// Returns the version in the path of the broker's programs.
    pub fn kafka_version(&self) -> String {
        let command = servers::command_line(self.kafka);
        let mut parts = command.iter().flat_map(|argument| argument.split(['/', ':']));
        let version = parts.find_map(|part| part.strip_prefix("kafka-"));
        version.unwrap_or("unknown").to_owned()
    }

    /// Returns what each has used since it began. A process of the database that ends meanwhile is counted
    /// with its parent, so nothing is lost between two readings.
    pub fn read(&self, nyc311: &[u32], simulator: Option<u32>) -> Cpu {
        let own = |process: u32| stat(process).map_or(0.0, |stat| stat.own);
        let postmaster = stat(self.postmaster).expect("a running PostgreSQL");
        let children = servers::processes().filter_map(stat).filter(|stat| stat.parent == self.postmaster);
        Cpu {
            nyc311: nyc311.iter().copied().map(own).sum(),
            postgres: postmaster.own + postmaster.ended_children + children.map(|stat| stat.own).sum::<f64>(),
            kafka: own(self.kafka),
            simulator: simulator.map_or(0.0, own),
            bench: own(std::process::id()),
        }
    }
}

/// Returns the most memory that a process has held, in MiB.
pub fn peak_mib(process: u32) -> f64 {
    kib_of(&format!("/proc/{process}/status"), "VmHWM") / 1024.0
}

/// Returns what a file of the kernel says behind a name.
pub fn value_of(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

/// Returns a size that a file of the kernel tells in kB, which are 1,024 bytes there.
pub fn kib_of(file: &str, name: &str) -> f64 {
    let value = value_of(file, name).unwrap_or_else(|| panic!("{file} has no {name}"));
    value.trim_end_matches(" kB").parse().unwrap()
}
