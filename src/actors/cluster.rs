//! The Kafka that the stages work with.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kafka::TopicId;

/// The Kafka that the stages work with. Another incarnation means other logs, whatever the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub id: Arc<str>,
    pub(super) incarnation: u64,
    /// The ids of the three topics, where the brokers give them any.
    pub(super) topic_ids: Arc<HashMap<String, TopicId>>,
}

impl Cluster {
    /// Returns the id of a topic; none where the brokers give none.
    pub fn topic_id(&self, topic: &str) -> Option<&str> {
        self.topic_ids.get(topic).map(AsRef::as_ref)
    }
}
