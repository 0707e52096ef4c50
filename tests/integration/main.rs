//! The one integration binary: every test runs against real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod answering;
mod api_description;
mod asking;
mod cli_check;
mod cli_first_hour;
mod cli_poll;
mod cli_reconcile;
mod cli_replay;
mod cli_screen;
mod cli_settings;
mod described_requests;
mod documents;
mod drift;
mod http;
mod http_faults;
mod http_reconciliations;
mod https;
mod instance;
mod kafka;
mod kafka_flow;
mod kafka_logs;
mod kafka_topics;
mod odd_source;
mod oracle;
mod pipeline;
mod reconciliation;
mod reconciliation_stand_in;
mod secure_database;
mod socrata;
mod store_fitness;
mod store_lean;
mod store_logs;
mod store_plans;
mod store_polls;
mod store_reconciliations;
mod store_turn;
mod store_twins;
mod store_versions;
mod store_views;
mod store_write;

use nyc311_testkit::Program;

/// The program under test.
const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));
