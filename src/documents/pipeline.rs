//! The pipeline of one process: its stages, and how far each partition is read.

use nyc311_domain::Borough;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use super::drift::DriftDocument;
use super::moment::Moment;
use super::readiness::StalledDocument;
use crate::supervision::{StageState, StageStatus};
use crate::telemetry::labels::StageName;

/// How many words of drift are shown; `nyc311 drift` and the table `source_term` have all.
pub const DRIFT_SHOWN: i64 = 100;

/// The stages and partitions of this process, and what there is to know of the source
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Pipeline)]
pub struct PipelineDocument {
    /// As of /readyz
    pub ready: bool,
    pub source: Option<SourceDocument>,
    /// In the order in which data passes them
    pub stages: Vec<StageDocument>,
    /// Empty where the brokers do not answer within five seconds
    pub partitions: Vec<PartitionStatus>,
    /// Partitions that have records to read and do not move, though nothing that they wait for is away
    pub stalled: Vec<StalledDocument>,
    /// What is armed to break this process on purpose
    #[serde(default)]
    pub faults_armed: Vec<String>,
    /// The newest first; empty where the database does not answer
    #[schema(max_items = 100)]
    pub drift: Vec<DriftDocument>,
}

/// How far the source has been read, which is where a poll without a window begins. Null while the database
/// is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Source)]
pub struct SourceDocument {
    /// The data set's id
    #[schema(example = "erm2-nwe9")]
    pub name: String,
    pub url: String,
    /// The durable cursor; null: there is none yet
    pub published_updated_at: Option<Moment>,
    /// How far PostgreSQL has what is published
    pub stored_updated_at: Option<Moment>,
    /// The setting poll.initial_since: where the first poll begins; without it, it takes the whole history
    pub initial_since: Option<Moment>,
}

/// One stage of the pipeline
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Stage)]
pub struct StageDocument {
    #[schema(value_type = StageName, inline)]
    pub name: String,
    #[schema(schema_with = boroughs)]
    pub borough: Option<String>,
    #[schema(inline)]
    pub state: StageState,
    /// Which incarnation of the stage this is, counted from 1: every rebuild is a new one
    pub generation: u64,
    /// How often it was rebuilt after a failure
    pub restarts: u64,
    /// Why it was rebuilt last
    pub last_error: Option<String>,
    /// When it came into its state
    pub since: Moment,
}

/// One of the boroughs, or none.
fn boroughs() -> Schema {
    let words = Borough::ALL.map(|borough| Value::from(borough.slug()));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(words.into_iter().chain([Value::Null])))
        .description(Some("The borough whose part of the stage this is; null where it is one for all"))
        .into()
}

impl From<StageStatus> for StageDocument {
    fn from(stage: StageStatus) -> Self {
        Self {
            name: stage.name.to_owned(),
            borough: stage.borough.map(str::to_owned),
            state: stage.state,
            generation: stage.generation,
            restarts: stage.restarts,
            last_error: stage.last_error,
            since: stage.since.into(),
        }
    }
}

/// How far one partition is read: position is the next offset to read, end the next to be written
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Partition)]
pub struct PartitionStatus {
    pub topic: String,
    #[schema(minimum = 0)]
    pub partition: i32,
    /// Null where there is none yet, or it could not be asked for
    pub position: Option<i64>,
    /// Null where the brokers did not say
    pub end: Option<i64>,
    /// How many records are still to be read; null where position or end could not be asked for
    pub lag: Option<i64>,
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn as_many_words_of_drift_are_described_as_shown() {
        let described = serde_json::to_value(PipelineDocument::schema()).unwrap();
        assert_eq!(described["properties"]["drift"]["maxItems"], DRIFT_SHOWN);
    }
}
