//! Aggregator to writer: what becomes one PostgreSQL transaction.

use std::sync::Arc;

use actix::Message;

use super::batch_error::BatchError;
use crate::store::WriteBatch;

/// The merged batch of all boroughs; answered when its transaction is committed.
#[derive(Message, Clone)]
#[rtype(result = "Result<(), BatchError>")]
pub struct WriteMerged(pub Arc<WriteBatch>);
