//! What a row says: its keys and version, its words and numbers, and what is kept of what was replaced.

use nyc311_domain::{CONTENT, QualityFlags, Rejection, enrich};

use super::{enriched, flags, row, stated};

#[test]
fn sound_row_has_no_flags_and_nothing_replaced() {
    enriched(&[], |request| {
        assert!(request.quality_flags.is_empty(), "{:?}", request.quality_flags);
        assert_eq!(request.stated, None);
        assert_eq!(request.details, None);
        assert_eq!(request.created_at.to_string(), "2026-04-12T05:18:41Z");
        assert_eq!(request.response_hours, Some(1.5));
        assert_eq!((request.state.as_ref(), request.is_open), ("closed", false));
        assert_eq!(request.category.as_deref(), Some("noise"));
        assert_eq!((request.community_district, request.police_precinct), (Some(101), Some(1)));
        assert_eq!((request.nta2020.as_deref(), request.zcta.as_deref()), (Some("MN0102"), Some("10007")));
    });
}

#[test]
fn row_without_key_or_created_date_is_rejected_with_its_reason() {
    let rejected = |changes: &[(&str, &str)]| {
        let Rejection { reason, field, unique_key, .. } = enrich(&row(changes)).unwrap_err();
        (reason, field, unique_key)
    };
    let key = Some(70_000_001);
    assert_eq!(rejected(&[("unique_key", "")]), ("missing_unique_key", Some("unique_key"), None));
    assert_eq!(rejected(&[("unique_key", r#""12a""#)]), ("bad_unique_key", Some("unique_key"), None));
    assert_eq!(rejected(&[("unique_key", r#""-1""#)]), ("bad_unique_key", Some("unique_key"), None));
    for nested in ["[70000001]", r#"{"a":1}"#] {
        assert_eq!(rejected(&[("unique_key", nested)]), ("bad_unique_key", Some("unique_key"), None));
        assert_eq!(rejected(&[("created_date", nested)]), ("bad_created_date", Some("created_date"), key));
    }
    assert_eq!(rejected(&[("unique_key", "null")]), ("missing_unique_key", Some("unique_key"), None));
    assert_eq!(rejected(&[("created_date", "null")]), ("missing_created_date", Some("created_date"), key));
    assert_eq!(
        rejected(&[("created_date", r#""yesterday""#)]),
        ("bad_created_date", Some("created_date"), key)
    );
    assert_eq!(enrich(b"[1]").unwrap_err().reason, "not_an_object");
    assert_eq!(enrich(b"{\"a\":\"\xff\"}").unwrap_err().reason, "not_utf8");
    assert_eq!(enrich(b"").unwrap_err().unique_key, None);
}

#[test]
fn values_may_come_as_json_numbers() {
    let numbers = [
        ("unique_key", "70000001"),
        ("latitude", "40.71274012"),
        ("council_district", "1"),
        ("incident_zip", "10007"),
    ];
    enriched(&numbers, |request| {
        assert_eq!(
            (request.unique_key, request.latitude, request.council_district),
            (70_000_001, Some(40.712_740_12), Some(1))
        );
        assert_eq!(request.incident_zip.as_deref(), Some("10007"));
        assert!(request.quality_flags.is_empty());
    });
}

#[test]
fn unknown_columns_are_details_and_unreadable_values_stay() {
    let changes = [
        ("brand_new", r#"{"a":[1,2]}"#),
        (":@computed_region_7mpf_4k6g", r#""3""#),
        ("council_district", r#""twelve""#),
        ("descriptor", r#"["a"]"#),
        ("due_date", r#""soon""#),
    ];
    enriched(&changes, |request| {
        let details = request.details.as_ref().unwrap().as_str();
        assert_eq!(
            details,
            r#"{"brand_new":{"a":[1,2]},":@computed_region_7mpf_4k6g":"3","descriptor":["a"]}"#
        );
        assert_eq!(stated(request), r#"{"due_date":"soon","council_district":"twelve"}"#);
        assert!(request.quality_flags.contains(QualityFlags::VALUE_UNREADABLE));
        assert_eq!((request.due_at, request.council_district), (None, Some(1)));
    });
}

#[test]
fn nul_never_reaches_the_database() {
    let changes = [("city", r#""NEW\u0000 YORK""#), ("extra\\u0000", r#""a\u0000b\ud800""#)];
    enriched(&changes, |request| {
        assert_eq!(request.city.as_deref(), Some("NEW YORK"));
        assert_eq!(stated(request), r#"{"city":"NEW YORK"}"#);
        assert_eq!(request.details.as_ref().unwrap().as_str(), "{\"extra\":\"ab\u{FFFD}\"}");
    });
    flags(&changes, &["nul_stripped", "text_damaged"]);
}

#[test]
fn nul_is_stripped_beside_numbers_and_from_what_cannot_be_read() {
    let changes = [("a\\u0000b", "1e5"), ("council_district", r#""1\u0000""#)];
    enriched(&changes, |request| {
        assert_eq!(request.details.as_ref().unwrap().as_str(), r#"{"ab":"1e5"}"#);
        assert_eq!(stated(request), r#"{"council_district":"1"}"#);
    });
    flags(&changes, &["value_unreadable", "nul_stripped", "council_district_from_point"]);
    flags(&[("a\\u0000b", "1e5")], &["nul_stripped"]);
}

#[test]
fn numbers_that_the_database_cannot_hold_are_kept_as_texts() {
    let changes = [
        ("before", r#"{"a":1}"#),
        ("x", r#"{"a":1e200000,"b":["2E+5","\u00e9",-3.5]}"#),
        ("y", "1e200000"),
        ("city", r#"[1e200000]"#),
        ("z", "12"),
    ];
    enriched(&changes, |request| {
        let expected = concat!(
            r#"{"before":{"a":1},"x":{"a":"1e200000","b":["2E+5","\u00e9",-3.5]},"#,
            r#""y":"1e200000","city":["1e200000"],"z":12}"#,
        );
        assert_eq!(request.details.as_ref().unwrap().as_str(), expected);
    });
    flags(&changes, &["value_unreadable"]);
}

#[test]
fn words_are_cleaned_and_what_was_said_is_kept() {
    let changes = [
        ("street_name", r#"" NORTH    4 STREET""#),
        ("descriptor", r#""N/A""#),
        ("agency_name", r#""BCC - Queens""#),
        ("complaint_type", r#""NOISE - RESIDENTIAL""#),
        ("resolution_description", "\"Transportation\u{e2}\u{80}\u{99}s website\""),
        ("open_data_channel_type", r#""Unspecified""#),
    ];
    enriched(&changes, |request| {
        assert_eq!(request.street_name.as_deref(), Some("NORTH 4 STREET"));
        assert_eq!(request.descriptor, None);
        assert_eq!(request.agency_name.as_deref(), Some("New York City Police Department"));
        assert_eq!(request.complaint_type, "Noise - Residential");
        assert_eq!(request.resolution_description.as_deref(), Some("Transportation’s website"));
        assert_eq!(request.open_data_channel_type.as_deref(), Some("Unspecified"));
        let kept: serde_json::Value = serde_json::from_str(stated(request)).unwrap();
        // Of blanks the flag alone is kept.
        assert_eq!(kept.get("street_name"), None);
        assert_eq!(kept["descriptor"], "N/A");
        assert_eq!(kept["agency_name"], "BCC - Queens");
        assert_eq!(kept["complaint_type"], "NOISE - RESIDENTIAL");
        assert_eq!(kept.as_object().unwrap().len(), 4);
    });
    let expected = [
        "blanks_collapsed",
        "not_available_emptied",
        "double_encoding_repaired",
        "agency_name_standardised",
        "complaint_type_respelled",
    ];
    flags(&changes, &expected);
}

#[test]
fn numbers_and_dates_that_say_nothing_are_emptied_as_texts_are() {
    let changes = [
        ("due_date", r#""N/A""#),
        ("closed_date", r#""""#),
        ("resolution_action_updated_date", r#""Unspecified""#),
        ("latitude", r#"" n/a""#),
        ("longitude", r#""  ""#),
        ("council_district", r#""N/A""#),
        ("police_precinct", r#""Unspecified""#),
        ("x_coordinate_state_plane", r#""N/A""#),
        ("y_coordinate_state_plane", r#""""#),
        ("status", r#""Open""#),
    ];
    enriched(&changes, |request| {
        assert_eq!((request.due_at, request.closed_at, request.resolution_updated_at), (None, None, None));
        assert_eq!((request.latitude, request.council_district, request.x_state_plane), (None, None, None));
        let kept: serde_json::Value = serde_json::from_str(stated(request)).unwrap();
        let expected = serde_json::json!({
            "due_date": "N/A",
            "resolution_action_updated_date": "Unspecified",
            "latitude": " n/a",
            "council_district": "N/A",
            "police_precinct": "Unspecified",
            "x_coordinate_state_plane": "N/A",
        });
        assert_eq!(kept, expected);
    });
    flags(&changes, &["not_available_emptied"]);
    // What is emptied is filled from the point like what is missing.
    let unspecified = [("police_precinct", r#""Unspecified""#)];
    flags(&unspecified, &["not_available_emptied", "police_precinct_from_point"]);
    flags(&[("city", r#""""#)], &["not_available_emptied"]);
    enriched(&[("city", r#""""#)], |request| assert_eq!(request.stated, None));
}

#[test]
fn first_thing_said_is_the_one_that_is_kept() {
    let twice_encoded = "\"noise \u{e2}\u{80}\u{93} residential\"";
    enriched(&[("complaint_type", twice_encoded)], |request| {
        assert_eq!(request.complaint_type, "Noise – Residential");
        assert_eq!(stated(request), format!("{{\"complaint_type\":{twice_encoded}}}"));
    });
}

#[test]
fn missing_words_are_unspecified_where_a_column_must_say_something() {
    enriched(&[("agency", ""), ("complaint_type", r#""N/A""#), ("agency_name", "")], |request| {
        assert_eq!(
            (request.agency.as_ref(), request.complaint_type.as_ref()),
            ("Unspecified", "Unspecified")
        );
        assert_eq!(request.category.as_deref(), Some("other"));
    });
    flags(&[("agency", "")], &["agency_missing"]);
    flags(&[("agency_name", "")], &["agency_name_filled"]);
    flags(&[("complaint_type", r#""Drone Race""#)], &["complaint_type_unknown"]);
}

#[test]
fn row_without_publication_time_is_stored_all_the_same() {
    enriched(&[(":updated_at", ""), (":version", "")], |request| {
        assert_eq!(request.source_updated_at.to_string(), "2026-04-13T01:34:03.189Z");
    });
    enriched(&[(":updated_at", ""), (":created_at", "")], |request| {
        assert_eq!(request.source_updated_at.as_second(), 0)
    });
    flags(&[(":updated_at", ""), (":created_at", "")], &["source_time_missing"]);
}

#[test]
fn row_without_a_version_is_told_by_its_content() {
    let version = |changes: &[(&str, &str)]| enrich(&row(changes)).unwrap().source_version.into_owned();
    assert_eq!(version(&[]), "rv-a");
    let missing = version(&[(":version", "")]);
    assert_eq!(missing.len(), CONTENT.len() + 64);
    for silent in ["", "null", r#""""#, r#""\u0000""#, r#"["rv-a"]"#] {
        let version = version(&[(":version", silent)]);
        assert!(version.starts_with(CONTENT), "{silent}: {version}");
        assert_eq!(version == missing, silent.is_empty(), "other bytes are another version");
    }
    // The same bytes are the same version; any other byte makes another one.
    assert_eq!(version(&[(":version", "")]), missing);
    assert_ne!(version(&[(":version", ""), ("status", r#""Open""#)]), missing);
    let spaced = [row(&[(":version", "")]), b" ".to_vec()].concat();
    assert_ne!(enrich(&spaced).unwrap().source_version, missing);
}
