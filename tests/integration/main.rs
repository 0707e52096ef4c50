//! The one integration binary: every test runs against real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod api_description;
mod cli;
mod cli_first_hour;
mod cli_screen;
mod cluster;
mod described_requests;
mod documents;
mod drift;
mod freezer;
mod http;
mod instance;
mod kafka;
mod kafka_loss;
mod odd_source;
mod oracle;
mod pipeline;
mod proxy;
mod service;
mod socrata;
mod standstill;
mod store_database;
mod store_fitness;
mod store_logs;
mod store_polls;
mod store_rows;
mod store_versions;
mod store_views;
mod store_write;
