//! Whether the process does its work, and if not, what is in the way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::supervision::{StageState, Stalled};

/// Whether the pipeline does its work: all stages run, no dependency is away, and every partition moves
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Readiness)]
pub struct ReadinessDocument {
    pub ready: bool,
    /// What keeps the process from working: dependencies that are away, and instance where another process
    /// has its instance.id
    pub missing: Vec<String>,
    /// Why dependencies are away and what to do about it, by their names, as the last look found it
    #[serde(default)]
    #[schema(inline, example = json!({"database": "database unavailable: connection refused"}))]
    pub reasons: BTreeMap<String, String>,
    /// Stages that do not run, by name; of the boroughs' parts the one that is worst off
    #[schema(inline)]
    pub stages: BTreeMap<String, StageState>,
    /// Partitions that do not move though they could
    pub stalled: Vec<StalledDocument>,
    /// What is armed to break this process on purpose; it is ready all the same
    #[serde(default)]
    #[schema(example = json!(["writer:commit:after=abort"]))]
    pub faults_armed: Vec<String>,
}

/// A partition that has records to read and does not move, though nothing that it waits for is away
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Stalled)]
pub struct StalledDocument {
    pub stage: String,
    pub topic: String,
    /// Null where the stage has no partitions, and nobody else in its consumer group has them
    pub partition: Option<i32>,
}

impl From<Stalled> for StalledDocument {
    fn from(stalled: Stalled) -> Self {
        Self {
            stage: stalled.stage.to_owned(),
            topic: stalled.topic.to_string(),
            partition: stalled.partition,
        }
    }
}
