//! Kafka: the three topics, who reads and writes them, and how.
//!
//! Nothing outside this module names a librdkafka setting. Blocking calls of the client run on threads of
//! their own or on tokio's blocking pool, never on an Arbiter.

pub mod admin;
mod answer;
mod asking;
mod assumption;
mod batch_builder;
mod client;
pub mod consumer;
mod error;
mod flush;
mod group_member;
pub mod groups;
mod headers;
mod look;
mod lost_transaction;
mod offset_note;
mod pace;
mod partition_map;
pub mod raw_producer;
mod reading;
mod record;
mod topic_ids;
pub mod topics;
pub mod transactional;
mod trouble;

pub use self::admin::{Admin, Committed};
pub use self::consumer::GroupMetadata;
pub use self::error::{KafkaError, MEND_ADDRESS};
pub use self::headers::{HeaderList, Origin};
pub use self::offset_note::OffsetNote;
pub use self::partition_map::PartitionMap;
pub use self::record::{
    Acknowledged, DerivedRecord, Mark, Partition, PublishedPage, RawRow, Record, RecordBatch,
};
pub use self::topic_ids::{DescribedTopic, TopicId};
pub use self::topics::{RECORD_OVERHEAD_BYTES, max_row_bytes};
