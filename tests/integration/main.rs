//! The one integration binary: every test runs against real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod api_description;
mod cli;
mod cluster;
mod drift;
mod http;
mod kafka;
mod odd_source;
mod pipeline;
mod proxy;
mod service;
mod simulator;
mod store_database;
mod store_polls;
mod store_rows;
mod store_views;
mod store_write;
