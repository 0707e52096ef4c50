//! Where a row lies: what is stated, what is filled in, and where the two disagree.

use nyc311_domain::{QualityFlags, enrich};

use super::{enriched, flags, row, stated};

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
