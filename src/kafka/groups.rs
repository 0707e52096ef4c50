//! The consumer groups: what they are called.

use std::time::Duration;

use crate::config::KafkaSettings;

/// How long a committed offset may be withheld by a transaction of somebody else.
pub const COMMITTED_PATIENCE: Duration = Duration::from_secs(10);

/// Names the group of the enrichers, which reads `nyc311.raw`.
pub fn enricher_group(settings: &KafkaSettings) -> String {
    format!("{}-enricher", settings.group_prefix)
}

/// Names the group of the writers, which reads both derived topics.
pub fn writer_group(settings: &KafkaSettings) -> String {
    format!("{}-writer", settings.group_prefix)
}
