//! Each rule on rows in the shape of the city's, all of them invented.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use proptest::prelude::*;

use nyc311_domain::{
    CONTENT, QualityFlags, Rejection, ServiceRequest, enrich, identity, known_fields, peek, quality,
};

/// A row of the usual shape with some fields replaced, added, or (with an empty replacement) left out. Values are JSON.
fn row(changes: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        ("unique_key", r#""70000001""#),
        ("created_date", r#""2026-04-12T01:18:41.000""#),
        ("closed_date", r#""2026-04-12T02:48:41.000""#),
        ("agency", r#""NYPD""#),
        ("agency_name", r#""New York City Police Department""#),
        ("complaint_type", r#""Noise - Residential""#),
        ("descriptor", r#""Loud Music/Party""#),
        ("incident_zip", r#""10007""#),
        ("status", r#""Closed""#),
        ("community_board", r#""01 MANHATTAN""#),
        ("council_district", r#""1""#),
        ("police_precinct", r#""Precinct 1""#),
        ("borough", r#""MANHATTAN""#),
        ("latitude", r#""40.71274012""#),
        ("longitude", r#""-74.00597001""#),
        (":version", r#""rv-a""#),
        (":created_at", r#""2026-04-13T01:34:03.189Z""#),
        (":updated_at", r#""2026-04-13T01:37:29.631Z""#),
    ];
    let mut members: Vec<(&str, &str)> = usual.to_vec();
    for (name, value) in changes {
        members.retain(|(usual, _)| usual != name);
        if !value.is_empty() {
            members.push((name, value));
        }
    }
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

/// Enriches a row and hands the request on, after its JSON has been read back.
fn enriched(changes: &[(&str, &str)], look: impl FnOnce(&ServiceRequest<'_>)) {
    let row = row(changes);
    let request = enrich(&row).unwrap();
    let mut json = Vec::new();
    request.write_json(&mut json);
    assert_eq!(ServiceRequest::from_json(&json).unwrap(), request);
    look(&request);
}

/// Asserts the flags of a row, all of them.
fn flags(changes: &[(&str, &str)], expected: &[&str]) {
    enriched(changes, |request| {
        assert_eq!(request.quality_flags.names().collect::<Vec<_>>(), expected, "{changes:?}");
    });
}

fn stated<'a>(request: &'a ServiceRequest<'_>) -> &'a str {
    request.stated.as_ref().map_or("", |stated| stated.as_str())
}

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
        (":@computed_region_yeji_bk3q", r#""3""#),
        ("council_district", r#""twelve""#),
        ("descriptor", r#"["a"]"#),
        ("due_date", r#""soon""#),
    ];
    enriched(&changes, |request| {
        let details = request.details.as_ref().unwrap().as_str();
        assert_eq!(
            details,
            r#"{"brand_new":{"a":[1,2]},":@computed_region_yeji_bk3q":"3","descriptor":["a"]}"#
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
        assert_eq!(kept["street_name"], " NORTH    4 STREET");
        assert_eq!(kept["descriptor"], "N/A");
        assert_eq!(kept["agency_name"], "BCC - Queens");
        assert_eq!(kept["complaint_type"], "NOISE - RESIDENTIAL");
        assert_eq!(kept.as_object().unwrap().len(), 5);
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
    enriched(&[("complaint_type", r#""  noise -  residential""#)], |request| {
        assert_eq!(stated(request), r#"{"complaint_type":"  noise -  residential"}"#);
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
fn state_follows_the_status_and_contradictions_are_kept() {
    enriched(&[("status", r#""Open""#)], |request| {
        assert_eq!((request.state.as_ref(), request.is_open), ("open", true));
        assert!(request.closed_at.is_some() && request.response_hours.is_none());
    });
    flags(&[("status", r#""Open""#)], &["closed_date_while_open"]);
    for status in [r#""In Progress""#, r#""Pending""#] {
        flags(&[("status", status)], &["closed_date_while_open"]);
    }
    // These do not say that someone still waits.
    flags(&[("status", r#""Cancelled""#)], &[]);
    flags(&[("status", "")], &["status_missing"]);
    flags(&[("closed_date", "")], &["closed_without_date"]);
    flags(&[("status", r#""Escalated""#)], &["status_unknown"]);
    flags(&[("status", r#""Unspecified""#), ("closed_date", "")], &["status_missing"]);
    enriched(&[("status", ""), ("closed_date", "")], |request| {
        assert_eq!(
            (request.state.as_ref(), request.is_open, request.status.as_deref()),
            ("unknown", true, None)
        );
    });
    enriched(&[("status", "")], |request| {
        assert_eq!(
            (request.state.as_ref(), request.is_open, request.response_hours),
            ("unknown", false, None)
        );
    });
    // The Department of Buildings closes every request on its creation.
    let by_rule = [("status", ""), ("agency", r#""DOB""#), ("closed_date", r#""2026-04-12T01:18:41.000""#)];
    enriched(&by_rule, |request| {
        assert_eq!((request.is_open, request.closed_at), (true, Some(request.created_at)));
    });
    enriched(&[("status", r#""CANCEL""#)], |request| {
        assert_eq!(
            (request.state.as_ref(), request.is_open, request.status.as_deref()),
            ("cancelled", false, Some("CANCEL"))
        );
    });
}

#[test]
fn closed_before_created_stands_without_a_response_time() {
    let changes = [("closed_date", r#""2026-04-11T23:00:00.000""#)];
    enriched(&changes, |request| {
        assert_eq!(request.closed_at.unwrap().to_string(), "2026-04-12T03:00:00Z");
        assert_eq!(request.response_hours, None);
    });
    flags(&changes, &["closed_before_created"]);
    enriched(&[("closed_date", r#""2026-04-12T01:18:41.000""#)], |request| {
        assert_eq!(request.response_hours, Some(0.0))
    });
    flags(&[("closed_date", r#""2026-04-12T01:18:41.000""#)], &["closed_equals_created"]);
}

#[test]
fn placeholder_dates_are_emptied_and_kept_in_stated() {
    for year in ["1899-12-31", "1900-01-01"] {
        let closed = format!("\"{year}T00:00:00.000\"");
        enriched(&[("closed_date", &closed), ("due_date", &closed)], |request| {
            assert_eq!((request.closed_at, request.due_at, request.response_hours), (None, None, None));
            assert!(stated(request).contains(&format!("\"closed_date\":{closed}")));
        });
        let expected = ["closed_without_date", "closed_placeholder_emptied", "other_placeholder_emptied"];
        flags(&[("closed_date", &closed), ("due_date", &closed)], &expected);
    }
}

#[test]
fn placeholder_of_a_created_date_stands_without_a_response_time() {
    for year in ["1899-12-31", "1900-12-31"] {
        let created = format!("\"{year}T08:00:00.000\"");
        enriched(&[("created_date", &created)], |request| {
            assert_eq!(request.created_at.to_string(), format!("{year}T13:00:00Z"));
            assert!(request.closed_at.is_some() && request.response_hours.is_none());
        });
        flags(&[("created_date", &created)], &["created_placeholder"]);
    }
    flags(&[("created_date", r#""1901-01-01T08:00:00.000""#)], &[]);
}

/// The offsets that a date may come with, and what they are behind in minutes.
const OFFSETS: [(&str, i64); 7] =
    [("Z", 0), ("z", 0), ("+00:00", 0), ("+0000", 0), ("-05:00", -300), ("-0400", -240), ("+14:00", 840)];

#[test]
fn placeholder_with_an_offset_is_the_placeholder() {
    for local in [
        "1899-12-30T00:00:00",
        "1900-01-01T00:00:00.000",
        "1900-01-01 00:00:00.000",
        "1900-12-31T23:59:59.999999",
    ] {
        for (offset, _) in OFFSETS {
            let without = |field: &str, text: &str| {
                enrich(&row(&[(field, &format!("\"{text}\""))])).map(|request| {
                    let ServiceRequest {
                        created_at, closed_at, due_at, response_hours, quality_flags, ..
                    } = request;
                    let head = peek(&row(&[(field, &format!("\"{text}\""))])).created_at;
                    (
                        head,
                        created_at,
                        closed_at,
                        due_at,
                        request.resolution_updated_at,
                        response_hours,
                        quality_flags,
                    )
                })
            };
            let stated = format!("{local}{offset}");
            for field in ["created_date", "closed_date", "due_date", "resolution_action_updated_date"] {
                assert_eq!(without(field, &stated), without(field, local), "{field} {stated}");
            }
            let emptied =
                [("closed_date", &*format!("\"{stated}\"")), ("due_date", &*format!("\"{stated}\""))];
            enriched(&emptied, |request| {
                assert_eq!((request.closed_at, request.due_at, request.response_hours), (None, None, None));
            });
            let expected = ["closed_without_date", "closed_placeholder_emptied", "other_placeholder_emptied"];
            flags(&emptied, &expected);
            // It stands without its offset, and what was said is kept.
            enriched(&[("created_date", &format!("\"{stated}\""))], |request| {
                assert_eq!(request.response_hours, None);
                assert!(request.quality_flags.contains(QualityFlags::CREATED_PLACEHOLDER));
                let kept = !self::stated(request).is_empty();
                assert_eq!(kept, offset != "-05:00", "in New York's winter nothing is replaced");
            });
        }
    }
}

#[test]
fn midnight_and_noon_with_an_offset_are_midnight_and_noon() {
    let days = [("created_date", "2026-04-11", "00:00:00"), ("closed_date", "2026-04-12", "04:00:00")];
    for (field, day, utc) in days {
        let flag = if field == "created_date" { "created_at_midnight" } else { "closed_at_midnight" };
        for form in [
            day.to_owned(),
            format!("{day}T00:00:00-04:00"),
            format!("{day}T{utc}Z"),
            format!("{day}T{utc}.000+0000"),
        ] {
            let stated = format!("\"{form}\"");
            let with = enrich(&row(&[(field, &stated)])).unwrap().quality_flags;
            assert!(with.names().any(|name| name == flag), "{form}: {with:?}");
        }
    }
    for noon in ["2026-04-11T12:00:00-04:00", "2026-04-11T16:00:00Z", "2026-04-11T12:00:00.000Z"] {
        flags(&[("created_date", &format!("\"{noon}\""))], &["created_at_noon"]);
    }
    flags(&[("created_date", r#""2026-04-11T12:00:01Z""#)], &[]);
}

proptest! {
    /// Every form of a moment that the parser accepts is judged alike, whichever date of the request is written so: by its moment, its
    /// day in New York and its year. Whole hours of the writer's clock may be one more midnight or noon, so the minutes are odd ones.
    #[test]
    fn dates_are_judged_by_what_they_say_and_not_by_how_they_are_written(
        second in -2_200_000_000_i64..1_900_000_000, field in 0..4_usize, form in 0..OFFSETS.len(),
        (separator, fraction) in ("[Tt ]", "(\\.0{1,9})?"), local in any::<bool>(),
    ) {
        // 2 minutes and 3 seconds past an hour, never in an hour that the clock skips or repeats.
        let second = second - second.rem_euclid(3_600) + 123;
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let moment = jiff::Timestamp::from_second(second).unwrap();
        prop_assume!(!zone.to_ambiguous_timestamp(zone.to_datetime(moment)).is_ambiguous());
        let field = ["created_date", "closed_date", "due_date", "resolution_action_updated_date"][field];
        let judged = |text: String| {
            let row = row(&[(field, &format!("\"{text}\""))]);
            let ServiceRequest { created_at, closed_at, due_at, resolution_updated_at, response_hours, quality_flags, .. } = enrich(&row).unwrap();
            (peek(&row).created_at, created_at, closed_at, due_at, resolution_updated_at, response_hours, quality_flags)
        };
        let write = |civil: jiff::civil::DateTime| civil.to_string().replace('T', &separator) + &fraction;
        let (offset, minutes) = OFFSETS[form];
        let by_city = zone.to_datetime(moment);
        let by_writer = jiff::tz::Offset::from_seconds(minutes as i32 * 60).unwrap().to_datetime(moment);
        let expected = judged(by_city.to_string());
        if by_city.year() < 1901 || by_writer.year() < 1901 {
            // A placeholder is its text.
            prop_assert_eq!(judged(write(by_city) + offset), judged(by_city.to_string()));
        } else if local {
            prop_assert_eq!(judged(write(by_city)), expected);
        } else {
            prop_assert_eq!(judged(write(by_writer) + offset), expected);
        }
    }
}

#[test]
fn created_at_noon_is_a_doubt_and_no_more() {
    let changes =
        [("created_date", r#""2026-04-11T12:00:00.000""#), ("closed_date", r#""2026-04-11T13:30:00.000""#)];
    enriched(&changes, |request| assert_eq!(request.response_hours, Some(1.5)));
    flags(&changes, &["created_at_noon"]);
}

#[test]
fn answer_after_the_version_that_says_so_has_no_response_time() {
    let changes = [("closed_date", r#""2026-04-13T10:00:00.000""#)];
    enriched(&changes, |request| {
        assert!(request.closed_at.is_some() && request.response_hours.is_none());
    });
    flags(&changes, &["closed_after_publication"]);
    // Without a time of publication nothing says that it lies ahead.
    enriched(&[changes[0], (":updated_at", "")], |request| assert!(request.response_hours.is_some()));
}

#[test]
fn times_that_cannot_have_been_are_doubted() {
    flags(
        &[("closed_date", r#""2026-04-12T00:00:00.000""#), ("created_date", r#""2026-04-11T00:00:00.000""#)],
        &["created_at_midnight", "closed_at_midnight"],
    );
    flags(
        &[("resolution_action_updated_date", r#""2026-04-12T00:00:00.000""#)],
        &["resolution_before_created"],
    );
    flags(
        &[("resolution_action_updated_date", r#""2026-04-12T02:48:45.000""#)],
        &["resolution_after_closed"],
    );
    flags(
        &[("resolution_action_updated_date", r#""2027-04-12T02:48:45.000""#)],
        &["resolution_after_closed", "resolution_after_publication"],
    );
    flags(&[("due_date", r#""2026-04-12T00:00:00.000""#)], &["due_before_created"]);
    flags(
        &[("created_date", r#""2027-01-01T08:00:00.000""#)],
        &["created_after_publication", "closed_before_created"],
    );
}

#[test]
fn time_in_the_gap_is_moved_and_kept() {
    let changes = [("created_date", r#""2026-03-08T02:30:00.000""#)];
    enriched(&changes, |request| {
        assert_eq!(request.created_at.to_string(), "2026-03-08T07:30:00Z");
        assert_eq!(stated(request), r#"{"created_date":"2026-03-08T02:30:00.000"}"#);
    });
    flags(&changes, &["time_in_dst_gap"]);
}

#[test]
fn order_of_events_decides_the_repeated_hour() {
    let night = |created: &str, closed: &str| {
        [
            ("created_date", format!("\"2025-11-02T{created}.000\"")),
            ("closed_date", format!("\"2025-11-02T{closed}.000\"")),
        ]
    };
    let hours = |created: &str, closed: &str, flag: &[&str]| {
        let times = night(created, closed);
        let changes = times.each_ref().map(|(name, value)| (*name, value.as_str()));
        flags(&changes, flag);
        let mut hours = None;
        enriched(&changes, |request| hours = request.response_hours);
        hours
    };
    // Created at 01:40 and closed at 01:10: the clock went back in between.
    assert_eq!(hours("01:40:00", "01:10:00", &["repeated_hour_resolved"]), Some(0.5));
    // Nothing tells these apart: the first hour is taken.
    assert_eq!(hours("01:10:00", "01:40:00", &["repeated_hour_ambiguous"]), Some(0.5));
    assert_eq!(hours("00:40:00", "01:10:00", &["repeated_hour_ambiguous"]), Some(0.5));
    assert_eq!(hours("01:40:00", "02:10:00", &["repeated_hour_ambiguous"]), Some(1.5));
}

#[test]
fn nothing_happened_after_it_was_published() {
    // Published at 01:50 in the first of the two hours: what happened at 01:40 was the first.
    let changes = [
        ("created_date", r#""2025-11-02T00:40:00.000""#),
        ("closed_date", r#""2025-11-02T01:40:00.000""#),
        (":updated_at", r#""2025-11-02T05:50:00.000Z""#),
    ];
    flags(&changes, &["repeated_hour_resolved"]);
}

#[test]
fn missing_borough_comes_from_point_then_zip_then_board() {
    let unspecified = ("borough", r#""Unspecified""#);
    let no_point = [("latitude", ""), ("longitude", ""), ("council_district", ""), ("police_precinct", "")];
    let with = |more: &[(&'static str, &'static str)]| [&[unspecified], &no_point[..], more].concat();
    let borough = |changes: &[(&str, &str)], expected: Option<&str>, flag: &str| {
        enriched(changes, |request| {
            assert_eq!(request.borough.as_deref(), expected);
            assert!(request.quality_flags.names().any(|name| name == flag), "{:?}", request.quality_flags);
            assert!(stated(request).contains(r#""borough":"Unspecified""#));
        });
    };
    borough(&[unspecified], Some("MANHATTAN"), "borough_from_point");
    borough(
        &with(&[("incident_zip", r#""11209""#), ("community_board", r#""0 Unspecified""#)]),
        Some("BROOKLYN"),
        "borough_from_zip",
    );
    let board = ("community_board", r#""Unspecified QUEENS""#);
    borough(&with(&[("incident_zip", r#""11370""#), board]), Some("QUEENS"), "borough_from_community_board");
    borough(
        &with(&[("incident_zip", ""), ("community_board", r#""07 BRONX""#)]),
        Some("BRONX"),
        "borough_from_community_board",
    );
    borough(&with(&[("incident_zip", ""), ("community_board", "")]), None, "borough_unknown");
    flags(&[("borough", "")], &["borough_from_point"]);
}

#[test]
fn stated_place_wins_and_disagreement_is_flagged() {
    let changes = [
        ("borough", r#""QUEENS""#),
        ("community_board", r#""10 QUEENS""#),
        ("council_district", r#""28""#),
        ("police_precinct", r#""Precinct 106""#),
        ("incident_zip", r#""11420""#),
        ("bbl", r#""3023507502""#),
    ];
    enriched(&changes, |request| {
        assert_eq!(request.borough.as_deref(), Some("QUEENS"));
        assert_eq!(
            (request.community_district, request.council_district, request.police_precinct),
            (Some(410), Some(28), Some(106))
        );
        assert_eq!(
            (request.incident_zip.as_deref(), request.zcta.as_deref()),
            (Some("11420"), Some("10007"))
        );
        assert_eq!(request.stated, None);
    });
    flags(
        &changes,
        &[
            "borough_differs_from_point",
            "zip_differs_from_point",
            "community_board_differs_from_point",
            "council_district_differs_from_point",
            "police_precinct_differs_from_point",
            "bbl_differs_from_borough",
        ],
    );
}

#[test]
fn missing_districts_come_from_the_point() {
    let changes = [
        ("community_board", r#""Unspecified MANHATTAN""#),
        ("council_district", ""),
        ("police_precinct", ""),
    ];
    enriched(&changes, |request| {
        assert_eq!(
            (request.community_district, request.council_district, request.police_precinct),
            (Some(101), Some(1), Some(1))
        );
        assert_eq!(request.community_board.as_deref(), Some("Unspecified MANHATTAN"));
    });
    flags(
        &changes,
        &["community_district_from_point", "council_district_from_point", "police_precinct_from_point"],
    );
    flags(
        &[("community_board", r#""99 QUEENS""#)],
        &["community_district_from_point", "community_board_unknown"],
    );
}

/// JFK airport, which the lines of 2023 moved from district 28 to 31.
const AIRPORT: [(&str, &str); 9] = [
    ("borough", r#""QUEENS""#),
    ("incident_zip", r#""11430""#),
    ("community_board", r#""83 QUEENS""#),
    ("police_precinct", r#""Precinct 113""#),
    ("latitude", r#""40.64461234""#),
    ("longitude", r#""-73.78221234""#),
    ("closed_date", ""),
    ("status", r#""Open""#),
    ("council_district", ""),
];

#[test]
fn council_district_is_held_against_the_lines_in_force_at_creation() {
    let differs = "council_district_differs_from_point";
    for (created, right, wrong) in [
        ("2014-01-01T00:00:00.000", "28", "31"),
        ("2019-06-15T12:30:00.000", "28", "31"),
        ("2023-12-31T23:59:59.999", "28", "31"),
        ("2024-01-01T00:00:00.001", "31", "28"),
        ("2024-01-01T05:00:00.001Z", "31", "28"),
        ("2026-04-11T12:30:00.000", "31", "28"),
    ] {
        let created_date = format!("\"{created}\"");
        let with = |district: &str| {
            let district = format!("\"{district}\"");
            let changes = [("created_date", &*created_date), ("council_district", &*district)];
            let flags = enrich(&row(&[&AIRPORT[..8], &changes[..]].concat())).unwrap().quality_flags;
            flags.names().any(|name| name == differs)
        };
        assert!(!with(right) && with(wrong), "{created}");
    }
    // Before 2014 other lines were in force, and a placeholder says nothing: no doubt is raised.
    for created in ["2013-12-31T23:59:59.000", "2009-05-01T10:00:00.000", "1900-01-01T00:00:00.000Z"] {
        for district in ["28", "31", "1"] {
            let [created, stated] = [created, district].map(|text| format!("\"{text}\""));
            let changes = [("created_date", &*created), ("council_district", &*stated)];
            let changes = [&AIRPORT[..8], &changes[..]].concat();
            enriched(&changes, |request| {
                assert_eq!(
                    request.council_district.map(|district| district.to_string()).as_deref(),
                    Some(district)
                );
                assert!(!request.quality_flags.contains(QualityFlags::COUNCIL_DISTRICT_DIFFERS_FROM_POINT));
            });
        }
    }
}

#[test]
fn council_district_that_is_filled_in_says_by_which_lines() {
    let by_2013 = "council_district_by_lines_of_2013";
    for (created, updated, district, of_2013) in [
        ("2009-05-01T10:00:00.000", "2026-04-13T01:37:29.631Z", 28, true),
        ("2019-06-15T12:30:00.000", "2026-04-13T01:37:29.631Z", 28, true),
        ("2023-12-31T23:59:59.999", "2024-01-02T01:37:29.631Z", 28, true),
        ("2024-01-01T00:00:00.001", "2024-01-02T01:37:29.631Z", 31, false),
        ("2026-04-11T12:30:00.000", "2026-04-13T01:37:29.631Z", 31, false),
        // Nobody knows when it was created; the nearest that is known is when it was published.
        ("1900-01-01T00:00:00.000", "2026-04-13T01:37:29.631Z", 31, false),
        ("1900-01-01T00:00:00.000", "2019-04-13T01:37:29.631Z", 28, true),
        ("1900-01-01T00:00:00.000", "", 31, false),
    ] {
        let (created, updated) = (format!("\"{created}\""), format!("\"{updated}\""));
        let updated = if updated.len() == 2 { "" } else { &updated };
        let changes = [&AIRPORT[..], &[("created_date", &*created), (":updated_at", updated)]].concat();
        enriched(&changes, |request| {
            assert_eq!(request.council_district, Some(district), "{created}");
            assert!(request.quality_flags.contains(QualityFlags::COUNCIL_DISTRICT_FROM_POINT));
            assert_eq!(request.quality_flags.names().any(|name| name == by_2013), of_2013, "{created}");
        });
    }
}

#[test]
fn precinct_that_is_younger_than_the_boundaries_stands() {
    let rosedale = [
        ("borough", r#""QUEENS""#),
        ("incident_zip", r#""11422""#),
        ("community_board", r#""13 QUEENS""#),
        ("council_district", ""),
        ("police_precinct", r#""Precinct 116""#),
        ("latitude", r#""40.66281234""#),
        ("longitude", r#""-73.73891234""#),
    ];
    enriched(&rosedale, |request| assert_eq!(request.police_precinct, Some(116)));
    flags(&rosedale, &["council_district_from_point", "police_precinct_differs_from_point"]);
}

#[test]
fn marble_hill_and_rikers_island_are_right_as_they_are() {
    let marble_hill = [
        ("borough", r#""BRONX""#),
        ("incident_zip", r#""10463""#),
        ("community_board", r#""08 BRONX""#),
        ("bbl", r#""1022150001""#),
        ("latitude", r#""40.87612345""#),
        ("longitude", r#""-73.91012345""#),
        ("council_district", ""),
        ("police_precinct", ""),
    ];
    flags(&marble_hill, &["council_district_from_point", "police_precinct_from_point"]);
    let rikers_island = [
        ("borough", r#""BRONX""#),
        ("incident_zip", r#""11370""#),
        ("community_board", ""),
        ("bbl", r#""2026050040""#),
        ("latitude", r#""40.79321234""#),
        ("longitude", r#""-73.88601234""#),
        ("council_district", ""),
        ("police_precinct", ""),
    ];
    let filled =
        ["community_district_from_point", "council_district_from_point", "police_precinct_from_point"];
    flags(&rikers_island, &filled);
    let of_queens = [&[("borough", r#""QUEENS""#)], &rikers_island[1..]].concat();
    flags(&of_queens, &filled);
    // A third borough is as wrong there as anywhere.
    let of_brooklyn = [&[("borough", r#""BROOKLYN""#)], &rikers_island[1..]].concat();
    let differs = ["borough_differs_from_point", "bbl_differs_from_borough"];
    flags(&of_brooklyn, &[&[differs[0]], &filled[..], &[differs[1]]].concat());
}

#[test]
fn zip_of_marble_hill_makes_no_place_marble_hill() {
    let city_hall = [
        ("borough", r#""BRONX""#),
        ("incident_zip", r#""10463""#),
        ("community_board", ""),
        ("bbl", r#""1001220001""#),
    ];
    let expected = [
        "borough_differs_from_point",
        "zip_differs_from_point",
        "community_district_from_point",
        "bbl_differs_from_borough",
    ];
    flags(&city_hall, &expected);
}

#[test]
fn joint_interest_areas_are_boards() {
    let park = [
        ("community_board", r#""64 MANHATTAN""#),
        ("incident_zip", ""),
        ("council_district", ""),
        ("police_precinct", ""),
        ("latitude", r#""40.78291234""#),
        ("longitude", r#""-73.96541234""#),
    ];
    enriched(&park, |request| assert_eq!(request.community_district, Some(164)));
    flags(&park, &["council_district_from_point", "police_precinct_from_point"]);
}

#[test]
fn points_that_are_none_compute_nothing() {
    let point =
        |latitude: &'static str, longitude: &'static str| [("latitude", latitude), ("longitude", longitude)];
    for (changes, flag) in [
        (point(r#""0""#, r#""0.0""#), "point_at_zero"),
        (point(r#""41""#, r#""-74.0""#), "point_whole_degrees"),
        (point(r#""40.6892001""#, r#""-74.3044001""#), "point_outside_city"),
        (point(r#""40.71274012""#, ""), "point_incomplete"),
    ] {
        flags(&changes, &[flag]);
        enriched(&changes, |request| {
            assert_eq!((request.nta2020.as_deref(), request.zcta.as_deref()), (None, None));
            assert!(request.latitude.is_some());
        });
    }
}

#[test]
fn impossible_zips_and_lots_are_emptied() {
    enriched(&[("incident_zip", r#""10463-1234""#)], |request| {
        assert_eq!(request.incident_zip.as_deref(), Some("10463"))
    });
    for zip in [r#""10000""#, r#""00083""#, r#""1055O""#, r#""Unkno""#, r#""12345""#] {
        flags(&[("incident_zip", zip)], &["zip_impossible"]);
        enriched(&[("incident_zip", zip)], |request| {
            assert_eq!(request.incident_zip, None);
            assert_eq!(stated(request), format!("{{\"incident_zip\":{zip}}}"));
        });
    }
    flags(&[("incident_zip", r#""07310""#)], &["zip_differs_from_point", "zip_outside_city"]);
    flags(&[("bbl", r#""0000000000""#)], &["bbl_impossible"]);
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

#[test]
fn every_flag_is_described_in_the_quality_page() {
    let page = include_str!("../../docs/quality.md");
    for flag in quality::ALL {
        let line =
            format!("| {} | `{}` | {} | {} | {} |", flag.bit, flag.name, flag.kind, flag.meaning, flag.rule);
        assert!(page.contains(&line), "docs/quality.md lacks or misstates:\n{line}");
    }
    let described =
        page.lines().filter(|line| line.contains("| repair |") || line.contains("| doubt |")).count();
    assert_eq!(described, quality::ALL.len(), "docs/quality.md describes a flag that there is not");
}

/// Values that the city might send, and some that it should not.
fn value() -> impl Strategy<Value = String> {
    let odd = [
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "41.0",
        "[1,2]",
        "{\"a\":null}",
        "{\"a\\u0000\":[1e400]}",
        r#""""#,
        r#"" ""#,
        r#""N/A""#,
        r#""Unspecified""#,
        r#""\u0000""#,
        r#""\ud83d""#,
        r#""Closed""#,
        r#""OPEN""#,
        r#""1900-01-01T00:00:00.000""#,
        r#""2025-11-02T01:30:00.000""#,
        r#""2025-11-02T01:10:00.000""#,
        r#""2026-03-08T02:30:00.000""#,
        r#""9999-12-31T23:59:59.000""#,
        r#""0000-01-01""#,
        r#""2026-04-13T01:37:29.631Z""#,
        r#""10463-1234""#,
        r#""12345""#,
        r#""0 Unspecified""#,
        r#""64 MANHATTAN""#,
        r#""40.7""#,
        r#""-73.9""#,
        r#""PLUMBING""#,
        r#""HPD""#,
        r#""70000002""#,
        r#""  NORTH    4 STREET""#,
    ];
    prop_oneof![
        3 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => any::<f64>().prop_map(|number| if number.is_finite() { format!("\"{number}\"") } else { "null".to_owned() }),
        1 => "[\u{80}-\u{ff}’€ ]{1,6}".prop_map(|text| format!("\"{text}\"")),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let fields: Vec<&'static str> = known_fields().collect();
    proptest::collection::vec((proptest::sample::select(fields), value()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_row_is_enriched_or_rejected_and_comes_back_the_same(changes in changes()) {
        let changes: Vec<(&str, &str)> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let row = row(&changes);
        match enrich(&row) {
            Ok(request) => {
                let mut json = Vec::new();
                request.write_json(&mut json);
                prop_assert_eq!(ServiceRequest::from_json(&json).unwrap(), request.clone());
                prop_assert_eq!(identity(&json).unwrap().unique_key, request.unique_key);
                prop_assert!(!String::from_utf8(json).unwrap().contains("\\u0000"));
                prop_assert!(request.response_hours.is_none_or(|hours| hours >= 0.0 && request.state == "closed"));
                prop_assert_eq!(enrich(&row).unwrap(), request);
            }
            Err(rejection) => prop_assert!(Rejection::REASONS.contains(&rejection.reason)),
        }
    }

    /// A row of which the words are replaced by what they became has nothing left to clean.
    #[test]
    fn repaired_words_repaired_again_stay_the_same(street in any::<String>(), latin in "[a\u{80}-\u{ff}’€ N/]{0,12}", kind in "[A-Za-z -/]{0,12}") {
        let quoted = [street, latin, kind].map(|text| serde_json::to_string(&text).unwrap());
        let [street, latin, kind] = quoted.each_ref().map(String::as_str);
        let first = row(&[("street_name", street), ("resolution_description", latin), ("complaint_type", kind)]);
        let first = enrich(&first).unwrap();
        let again = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), |text| serde_json::to_string(text).unwrap());
        let street = again(first.street_name.as_deref());
        let latin = again(first.resolution_description.as_deref());
        let kind = again(Some(&first.complaint_type));
        let second = row(&[("street_name", &street), ("resolution_description", &latin), ("complaint_type", &kind)]);
        let second = enrich(&second).unwrap();
        prop_assert_eq!(&second.street_name, &first.street_name);
        prop_assert_eq!(&second.resolution_description, &first.resolution_description);
        prop_assert_eq!(&second.complaint_type, &first.complaint_type);
    }

    #[test]
    fn damaged_rows_never_panic(cut in any::<proptest::sample::Index>(), byte in any::<u8>(), truncate in any::<bool>()) {
        let mut row = row(&[("extra", r#"{"a":["\u00e9",1.5e3,{}]}"#)]);
        let at = cut.index(row.len());
        row[at] = byte;
        if truncate {
            row.truncate(at);
        }
        let _ = (enrich(&row), peek(&row), ServiceRequest::from_json(&row), identity(&row));
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        let _ = (enrich(&bytes), peek(&bytes));
    }
}
