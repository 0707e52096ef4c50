//! Kafka: the three topics, who reads and writes them, and how.
//!
//! Nothing outside this module names a librdkafka setting. Blocking calls of the client run on threads of their own
//! or on tokio's blocking pool, never on an Arbiter.

pub mod admin;
mod answer;
mod assumption;
mod batch_builder;
mod client;
pub mod consumer;
mod error;
mod group_member;
pub mod groups;
mod headers;
mod offset_note;
mod partition_map;
pub mod raw_producer;
mod record;
mod topic_ids;
pub mod topics;
pub mod transactional;

pub use admin::{Admin, Committed};
pub use consumer::GroupMetadata;
pub use error::{KafkaError, MEND_ADDRESS};
pub use headers::{HeaderList, Origin};
pub use offset_note::OffsetNote;
pub use partition_map::PartitionMap;
pub use record::{Acknowledged, DerivedRecord, Mark, Partition, PublishedPage, RawRow, Record, RecordBatch};
pub use topic_ids::{DescribedTopic, TopicId};
pub use topics::{RECORD_OVERHEAD_BYTES, max_row_bytes};
