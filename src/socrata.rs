//! The source: a client for the Socrata API that walks a dataset by the pair (`:updated_at`, `:id`).
//!
//! It keeps no state between pages. Where a walk stands, when it ends and how far the durable cursor may move
//! is the poller's business; this module answers one question at a time, and patiently. It also asks for
//! counts by month and for keys alone, which is what a reconciliation compares.

mod client;
mod counts;
mod error;
mod keys;
mod page;
mod query;
mod row;

pub use self::client::{Attempt, Observer, SocrataClient};
pub use self::counts::{Counted, CountedMonth, MonthsRequest};
pub use self::error::SocrataError;
pub use self::keys::{Keys, KeysRequest, WhichKeys};
pub use self::page::{Page, PageHead};
pub use self::query::{Cursor, PageRequest};
pub use self::row::salvaged;
pub use crate::poll::WindowOn;
