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
use crate::config::Settings;

/// Makes a client of each kind and lets it go, without a connection: properties that cannot work together
/// show only then, and are a wrong setting, not a failure of the stage that meets them.
pub fn try_clients(settings: &Settings) -> Result<(), KafkaError> {
    raw_producer::RawProducer::new(&settings.kafka)?;
    group_member::try_config(settings, &groups::enricher_group(&settings.kafka))
}
