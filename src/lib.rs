//! nyc311: from the Socrata API through Kafka to PostgreSQL, exactly once.

pub mod actors;
pub mod cli;
pub mod config;
pub mod faults;
pub mod http;
pub mod kafka;
pub mod messages;
pub mod retry;
pub mod simulator;
pub mod socrata;
pub mod store;
pub mod supervision;
pub mod telemetry;
