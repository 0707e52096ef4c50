//! The result: a table for people, a line of JSON for comparing runs.

use std::fmt;

use serde_json::{Value, json};

use crate::environment::Machine;
use crate::latency::Latency;
use crate::small_polls::SmallPolls;
use crate::space::Space;
use crate::usage::Cpu;

/// A stretch of the path, or a reference: so many rows in so much time.
pub struct Leg {
    pub name: String,
    pub rows: u64,
    pub seconds: f64,
    /// What all processes used for it.
    pub cpu: Option<Cpu>,
    /// The most memory that a process of the program held.
    pub peak_mib: Option<f64>,
}

impl Leg {
    fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    /// Returns its rows a second in percent of another's.
    fn share_of(&self, other: &Self) -> f64 {
        self.rows_per_second() / other.rows_per_second() * 100.0
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "rows": self.rows,
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second(),
            "cpu_us_per_row": self.cpu.map(|cpu| cpu.per_row(self.rows).json()),
            "peak_mib": self.peak_mib,
        })
    }
}

/// All figures of a run.
pub struct Report {
    machine: Machine,
    rows: u64,
    pub legs: Vec<Leg>,
    pub copy: Option<Leg>,
    pub consumer: Option<Leg>,
    pub latencies: Vec<Latency>,
    pub small_polls: Option<SmallPolls>,
    pub space: Vec<Space>,
}

impl Report {
    pub fn new(machine: Machine, rows: u64) -> Self {
        Self {
            machine,
            rows,
            legs: Vec::new(),
            copy: None,
            consumer: None,
            latencies: Vec::new(),
            small_polls: None,
            space: Vec::new(),
        }
    }

    /// Returns everything as one value.
    pub fn json(&self) -> Value {
        let share = |leg: &Leg, reference: &Option<Leg>| reference.as_ref().map(|other| leg.share_of(other));
        let legs = self.legs.iter().map(|leg| {
            let mut value = leg.json();
            value["percent_of_copy"] = json!(share(leg, &self.copy));
            value["percent_of_consumer"] = json!(share(leg, &self.consumer));
            value
        });
        let latencies = self.latencies.iter().map(|latency| {
            let Latency { rate, rows, seconds, p50_ms, p99_ms } = latency;
            json!({ "rate": rate, "rows": rows, "seconds": seconds, "p50_ms": p50_ms, "p99_ms": p99_ms })
        });
        let small_polls = self.small_polls.as_ref().map(|small| {
            let SmallPolls { rows, polls, p50_ms, p99_ms } = small;
            json!({ "rows": rows, "polls": polls, "p50_ms": p50_ms, "p99_ms": p99_ms })
        });
        let space = self.space.iter().map(|space| {
            let Space { kind, name, rows, bytes } = space;
            json!({ "kind": kind, "name": name, "rows": rows, "bytes": bytes })
        });
        json!({
            "machine": self.machine.json(),
            "rows": self.rows,
            "legs": legs.collect::<Vec<_>>(),
            "copy": self.copy.as_ref().map(Leg::json),
            "consumer": self.consumer.as_ref().map(Leg::json),
            "latencies": latencies.collect::<Vec<_>>(),
            "small_polls": small_polls,
            "space": space.collect::<Vec<_>>(),
        })
    }
}

/// Writes a number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} %"))
}

/// Writes the first cell to the left and the others to the right.
fn line(f: &mut fmt::Formatter<'_>, first: &str, cells: &[String]) -> fmt::Result {
    write!(f, "{first:<40}")?;
    for cell in cells {
        write!(f, " {cell:>10}")?;
    }
    writeln!(f)
}

fn head(f: &mut fmt::Formatter<'_>, first: &str, cells: &[&str]) -> fmt::Result {
    writeln!(f)?;
    line(f, first, &cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>())
}

