//! Poller to raw publisher: one page of the source, cut into rows.

use std::sync::Arc;

use actix::Message;
use bytes::Bytes;
use nyc311_domain::Borough;

use super::BatchError;
use crate::{kafka::Origin, store::Acknowledged};

/// One row, byte for byte as the API returned it, with what decides its partition.
#[derive(Debug, Clone)]
pub struct RawRow {
    pub value: Bytes,
    pub borough: Option<Borough>,
    pub partition: i32,
}

/// One page; answered when Kafka has acknowledged every row of it.
#[derive(Message, Debug, Clone)]
#[rtype(result = "Result<PublishedPage, BatchError>")]
pub struct RawPage {
    pub origin: Arc<Origin>,
    pub rows: Arc<[RawRow]>,
}

/// What became of a page.
#[derive(Debug, Clone, Default)]
pub struct PublishedPage {
    pub published: u64,
    /// Rows that the broker refuses for their size, by index: they become dead letters.
    pub too_large: Vec<usize>,
    /// Where the others are in the log.
    pub acknowledged: Vec<Acknowledged>,
}
