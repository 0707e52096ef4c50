//! Sources that are odd, each read by several processes or in many polls, which takes its time.

use nyc311_simulator::{Simulator, SimulatorOptions, serve};
use nyc311_testkit::Service;
use nyc311_testkit::source_rows::{file, fine_rows, row, simulate_lines, with_member};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::PROGRAM;

/// Members that are not JSON, with the reason under which their rows become dead letters, and the field that
/// is named.
fn odd_members() -> Vec<(&'static [u8], &'static str, Option<&'static str>)> {
    let (reason, descriptor) = ("not_an_object", Some("descriptor"));
    vec![
        (b"\"descriptor\":\"a\tb\"", reason, descriptor),
        (b"\"descriptor\":\"a\x01b\"", reason, descriptor),
        (b"\"descriptor\":\"a\0b\"", reason, descriptor),
        (b"\"descriptor\":\"a\\xb\"", reason, descriptor),
        (b"\"descriptor\":\"\\ud83d\\u12\"", reason, descriptor),
        (b"\"latitude\":NaN", reason, Some("latitude")),
        (b"\"council_district\":007", reason, Some("council_district")),
        (b"\"agency_name\":\"x\",", reason, None),
        (b"'agency_name':'x'", reason, None),
        (b"\"descriptor\":\"5\" pipe\"", reason, descriptor),
        (b"\"descriptor\":\"caf\xe9\"", "not_utf8", None),
        (b"\"descriptor\":\"\xed\xa0\x80\"", "not_utf8", None),
    ]
}

fn serve_bytes(directory: &TempDir, lines: &[Vec<u8>]) -> Simulator {
    let path = directory.path().join("odd.ndjson");
    std::fs::write(&path, lines.join(&b'\n')).unwrap();
    serve(&SimulatorOptions { file: vec![path], ..SimulatorOptions::default() }).unwrap()
}

/// Puts bytes in the place of a member.
fn spoiled(key: u64, member: &[u8]) -> Vec<u8> {
    let row = with_member(key, "@");
    let (before, after) = row.split_once('@').unwrap();
    [before.as_bytes(), member, after.as_bytes()].concat()
}

#[tokio::test]
async fn a_row_that_is_not_quite_json_costs_itself_alone() {
    let directory = TempDir::new().unwrap();
    let odd: Vec<Vec<u8>> =
        (0_u64..).zip(odd_members()).map(|(key, (member, ..))| spoiled(90_000_000 + key, member)).collect();
    let sound: Vec<Vec<u8>> =
        (0..40).map(|key| with_member(91_000_000 + key, "\"city\":\"NEW YORK\"").into_bytes()).collect();
    let lines: Vec<Vec<u8>> = odd.iter().chain(&sound).cloned().collect();
    let simulator = serve_bytes(&directory, &lines);
    for page_rows in ["1", "3", "5000"] {
        let mut service =
            PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", page_rows)]).await;
        service.start().await;
        let poll = service.poll().await;
        let counts = &poll["counts"];
        assert_eq!(
            (&counts["fetched"], &counts["stored"], &counts["dead_lettered"]),
            (&json!(52), &json!(40), &json!(12)),
            "{poll:#}"
        );
        let found = service
            .database
            .json(
                "select encode(payload_sha256, 'hex') as sha, reason, stage, field, detail is not null as told
                 from nyc311.dead_letter order by payload",
            )
            .await;
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), odd.len());
        // By key, and so by payload.
        for ((row, (member, reason, field)), found) in odd.iter().zip(odd_members()).zip(found) {
            let expected = json!({"sha": nyc311::hex::to_hex(&Sha256::digest(row)), "reason": reason, "stage": "enricher", "field": field, "told": true});
            assert_eq!(*found, expected, "{}", String::from_utf8_lossy(member));
        }

        let before = service.tables().await;
        let again = service.poll().await;
        assert_eq!(again["counts"]["stored"], 0, "{again:#}");
        assert_eq!(service.tables().await, before);
        service.assert_recounts().await;
    }
}

#[tokio::test]
async fn times_finer_than_milliseconds_lose_no_row() {
    for digits in [6, 9] {
        let directory = TempDir::new().unwrap();
        let simulator = simulate_lines(&directory, &fine_rows(digits));
        let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "7")]).await;
        service.start().await;
        let poll = service.poll().await;
        assert_eq!(
            (&poll["counts"]["fetched"], &poll["counts"]["stored"]),
            (&json!(90), &json!(90)),
            "{poll:#}"
        );
        let newest = if digits == 6 { "29.631279" } else { "29.63125" };
        let at = format!("2026-05-11T01:37:{newest}+00:00");
        assert_eq!(
            service.source_position().await,
            json!([{"published_updated_at": at, "stored_updated_at": at}])
        );
        // The next poll begins at a time that is never after the last row's.
        let again = service.poll().await;
        assert!(again["counts"]["fetched"].as_i64().unwrap() >= 3, "{again:#}");
        assert_eq!(again["counts"]["stored"], 0, "{again:#}");
    }
}

#[tokio::test]
async fn windows_on_creation_that_meet_miss_no_row_when_clocks_change() {
    let directory = TempDir::new().unwrap();
    let mut lines = Vec::new();
    for (day, minutes) in [("2024-11-03", 0..300), ("2024-03-10", 0..300)] {
        for minute in minutes.step_by(5) {
            let mut row = row(lines.len() as u64, 1);
            row["created_date"] = json!(format!("{day}T{:02}:{:02}:00.000", minute / 60, minute % 60));
            // Some are closed within the repeated hour, which decides which of the two it was.
            if minute % 3 == 0 {
                let closed = (minute + 20).min(119);
                row["status"] = json!("Closed");
                row["closed_date"] = json!(format!("{day}T{:02}:{:02}:00.000", closed / 60, closed % 60));
            }
            lines.push(row.to_string());
        }
    }
    let path = file(&directory, "clocks.ndjson", &lines);
    let simulator = serve(&SimulatorOptions { file: vec![path], ..SimulatorOptions::default() }).unwrap();
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let window = async |service: &Service, since: &str, until: &str| {
        let id = service.submit(json!({"since": since, "until": until, "on": "created_date"})).await;
        let poll = service.finished(&id).await;
        assert_eq!(poll["state"], "succeeded", "{poll:#}");
    };
    // Each window brings the rows that the program places into it.
    for (since, until) in
        [("2024-11-03T05:00:00Z", "2024-11-03T06:00:00Z"), ("2024-03-10T07:00:00Z", "2024-03-10T08:00:00Z")]
    {
        service.database.execute("truncate nyc311.service_request_row, nyc311.service_request_history").await;
        window(&service, since, until).await;
        let placed = format!(
            "select count(*) from nyc311.service_request where created_at >= '{since}' and created_at < '{until}'"
        );
        let found = service.database.number(&placed).await;
        service.database.execute("truncate nyc311.service_request_row, nyc311.service_request_history").await;
        window(&service, "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z").await;
        let all = service.database.number(&placed).await;
        assert!(all > 0 && found == all, "{since}: {found} of {all}");
    }
    // Windows that meet bring all rows.
    service.database.execute("truncate nyc311.service_request_row, nyc311.service_request_history").await;
    for day in ["2024-11-03", "2024-03-10"] {
        for hour in 4..11 {
            window(&service, &format!("{day}T{hour:02}:00:00Z"), &format!("{day}T{:02}:00:00Z", hour + 1))
                .await;
        }
    }
    assert_eq!(
        service.database.number("select count(*) from nyc311.service_request").await,
        lines.len() as i64
    );
}
