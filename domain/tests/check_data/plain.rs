//! A plain reading of a row: what `serde_json` and comparisons of texts say about it.

use nyc311_domain::words;
use serde_json::Value;

use super::Row;

/// The flags that a plain reading of a row decides without a zone database, polygons or tables.
pub const PLAIN_FLAGS: [&str; 30] = [
    "source_time_missing",
    "nul_stripped",
    "text_damaged",
    "blanks_collapsed",
    "not_available_emptied",
    "double_encoding_repaired",
    "agency_missing",
    "complaint_type_missing",
    "status_missing",
    "status_unknown",
    "closed_without_date",
    "closed_date_while_open",
    "created_at_midnight",
    "closed_placeholder_emptied",
    "closed_before_created",
    "closed_equals_created",
    "closed_at_midnight",
    "resolution_before_created",
    "resolution_after_closed",
    "due_before_created",
    "other_placeholder_emptied",
    "zip_cut",
    "zip_impossible",
    "point_incomplete",
    "point_at_zero",
    "point_whole_degrees",
    "community_board_unknown",
    "bbl_impossible",
    "created_placeholder",
    "created_at_noon",
];

/// Names the flags of [`PLAIN_FLAGS`] that a row should have. Times are compared as text, which is right for
/// readings of one clock; rows in the two odd hours of a year are too few to be in the files.
pub fn plain_flags(row: &Row) -> Vec<&'static str> {
    let get = |name: &str| text(row, name).filter(|value| !value.is_empty());
    let texts = || {
        row.iter()
            .filter(|(name, _)| TEXT_FIELDS.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
    };
    let says_nothing = |value: &str| ["n/a", "unspecified"].contains(&value.to_lowercase().as_str());
    let is_date = |date: &str| date.starts_with(|first: char| first.is_ascii_digit()) && date >= "1901";
    let day = |name: &str| get(name).filter(|date| is_date(date));
    let (created, closed) = (get("created_date").unwrap_or_default(), day("closed_date"));
    let (resolved, due) = (day("resolution_action_updated_date"), day("due_date"));
    let is_placeholder = |name: &str| get(name).is_some_and(|date| date.as_str() < "1901");
    let status = get("status").map(|status| status.trim().to_lowercase());
    let is = |words: &[&str], beginning: &str| {
        status.as_deref().is_some_and(|status| words.contains(&status) || status.starts_with(beginning))
    };
    let closes = is(&["closed"], "closed -");
    let waits = is(
        &[
            "open",
            "in progress",
            "pending",
            "assigned",
            "started",
            "email sent",
            "draft",
            "new",
            "unassigned",
        ],
        "open -",
    );
    let cancels = is(&["cancel", "cancelled", "canceled"], "cancelled");
    let status_missing = status.as_deref().is_none_or(|status| ["", "unspecified"].contains(&status));
    let missing =
        |name: &str| get(name).is_none_or(|text| text.trim().is_empty() || says_nothing(text.trim()));
    let zip = get("incident_zip").filter(|zip| zip != "N/A");
    let five_digits = |zip: &str| zip.len() == 5 && zip.bytes().all(|byte| byte.is_ascii_digit());
    let zip_cut =
        zip.as_deref().is_some_and(|zip| zip.len() > 5 && zip.is_char_boundary(5) && five_digits(&zip[..5]));
    let decoded = |value: &str| words::decode_twice_encoded(value).unwrap_or_else(|| value.to_owned());
    let at = |name: &str| get(name).and_then(|value| value.parse::<f64>().ok());
    let (latitude, longitude) = (at("latitude"), at("longitude"));
    let at_zero = (latitude, longitude) == (Some(0.0), Some(0.0));
    let lot = get("bbl").map(|bbl| bbl.trim().trim_end_matches(".0").to_owned());
    let board = get("community_board");
    let checks = [
        ("source_time_missing", get(":updated_at").is_none()),
        (
            "nul_stripped",
            row.iter().any(|(name, value)| name.contains('\0') || value.to_string().contains("\\u0000")),
        ),
        ("text_damaged", texts().any(|(_, value)| value.contains('\u{fffd}'))),
        (
            "blanks_collapsed",
            texts().any(|(_, value)| {
                let value = decoded(value);
                value.trim() != value || value.contains("  ") || value.contains(['\u{a0}', '\t', '\n', '\r'])
            }),
        ),
        (
            "not_available_emptied",
            row.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?.trim()))).any(
                |(name, value)| {
                    let answers =
                        ["status", "borough", "community_board", "open_data_channel_type"].contains(&name);
                    let cleaned = TEXT_FIELDS.contains(&name) || PARSED_FIELDS.contains(&name);
                    cleaned && (value.is_empty() || !answers && says_nothing(value))
                },
            ),
        ),
        (
            "double_encoding_repaired",
            texts().any(|(_, value)| {
                value.contains(['â', 'Â', 'Ã'])
                    && value.chars().any(|character| ('\u{80}'..='\u{bf}').contains(&character))
            }),
        ),
        ("agency_missing", missing("agency")),
        ("complaint_type_missing", missing("complaint_type")),
        ("status_missing", status_missing),
        ("status_unknown", !(status_missing || closes || waits || cancels)),
        ("closed_without_date", closes && closed.is_none()),
        ("closed_date_while_open", waits && closed.is_some()),
        ("created_at_midnight", created.ends_with("T00:00:00.000")),
        ("closed_placeholder_emptied", is_placeholder("closed_date")),
        ("closed_before_created", closed.as_ref().is_some_and(|closed| *closed < created)),
        ("closed_equals_created", closed.as_ref() == Some(&created)),
        ("closed_at_midnight", closed.as_ref().is_some_and(|closed| closed.ends_with("T00:00:00.000"))),
        ("resolution_before_created", resolved.as_ref().is_some_and(|resolved| *resolved < created)),
        (
            "resolution_after_closed",
            closed.as_ref().zip(resolved.as_ref()).is_some_and(|(closed, resolved)| resolved > closed),
        ),
        ("due_before_created", due.is_some_and(|due| due < created)),
        (
            "other_placeholder_emptied",
            is_placeholder("due_date") || is_placeholder("resolution_action_updated_date"),
        ),
        ("zip_cut", zip_cut),
        (
            "zip_impossible",
            zip.as_deref().is_some_and(|zip| {
                !zip_cut && (!five_digits(zip) || zip < "00501" || ["10000", "12345", "99999"].contains(&zip))
            }),
        ),
        ("point_incomplete", latitude.is_some() != longitude.is_some()),
        ("point_at_zero", at_zero),
        (
            "point_whole_degrees",
            !at_zero
                && latitude
                    .zip(longitude)
                    .is_some_and(|(latitude, longitude)| latitude.fract() == 0.0 || longitude.fract() == 0.0),
        ),
        (
            "community_board_unknown",
            board.as_deref().is_some_and(|board| {
                let (number, borough) = board.split_once(' ').unwrap_or((board, ""));
                let unspecified = number == "Unspecified" || number == "0";
                let last = match borough {
                    "MANHATTAN" | "BRONX" => 12,
                    "BROOKLYN" => 18,
                    "QUEENS" => 14,
                    "STATEN ISLAND" => 3,
                    _ => 0,
                };
                // Joint-interest areas have two digits above all boards, and are listed in DATA.md's sources
                // by name.
                !unspecified
                    && !number.parse().is_ok_and(|number: u8| (1..=last).contains(&number) || number > 25)
            }),
        ),
        (
            "bbl_impossible",
            lot.is_some_and(|lot| {
                lot.bytes().all(|byte| byte.is_ascii_digit())
                    && !(lot.len() == 10
                        && lot.starts_with(['1', '2', '3', '4', '5'])
                        && &lot[1..6] != "00000")
            }),
        ),
        ("created_placeholder", created.as_str() < "1901"),
        ("created_at_noon", created.ends_with("T12:00:00.000")),
    ];
    assert_eq!(checks.each_ref().map(|(name, _)| *name), PLAIN_FLAGS);
    checks.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
}

/// The fields that are read as numbers or times, and may be missing.
pub const PARSED_FIELDS: [&str; 11] = [
    "closed_date",
    "due_date",
    "resolution_action_updated_date",
    "latitude",
    "longitude",
    "council_district",
    "police_precinct",
    "x_coordinate_state_plane",
    "y_coordinate_state_plane",
    ":created_at",
    ":updated_at",
];

/// The fields that are cleaned as words.
pub const TEXT_FIELDS: [&str; 21] = [
    "status",
    "agency",
    "agency_name",
    "complaint_type",
    "descriptor",
    "descriptor_2",
    "location_type",
    "open_data_channel_type",
    "resolution_description",
    "borough",
    "incident_zip",
    "city",
    "incident_address",
    "street_name",
    "cross_street_1",
    "cross_street_2",
    "intersection_street_1",
    "intersection_street_2",
    "landmark",
    "community_board",
    "bbl",
];

pub fn text(row: &Row, name: &str) -> Option<String> {
    match row.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
