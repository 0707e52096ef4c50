//! The source: a client for the Socrata API that walks a dataset by the pair (`:updated_at`, `:id`).
//!
//! It keeps no state between pages. Where a walk stands, when it ends and how far the durable cursor may move is
//! the poller's business; this module answers one question at a time, and patiently.

mod client;
mod error;
mod page;
mod query;
mod row;

pub use client::{Attempt, Observer, SocrataClient};
pub use error::SocrataError;
pub use page::{Page, PageHead};
pub use query::{Cursor, PageRequest};
pub use row::salvaged;

pub use crate::poll::WindowOn;
