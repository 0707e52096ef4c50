//! What the tests of the program share: a database, topics and processes of a test's own, sources to read
//! from, the oracle that says what the tables must hold, and the tools that break things.
//!
//! A suite names the program under test once, as a [`Program`], and asks it for whatever runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

pub mod batches;
mod binary;
mod certificates;
mod database;
pub mod deployment;
mod endpoint;
pub mod freezer;
mod http_client;
pub mod logs;
pub mod oracle;
mod process;
mod program;
mod proxy;
pub mod secure_kafka;
mod secure_postgres;
pub mod servers;
mod service;
pub mod source_rows;
pub mod topics;
mod waiting;
mod whole_topic;

pub use self::binary::{Binary, Ended};
pub use self::certificates::{Age, Authority, Pair};
pub use self::database::TestDatabase;
pub use self::endpoint::{Endpoint, stage};
pub use self::http_client::http_client;
pub use self::process::Process;
pub use self::program::Program;
pub use self::proxy::{Cut, Proxy};
pub use self::secure_postgres::SecurePostgres;
pub use self::service::{Service, assert_counts_add_up};
pub use self::topics::Topics;
pub use self::waiting::{eventually, within};
pub use self::whole_topic::each_record;