impl Report {
    fn leg(&self, f: &mut fmt::Formatter<'_>, leg: &Leg, is_reference: bool) -> fmt::Result {
        let cpu = leg.cpu.map(|cpu| cpu.per_row(leg.rows));
        let share = |reference: &Option<Leg>| {
            percent(reference.as_ref().filter(|_| !is_reference).map(|other| leg.share_of(other)))
        };
        let cells = [
            grouped(leg.rows),
            format!("{:.2}", leg.seconds),
            grouped(leg.rows_per_second().round() as u64),
            // The client of a reference is the benchmark itself.
            or_dash(cpu.map(|cpu| if is_reference { cpu.bench } else { cpu.nyc311 })),
            or_dash(cpu.map(|cpu| cpu.postgres)),
            or_dash(cpu.map(|cpu| cpu.kafka)),
            or_dash(cpu.map(|cpu| cpu.simulator).filter(|used| *used > 0.0)),
            or_dash(leg.peak_mib),
            share(&self.copy),
            share(&self.consumer),
        ];
        line(f, &leg.name, &cells)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.machine)?;
        writeln!(f, "rows     {} of a generated city", grouped(self.rows))?;
        head(
            f,
            "",
            &["", "", "", "CPU us/row", "CPU us/row", "CPU us/row", "CPU us/row", "peak", "of", "of"],
        )?;
        let heads = ["rows", "s", "rows/s", "nyc311", "PostgreSQL", "Kafka", "simulator", "MiB"];
        let heads = heads.into_iter().chain(["COPY", "consumer"]).map(str::to_owned);
        line(f, "what", &heads.collect::<Vec<_>>())?;
        self.legs.iter().try_for_each(|leg| self.leg(f, leg, false))?;
        let references = [&self.copy, &self.consumer];
        references.into_iter().flatten().try_for_each(|leg| self.leg(f, leg, true))?;

        head(f, "answer of the source to committed rollup", &["rows", "rows/s", "p50 ms", "p99 ms"])?;
        for latency in &self.latencies {
            let cells = [
                grouped(latency.rows),
                format!("{:.1}", latency.rows as f64 / latency.seconds),
                format!("{:.0}", latency.p50_ms),
                format!("{:.0}", latency.p99_ms),
            ];
            line(f, &format!("a source that shows {} rows/s", grouped(latency.rate.into())), &cells)?;
        }
        writeln!(
            f,
            "(each row: the fetched-at of its record, until a query every 5 ms saw the position move,"
        )?;
        writeln!(f, "which the transaction of rows and rollups moves; a poll a second; over 20 s)")?;

        if let Some(small) = &self.small_polls {
            head(f, "last page of a poll to its success", &["polls", "rows each", "p50 ms", "p99 ms"])?;
            let cells = [
                small.polls.to_string(),
                grouped(small.rows),
                format!("{:.0}", small.p50_ms),
                format!("{:.0}", small.p99_ms),
            ];
            line(f, "a small poll, with nothing else to do", &cells)?;
        }

        head(f, "space, tables with their indexes", &["rows", "MiB", "bytes/row", "bytes/row"])?;
        line(f, "", &["", "", "of its own", "of source"].map(str::to_owned))?;
        let (large, small): (Vec<_>, Vec<_>) =
            self.space.iter().partition(|space| space.kind == "topic" || space.bytes >= 1 << 20);
        for space in large {
            let cells = [
                grouped(space.rows),
                format!("{:.1}", space.bytes as f64 / 1_048_576.0),
                grouped(space.bytes / space.rows),
                grouped(space.bytes / self.rows),
            ];
            line(f, &format!("{} {}", space.kind, space.name), &cells)?;
        }
        let bytes: u64 = small.iter().map(|space| space.bytes).sum();
        let cells = [
            grouped(small.iter().map(|space| space.rows).sum()),
            format!("{:.1}", bytes as f64 / 1_048_576.0),
            "-".to_owned(),
            grouped(bytes / self.rows),
        ];
        line(f, &format!("{} tables of less than 1 MiB", small.len()), &cells)?;
        writeln!(f)
    }
}
