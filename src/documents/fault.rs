//! Faults that are armed on purpose: how one is asked for, and what is armed.

use nyc311_notation::quantity::written;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::moment::Moment;
use crate::faults::{
    ArmedFault, EXPIRES_IN, Failure, Fault, FaultKind, FaultRequest, FaultState, Harm, LARGEST_NUMBER,
    LONGEST, POINTS, Point, Target,
};
use crate::stage_name::StageName;

/// What is armed in this process, what was, and what can be
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = FaultList)]
pub struct FaultListDocument {
    /// What is armed
    pub faults: Vec<FaultDocument>,
    /// What has ended, the last one first; the process remembers some thirty
    pub ended: Vec<FaultDocument>,
    /// The points that can be named
    pub points: Vec<FaultPointDocument>,
    /// The stages that can be named
    #[schema(value_type = Vec<StageName>, inline)]
    pub stages: Vec<String>,
}

impl FaultListDocument {
    /// Lists what is armed and was, with all that can be named.
    pub fn new(armed: Vec<ArmedFault>, ended: Vec<ArmedFault>) -> Self {
        let documents = |faults: Vec<ArmedFault>| faults.into_iter().map(FaultDocument::from).collect();
        Self {
            faults: documents(armed),
            ended: documents(ended),
            points: POINTS.iter().copied().map(FaultPointDocument::from).collect(),
            stages: StageName::ALL.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A point at which the program can be broken
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = FaultPoint)]
pub struct FaultPointDocument {
    /// stage:effect:before or stage:effect:after
    #[schema(example = "writer:commit:after")]
    pub name: String,
    /// How the call can fail that stands there
    #[schema(value_type = Vec<Failure>, inline)]
    pub errors: Vec<String>,
}

impl From<Point> for FaultPointDocument {
    fn from(point: Point) -> Self {
        let errors = point.calls().failures().map(|failure| failure.to_string());
        Self { name: point.name().to_owned(), errors: errors.collect() }
    }
}

/// A fault that is armed, or was. Words are texts, so that one of another version is shown all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Fault)]
pub struct FaultDocument {
    /// Counted from 1 on while the process lives
    pub id: u64,
    pub stage: Option<String>,
    pub point: Option<String>,
    #[schema(value_type = Harm, inline)]
    pub fault: String,
    /// How the call fails, where the fault is error at a point
    pub error: Option<String>,
    pub delay: Option<String>,
    pub skip: u64,
    pub every: u64,
    pub count: u64,
    pub probability: Option<f64>,
    /// The one that was given, or chosen
    pub seed: Option<u64>,
    #[schema(example = "5m")]
    pub expires_in: String,
    #[schema(value_type = FaultState, inline)]
    pub state: String,
    pub armed_at: Moment,
    /// When it ends by itself, or has ended
    pub ends_at: Moment,
    /// How often its point, its stage or a record came by while it was armed
    pub visits: u64,
    /// How often it has struck
    pub hits: u64,
}

impl From<ArmedFault> for FaultDocument {
    fn from(armed: ArmedFault) -> Self {
        let Fault { target, kind, skip, every, count, chance, expires_in } = armed.fault;
        let name = || Some(target.name().to_owned());
        let at_point = matches!(target, Target::Point(_));
        Self {
            id: armed.id,
            stage: (!at_point).then(name).flatten(),
            point: at_point.then(name).flatten(),
            fault: kind.harm().to_string(),
            error: match kind {
                FaultKind::Error(failure) if at_point => Some(failure.to_string()),
                _ => None,
            },
            delay: match kind {
                FaultKind::Delay(delay) => Some(written(delay)),
                _ => None,
            },
            skip,
            every: every.get(),
            count: count.get(),
            probability: chance.map(|chance| chance.probability),
            seed: chance.map(|chance| chance.seed),
            expires_in: written(expires_in),
            state: armed.state.to_string(),
            armed_at: armed.armed_at.into(),
            ends_at: armed.ends_at.into(),
            visits: armed.visits,
            hits: armed.hits,
        }
    }
}

fn or_null(kind: Type, description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([kind, Type::Null]))
        .description(Some(description.to_owned()))
}

fn words(words: impl Iterator<Item = &'static str>, description: &str) -> ObjectBuilder {
    or_null(Type::String, description).enum_values(Some(words.map(Value::from).chain([Value::Null])))
}

fn whole(least: u64, default: Option<u64>, description: &str) -> ObjectBuilder {
    or_null(Type::Integer, description)
        .minimum(Some(least))
        .maximum(Some(LARGEST_NUMBER))
        .default(default.map(Value::from))
}

impl PartialSchema for FaultRequest {
    /// Describes what no type says: the words, and the bounds of the numbers. What belongs together is said
    /// in words.
    fn schema() -> RefOr<Schema> {
        let longest = written(LONGEST);
        let harm = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Harm::ALL.iter().map(|harm| harm.as_str())))
            .description(Some(
                "At a point panic, error, delay, hang or abort; in a stage also kill; corrupt in the stage enricher alone, \
                 where it spoils raw records",
            ));
        let fields = ObjectBuilder::new()
            .property(
                "stage",
                words(StageName::ALL.iter().map(|stage| stage.as_str()), "Strikes at its next turn; beside it no point"),
            )
            .property(
                "point",
                words(POINTS.iter().map(|point| point.name()), "Strikes at its next visit; beside it no stage"),
            )
            .property("fault", harm)
            .required("fault")
            .property(
                "error",
                words(
                    Failure::ALL.iter().map(|failure| failure.as_str()),
                    "With the fault error, at a point that can fail so (GET /v1/faults says how each can); else refused",
                ),
            )
            .property(
                "delay",
                or_null(Type::String, &format!("With the fault delay, which needs it: 500ms, up to {longest}")),
            )
            .property("skip", whole(0, Some(0), "How many visits pass first"))
            .property("every", whole(1, Some(1), "Of those behind, every which one is meant"))
            .property("count", whole(1, Some(1), "How often it strikes"))
            .property(
                "probability",
                or_null(Type::Number, "How likely a visit that is meant is struck")
                    .exclusive_minimum(Some(0))
                    .maximum(Some(1)),
            )
            .property("seed", whole(0, None, "With a probability: the same seed strikes the same visits; else chosen"))
            .property(
                "expires_in",
                or_null(Type::String, &format!("After which it ends by itself, up to {longest}"))
                    .default(Some(json!(written(EXPIRES_IN)))),
            )
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        let stated = |target: &str| {
            let text = ObjectBuilder::new().schema_type(Type::String);
            ObjectBuilder::new().property(target, text).required(target)
        };
        AllOfBuilder::new()
            .description(Some("Either stage or point, and what is to happen there"))
            .item(fields)
            .item(OneOfBuilder::new().item(stated("stage")).item(stated("point")))
            .into()
    }
}

impl ToSchema for FaultRequest {}
