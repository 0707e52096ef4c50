//! A reconciliation as callers ask for it and see it.

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, AllOfBuilder, ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::moment::Moment;
use super::poll::PollErrorDocument;
use super::poll_list::next_page_token;
use super::poll_request::bound;
use crate::reconciliation::{MonthAction, MonthState, ReconciliationState};
use crate::store::reconciliations::{ReconciledMonth, Reconciliation};

/// What a reconciliation should compare. What is not stated is not written, since repeated requests are
/// compared by their bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconciliationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl ReconciliationRequest {
    pub const FIELDS: [&str; 2] = ["since", "until"];
}

impl PartialSchema for ReconciliationRequest {
    fn schema() -> RefOr<Schema> {
        let fields = ObjectBuilder::new()
            .property(
                "since",
                bound(
                    "The month that it lies in is the first. RFC 3339 with any offset, or a date, which is its midnight in New York",
                    "2026-01-01",
                ),
            )
            .property("until", bound("Exclusive; after since. The month that it lies in, or ends, is the last", "2026-03-01"))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        AllOfBuilder::new()
            .description(Some(
                "Whole months of created_date on New York's calendar; without since and until the whole dataset",
            ))
            .item(fields)
            .into()
    }
}

impl ToSchema for ReconciliationRequest {}

/// Every field is always there
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Reconciliation)]
pub struct ReconciliationDocument {
    pub id: Uuid,
    #[schema(inline)]
    pub state: ReconciliationState,
    /// The first moment of its first month; null is the first of all
    pub since: Option<Moment>,
    /// The first moment behind its last month
    pub until: Option<Moment>,
    /// What the last comparison has found; empty before the first, and in a list
    pub months: Vec<ReconciledMonthDocument>,
    /// Rows that it has found gone from the source, and marked
    #[schema(minimum = 0)]
    pub withdrawn: i64,
    /// The polls that it has asked for
    pub polls: Vec<Uuid>,
    pub error: Option<PollErrorDocument>,
    pub created_at: Moment,
    pub finished_at: Option<Moment>,
}

/// One month of both sides
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReconciledMonth)]
pub struct ReconciledMonthDocument {
    /// As 2026-05; unknown for rows without created_date
    #[schema(pattern = "^([0-9]{4}-(0[1-9]|1[0-2])|unknown)$", example = "2026-05")]
    pub month: String,
    #[schema(minimum = 0)]
    pub source_count: i64,
    /// Rows that are not withdrawn
    #[schema(minimum = 0)]
    pub our_count: i64,
    /// Keys of this month that only dead letters have
    #[schema(minimum = 0)]
    pub dead_lettered: i64,
    /// The greatest :updated_at
    pub source_newest: Option<Moment>,
    pub our_newest: Option<Moment>,
    /// What was done about it, the last thing where it was several
    #[schema(inline)]
    pub action: MonthAction,
    #[schema(inline)]
    pub state: MonthState,
}

/// A page of reconciliations, newest first, each without its months
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReconciliationList)]
pub struct ReconciliationListDocument {
    pub reconciliations: Vec<ReconciliationDocument>,
    #[schema(schema_with = next_page_token)]
    pub next_page_token: Option<String>,
}

impl From<&ReconciledMonth> for ReconciledMonthDocument {
    fn from(month: &ReconciledMonth) -> Self {
        Self {
            month: month.month.to_string(),
            source_count: month.source_count,
            our_count: month.our_count,
            dead_lettered: month.dead_lettered,
            source_newest: month.source_newest.map(Moment::from),
            our_newest: month.our_newest.map(Moment::from),
            action: month.action,
            state: month.state,
        }
    }
}

impl ReconciliationDocument {
    pub fn new(reconciliation: &Reconciliation, months: &[ReconciledMonth]) -> Self {
        Self {
            id: reconciliation.id,
            state: reconciliation.state,
            since: reconciliation.since.map(Moment::from),
            until: reconciliation.until.map(Moment::from),
            months: months.iter().map(ReconciledMonthDocument::from).collect(),
            withdrawn: reconciliation.withdrawn,
            polls: reconciliation.polls.clone(),
            error: reconciliation.error.as_ref().map(PollErrorDocument::from),
            created_at: reconciliation.created_at.into(),
            finished_at: reconciliation.finished_at.map(Moment::from),
        }
    }
}
