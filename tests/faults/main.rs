//! What is left after a fault: a crash at each point, one test for each row of the tables in
//! `docs/delivery.md`; processes that are killed, threads that are frozen, connections that are cut, logs
//! that are lost; and limits that are waited out.
//!
//! The real binary runs as a child. What the tables then say is held against a run of the same source that
//! nothing disturbed.
//!
//! All this takes minutes, so plain `cargo test` leaves the suite alone: `make test-faults` runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod away;
mod broken_world;
mod completion;
mod crash_matrix;
mod crashed;
mod enriched_to_postgres;
mod game_day;
mod giving_way;
mod instance;
mod kafka_loss;
mod killed;
mod noting_a_loss;
mod odd_source;
mod open_transactions;
mod raw_to_enriched;
mod reconciliation;
mod rewind;
mod several;
mod slow_client;
mod source_to_raw;
mod stages;
mod standstill;

use nyc311_testkit::Program;

/// The program under test.
const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));
