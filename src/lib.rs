//! nyc311: from the Socrata API through Kafka to PostgreSQL, exactly once.

pub mod actors;
mod causes;
pub mod cli;
pub mod config;
pub mod faults;
pub mod http;
pub mod kafka;
pub mod messages;
mod quantity;
pub mod retry;
mod screen;
pub mod simulator;
pub mod socrata;
pub mod store;
pub mod supervision;
pub mod telemetry;
