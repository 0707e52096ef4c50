//! What a caller may ask for: the body of a submission.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::poll::WindowOn;

/// The command line says who it is by its `User-Agent`, which begins like this.
pub const CLI_USER_AGENT: &str = "nyc311-cli/";

/// The times that `parse_instant` reads. What no pattern says: their range ends with the years in UTC.
const MOMENT: &str = concat!(
    "^(",
    // The years 1900 to 9998, with the days that their months have.
    "(19[0-9]{2}|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-",
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    // Leap years are those that 4 divides, but of the whole centuries only those that 400 does.
    "|((19|[2-9][0-9])(0[48]|[2468][048]|[13579][26])|([2468][048]|[3579][26])00)-02-29",
    ")([Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,9})?",
    "([Zz]|[+-]([01][0-9]|2[0-5]):[0-5][0-9]))?$",
);

/// What a poll should read. What is not stated is not written, since repeated requests are compared by their
/// bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<WindowOn>,
}

/// Describes a bound that a request may state.
pub(super) fn bound(description: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(description))
        .pattern(Some(MOMENT))
        .examples([example])
}

impl PollRequest {
    pub const FIELDS: [&str; 3] = ["since", "until", "on"];
}

impl PartialSchema for PollRequest {
    /// Describes the fields, and what they must be together.
    fn schema() -> RefOr<Schema> {
        let columns = WindowOn::ALL.iter().map(|on| Value::from(on.as_str()));
        let on = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .enum_values(Some(columns.chain([Value::Null])))
            .default(Some(json!(WindowOn::UpdatedAt)))
            .description(Some("The column that the window is on; created_date needs since or until"));
        let fields = ObjectBuilder::new()
            .property(
                "since",
                bound(
                    "Inclusive. RFC 3339 with any offset, or a date, which is its midnight in New York. Finer than a millisecond is moved up to the next one",
                    "2026-01-30T00:00:00Z",
                ),
            )
            .property("until", bound("Exclusive; after since. Written like since", "2026-01-31"))
            .property("on", on)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        AllOfBuilder::new()
            .description(Some(
                "Without since and until the poll starts at the durable cursor and moves it; with one of them it is a backfill, which does neither",
            ))
            .item(fields)
            .item(Self::bounds_where_needed())
            .into()
    }
}

impl PollRequest {
    /// Describes that a window has a bound on a column that needs one.
    fn bounds_where_needed() -> Schema {
        let without = WindowOn::ALL.iter().filter(|on| !on.needs_bound()).map(|on| Value::from(on.as_str()));
        let column = ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .enum_values(Some(without.chain([Value::Null])));
        let stated = |bound: &str| {
            let text = ObjectBuilder::new().schema_type(Type::String);
            ObjectBuilder::new().property(bound, text).required(bound)
        };
        AnyOfBuilder::new()
            .item(ObjectBuilder::new().property("on", column))
            .item(stated("since"))
            .item(stated("until"))
            .into()
    }
}

impl ToSchema for PollRequest {}
