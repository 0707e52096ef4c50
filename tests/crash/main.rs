//! What is left after a crash at each point: one test for each row of the tables in `docs/delivery.md`.
//!
//! The real binary runs as a child, is told by `faults.at_start` where to break, and is started again. What the tables
//! then say is held against a run of the same source that nothing disturbed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

#[path = "../integration/cluster.rs"]
#[allow(dead_code)]
mod cluster;
#[path = "../integration/oracle.rs"]
#[allow(dead_code)]
mod oracle;
#[path = "../integration/service.rs"]
#[allow(dead_code)]
mod service;
#[path = "../integration/store_database.rs"]
#[allow(dead_code)]
mod store_database;
#[path = "../integration/store_rows.rs"]
#[allow(dead_code)]
mod store_rows;

mod completion;
mod crashed;
mod enriched_to_postgres;
mod kafka_loss;
mod raw_to_enriched;
mod source_to_raw;
mod stages;
