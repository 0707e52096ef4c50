//! The simulator over HTTP, asked as the pipeline asks the source.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod city;
mod client;
mod faults;
mod files;
mod queries;
mod rows;
mod withdrawn;
