//! The JSON documents of the API, each of them one type.
//!
//! The service writes them, the command line reads them, and `GET /openapi.json` is generated from them
//! (`http/description.rs`), so the three cannot say different things. A document knows what it is made from,
//! and nothing of HTTP: statuses and headers are the business of `http`.

mod drift;
mod fault;
mod health;
mod idempotency_key;
mod moment;
mod pipeline;
mod poll;
mod poll_list;
mod poll_request;
mod problem;
mod readiness;
mod reconciliation;

pub use self::drift::DriftDocument;
pub use self::fault::{FaultDocument, FaultListDocument, FaultPointDocument};
pub use self::health::{Health, HealthDocument};
pub use self::idempotency_key::{IdempotencyKey, KeyFault};
pub use self::moment::Moment;
pub use self::pipeline::{DRIFT_SHOWN, PartitionStatus, PipelineDocument, SourceDocument, StageDocument};
pub use self::poll::{
    CountsDocument, CursorDocument, NewestDocument, PollDocument, PollErrorDocument, WindowDocument,
};
pub use self::poll_list::{LIST_DEFAULT, LIST_MAX, PAGE_TOKEN, PollListDocument};
pub use self::poll_request::{CLI_USER_AGENT, PollRequest};
pub use self::problem::{FieldError, ProblemCode, ProblemDocument};
pub use self::readiness::{ReadinessDocument, StalledDocument};
pub use self::reconciliation::{
    ReconciledMonthDocument, ReconciliationDocument, ReconciliationListDocument, ReconciliationRequest,
};
