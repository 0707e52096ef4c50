//! What this program takes for granted of librdkafka, and what follows where it does not hold.
//!
//! | assumption | without it |
//! |---|---|
//! | records of a partition come in the order of their offsets, none twice | the consumer is given up and built anew: its position could go back, or past what was never read |
//! | records come in the queue of their partition alone | the consumer is given up and built anew: the two queues have no common order |
//! | the headers of a record can be read | the record goes on without them: who made it has written no names in UTF-8 |
//! | every open partition has a position, and it is told | it does not step over control records; the watch over progress opens it anew should nothing else follow |
//! | a rebalance assigns partitions or takes them | it is taken for one that takes them: what is not read cannot be lost |
//! | an answer about partitions speaks of each that was asked for | the question has failed: a position that is missing must not pass for none |
//!
//! Each is logged where it breaks, or is the failure of the call. Behind a list of headers that librdkafka
//! itself cannot parse nobody can look: rdkafka tells it from none no more than the record without headers
//! that it then is.

use super::error::KafkaError;

/// An assumption about librdkafka that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenAssumption {
    #[error("{topic}/{partition}: a record at {offset} came behind the position {position}")]
    RecordBehindPosition { topic: String, partition: i32, offset: i64, position: i64 },
    #[error("{topic}/{partition}: a record at {offset} came in the queue of all partitions")]
    RecordInQueueOfAll { topic: String, partition: i32, offset: i64 },
    #[error("{topic}/{partition}: the headers of the record at {offset} cannot be read")]
    UnreadableHeaders { topic: String, partition: i32, offset: i64 },
    #[error("the positions of the open partitions are not told: {0}")]
    NoPositions(String),
    #[error("{topic}/{partition}: the partition is open and has no position")]
    NoPosition { topic: String, partition: i32 },
    #[error("a rebalance neither assigns nor takes: {0}")]
    UnknownRebalance(String),
    #[error("{topic}/{partition}: the answer about offsets does not speak of the partition")]
    MissingInAnswer { topic: String, partition: i32 },
    #[error("{topic}/{partition}: the answer names the offset {offset}, which is none")]
    NoOffsetInAnswer { topic: String, partition: i32, offset: String },
}

impl From<BrokenAssumption> for KafkaError {
    fn from(broken: BrokenAssumption) -> Self {
        Self::other(broken.to_string()).caused_by(broken)
    }
}
