//! Kafka over TLS, towards a real broker that demands it: `make test-secure`. The program is built with the
//! feature kafka-tls, so it is a suite of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod connections;
mod refusals;

use nyc311_testkit::Program;

/// The program under test.
const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));

/// Writes properties as the setting takes them.
fn properties(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    serde_json::Value::Object(pairs.collect()).to_string()
}
