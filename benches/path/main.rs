//! Measures the whole path of the program against real servers: how many rows a second, what they cost each
//! process, how late they arrive, what they take up; and beside it what the same servers do for a plain COPY
//! and a bare consumer.
//!
//! `make bench-path` starts the servers and runs it; docs/performance.md says what is measured and how.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a benchmark that cannot go on fails

mod environment;
mod latency;
mod legs;
mod polling;
mod references;
mod report;
mod small_polls;
mod source;
mod space;
mod usage;
mod whole;

use std::process::ExitCode;

use nyc311_testkit::{Program, TestDatabase};

use self::environment::{Environment, Machine};
use self::report::Report;
use self::source::Source;
use self::usage::Meter;

const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));
/// How many rows the servers have seen before anything is measured.
const WARM_UP_ROWS: u64 = 60_000;
/// What an hour of the city's day changes.
const SMALL_POLL_ROWS: u64 = 500;
/// Rows a second at which latency is measured: a night of the city at full speed, and a trickle.
const LATENCY_RATES: [u32; 2] = [1_000, 10];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Environment::read() {
        Ok(environment) => measure(&environment).await,
        Err(problem) => {
            eprintln!("path: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn measure(environment: &Environment) {
    let administration = TestDatabase::create_empty().await;
    let meter = Meter::find(&administration, &environment.kafka_data).await;
    let machine = Machine::describe(&administration, &meter).await;
    let mut report = Report::new(machine, environment.rows);

    say(&format!("{WARM_UP_ROWS} rows that are not counted, for servers that have just started"));
    whole::warm_up(PROGRAM, WARM_UP_ROWS).await;
    say(&format!("{} rows of a generated city, from the trigger to success", environment.rows));
    let city = Source::city(PROGRAM, environment.rows).await;
    let service = whole::measure(PROGRAM, &meter, &city, "generated rows", &mut report).await;
    report.space = space::measure(&service, environment).await;
    say("references: a bare consumer, a plain COPY");
    report.consumer = Some(references::consume(&service, &meter).await);
    report.copy = Some(references::copy(&service.database, &meter).await);
    drop(service);

    say("from the raw topic to the tables");
    legs::measure(PROGRAM, &meter, &city, &mut report).await;
    drop(city);

    match &environment.feed {
        Some(feed) => {
            say(&format!("the rows of {}, from the trigger to success", feed.display()));
            let source = Source::file(PROGRAM, feed, &[]).await;
            drop(whole::measure(PROGRAM, &meter, &source, "rows of the feed", &mut report).await);
        }
        None => say("skipped: real rows, since FEED names no file of them"),
    }

    let paced = source::PacedRows::invent(PROGRAM).await;
    for rate in LATENCY_RATES {
        say(&format!("latency at {rate} rows/s"));
        report.latencies.push(latency::measure(PROGRAM, &paced, rate).await);
    }
    say(&format!("polls of {SMALL_POLL_ROWS} rows"));
    report.small_polls = Some(small_polls::measure(PROGRAM, &paced, SMALL_POLL_ROWS).await);
    print!("{report}");
    println!("{}", report.json());
}

/// Says on stderr what is being done; stdout has the result alone.
fn say(what: &str) {
    eprintln!("path: {what}");
}
