//! Each rule on rows in the shape of the city's, all of them invented.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod any_row;
mod places;
mod times;
mod values;

use nyc311_domain::{ServiceRequest, enrich, quality};

/// A row of the usual shape with some fields replaced, added, or (with an empty replacement) left out. Values
/// are JSON.
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
fn every_flag_is_described_in_the_quality_page() {
    let page = include_str!("../../../docs/quality.md");
    for flag in quality::ALL {
        let line =
            format!("| {} | `{}` | {} | {} | {} |", flag.bit, flag.name, flag.kind, flag.meaning, flag.rule);
        assert!(page.contains(&line), "docs/quality.md lacks or misstates:\n{line}");
    }
    let described =
        page.lines().filter(|line| line.contains("| repair |") || line.contains("| doubt |")).count();
    assert_eq!(described, quality::ALL.len(), "docs/quality.md describes a flag that there is not");
}
