//! Reads a few records of one partition, as a member of nothing and on a thread where a call may block.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::error::KafkaError;
use super::record::Mark;

/// Reads a partition from an offset on, to its end or until it is told that this is enough.
pub(super) fn read<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    from: i64,
    patience: Duration,
    mut goes_on: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), KafkaError> {
    let began = Instant::now();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(from))?;
    consumer.assign(&list)?;
    let end = loop {
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            let detail = format!("{topic}/{partition}: not read from {from} on within {patience:?}");
            break Err(KafkaError::unavailable(detail));
        }
        match consumer.poll(left) {
            Some(Ok(record)) if goes_on(&record) => {}
            Some(Ok(_)) | Some(Err(ClientError::PartitionEOF(_))) => break Ok(()),
            // Somebody else's broker may be gone; the one that matters answers or the time is over.
            Some(Err(ClientError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown))) | None => {}
            Some(Err(error)) => break Err(error.into()),
        }
    };
    consumer.unassign()?;
    end
}

/// Reads when the record at an offset was appended; none where the next record lies behind it, or there is
/// none.
pub(super) fn mark_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    offset: i64,
    patience: Duration,
) -> Result<Option<Mark>, KafkaError> {
    let mut found = None;
    read(consumer, topic, partition, offset, patience, |record| {
        let appended_at_ms = record.timestamp().to_millis().filter(|_| record.offset() == offset);
        found = appended_at_ms.map(|appended_at_ms| Mark { offset, appended_at_ms });
        false
    })?;
    Ok(found)
}
