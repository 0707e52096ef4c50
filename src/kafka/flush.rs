//! Has a producer send what is queued, now.
//!
//! `Producer::flush` of the wrapper waits for events and only signals the client in passing, so that it may
//! miss it. The client's own function keeps the signal up while it waits, and returns with the last answer.

#![allow(unsafe_code)]

use std::time::Duration;

use rdkafka::bindings::rd_kafka_flush;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::client::milliseconds;

/// Sends what is queued and waits until each record has its answer, or for so long.
pub(super) fn send_and_wait<C: ProducerContext>(producer: &BaseProducer<C>, patience: Duration) {
    // Whether the time was enough is for the caller to ask: the number of records under way tells.
    // SAFETY: the client lives as long as the producer, which is borrowed.
    let _ = unsafe { rd_kafka_flush(producer.client().native_ptr(), milliseconds(patience)) };
}
