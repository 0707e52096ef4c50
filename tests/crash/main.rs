//! What is left after a crash at each point: one test for each row of the tables in `docs/delivery.md`.
//!
//! The real binary runs as a child, is told by `faults.at_start` where to break, and is started again. What the tables
//! then say is held against a run of the same source that nothing disturbed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod completion;
mod crashed;
mod enriched_to_postgres;
mod kafka_loss;
mod raw_to_enriched;
mod source_to_raw;
mod stages;

use nyc311_testkit::Program;

/// The program under test.
const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));
