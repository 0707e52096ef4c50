//! The states and times of a row, and what cannot have been.

use nyc311_domain::{QualityFlags, ServiceRequest, enrich, peek};
use proptest::prelude::*;

use super::{enriched, flags, row, stated};

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
    /// Every form of a moment that the parser accepts is judged alike, whichever date of the request is
    /// written so: by its moment, its day in New York and its year. Whole hours of the writer's clock may be
    /// one more midnight or noon, so the minutes are odd ones.
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
