//! Poller to raw publisher: one page of the source, cut into rows.

use std::sync::Arc;

use actix::Message;

use super::batch_error::BatchError;
use crate::kafka::{Origin, PublishedPage, RawRow};

/// One page; answered when Kafka has acknowledged every row of it.
#[derive(Message, Debug, Clone)]
#[rtype(result = "Result<PublishedPage, BatchError>")]
pub struct RawPage {
    pub origin: Arc<Origin>,
    pub rows: Arc<[RawRow]>,
}
