//! A partition that is read: its queue, and the batch under construction.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::BorrowedMessage;

use super::in_flight::InFlightLimit;
use crate::kafka::assumption::BrokenAssumption;
use crate::kafka::batch_builder::BatchBuilder;
use crate::kafka::client::Logged;
use crate::kafka::group_member::Assignment;
use crate::kafka::headers::{HeaderList, Origin};
use crate::kafka::record::Partition;

/// How many records of a partition are taken at once, before anything else is looked at.
const RECORDS_AT_ONCE: usize = 500;

/// Why no more was taken of a partition's queue.
pub(super) enum Stopped {
    /// Nothing is there: what comes wakes the thread.
    Empty,
    /// There may be more.
    AtOnce,
    /// Its batch is full.
    FullBatch,
    /// It was read to its end.
    AtEnd,
    Failed(ClientError),
    Broken(BrokenAssumption),
}

/// A partition that is read.
pub(super) struct Opened {
    pub(super) opening: u64,
    pub(super) batch: BatchBuilder,
    pub(super) queue: PartitionQueue<Logged<Assignment>>,
}

impl Opened {
    /// Takes what is at hand into the batch.
    pub(super) fn take(
        &mut self,
        partition: &Partition,
        last_origin: &mut Option<Arc<Origin>>,
        limit: &InFlightLimit,
    ) -> Stopped {
        let Self { queue, batch, .. } = self;
        for _ in 0..RECORDS_AT_ONCE {
            if batch.is_full(limit.batch_rows, limit.batch_bytes) {
                return Stopped::FullBatch;
            }
            match queue.poll(Duration::ZERO) {
                None => return Stopped::Empty,
                Some(Ok(message)) => {
                    if let Err(broken) = append(batch, partition, last_origin, &message) {
                        return Stopped::Broken(broken);
                    }
                }
                Some(Err(ClientError::PartitionEOF(_))) => return Stopped::AtEnd,
                Some(Err(error)) => return Stopped::Failed(error),
            }
        }
        Stopped::AtOnce
    }
}

/// Appends a record to the batch under construction.
fn append(
    batch: &mut BatchBuilder,
    (topic, partition): &Partition,
    last_origin: &mut Option<Arc<Origin>>,
    message: &BorrowedMessage<'_>,
) -> Result<(), BrokenAssumption> {
    let (offset, position) = (message.offset(), batch.position());
    if offset < position {
        let topic = topic.to_string();
        return Err(BrokenAssumption::RecordBehindPosition {
            topic,
            partition: *partition,
            offset,
            position,
        });
    }
    let headers = match message.headers() {
        None => Some(HeaderList::default()),
        Some(headers) => HeaderList::read(headers, last_origin.as_ref()),
    };
    let read = headers.is_some();
    let headers = headers.unwrap_or_default();
    if headers.origin.is_some() {
        last_origin.clone_from(&headers.origin);
    }
    let value = message.payload().unwrap_or_default();
    batch.push(offset, message.key(), value, headers, message.timestamp().to_millis());
    if read {
        return Ok(());
    }
    // The record counts, and is in the batch.
    let topic = topic.to_string();
    Err(BrokenAssumption::UnreadableHeaders { topic, partition: *partition, offset })
}
