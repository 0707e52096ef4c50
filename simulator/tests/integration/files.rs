//! Rows from files: which versions are shown, when, and that they are served as they were written.

use std::collections::HashSet;
use std::time::Duration;

use nyc311_simulator::{SimulatorOptions, serve};
use serde_json::{Value, json};

use crate::client::{client, walk};
use crate::rows::{identity, parsed, rows, serve_file, text};

#[tokio::test]
async fn a_row_is_served_as_it_was_written() {
    let written =
        r#"{ "unique_key":"9" ,"created_date":"2026-05-01T10:00:00.000", "x":"\u00e9\/","n":[1, 2.50]}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.ndjson");
    std::fs::write(&path, format!("\n{written}\r\n\n42\n{{}}")).unwrap();
    let simulator = serve(&SimulatorOptions { file: vec![path], ..SimulatorOptions::default() }).unwrap();
    let rows = walk(&client(&simulator), 10).await;
    let texts: HashSet<String> = rows.iter().map(|row| String::from_utf8(row.clone()).unwrap()).collect();
    assert_eq!(texts.len(), 3);
    assert!(texts.contains("42"));
    let whole = texts.iter().find(|text| text.contains("unique_key")).unwrap();
    assert!(whole.starts_with(&written[..written.len() - 1]), "{whole}");
    let bare = texts.iter().find(|text| text.starts_with("{\":id\"")).unwrap();
    assert_eq!(parsed(bare.as_bytes()).as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn the_newest_version_is_shown_and_every_one_when_told() {
    let written = rows(100, 3);
    let (simulator, _folder) = serve_file(&written, |_| ());
    let newest: Vec<Value> = walk(&client(&simulator), 13).await.iter().map(|row| parsed(row)).collect();
    assert_eq!(newest.len(), 100);
    assert!(newest.iter().all(|row| text(row, "descriptor").ends_with('2')));

    let (simulator, _folder) = serve_file(&written, |options| options.every_version = true);
    for limit in [1, 13, 1_000] {
        let every = walk(&client(&simulator), limit).await;
        let identities: HashSet<_> = every.iter().map(|row| identity(&parsed(row))).collect();
        assert_eq!((every.len(), identities.len()), (300, 300), "{limit}");
    }
}

#[tokio::test]
async fn versions_with_equal_stamps_are_not_torn_apart() {
    let tied: Vec<Value> = (0..30)
        .map(|index| {
            json!({"unique_key": (index / 3).to_string(), ":id": format!("row-{}", index / 3), ":version": format!("rv-{index}"),
                   ":updated_at": "2026-05-01T01:36:00.000Z", "created_date": "2026-04-29T10:00:00.000"})
        })
        .collect();
    let (simulator, _folder) = serve_file(&tied, |options| options.every_version = true);
    for limit in [1, 2, 4, 29] {
        assert_eq!(walk(&client(&simulator), limit).await.len(), 30, "{limit}");
    }
}

#[tokio::test]
async fn the_clock_brings_rows_and_versions() {
    let (simulator, _folder) = serve_file(&rows(60, 2), |options| {
        options.clock = Some("2026-05-01T00:00:00Z".parse().unwrap());
    });
    let client = client(&simulator);
    let count = async || walk(&client, 7).await.len();
    assert_eq!(count().await, 0);
    let http = reqwest::Client::new();
    let clock = format!("http://{}/simulator/clock", simulator.address());
    let move_to = async |body: Value| {
        let body = body.to_string();
        http.post(&clock).body(body).send().await.unwrap().error_for_status().unwrap();
    };
    move_to(json!({"now": "2026-05-03T12:00:00Z"})).await;
    assert_eq!(count().await, 20);
    move_to(json!({"advance": "2days"})).await;
    assert_eq!(count().await, 60);
    let first = client.fetch_page(100).await;
    assert_eq!(first.answered_at, "2026-05-05T12:00:00Z".parse().unwrap());
    assert!(first.rows.iter().all(|row| parsed(row).get("closed_date").is_none()));
    move_to(json!({"advance": "10days"})).await;
    let changed = client.fetch_page(100).await;
    assert_eq!(changed.rows.len(), 60);
    assert!(changed.rows.iter().all(|row| parsed(row).get("closed_date").is_some()));
}

#[tokio::test]
async fn rows_appear_late_and_in_parts() {
    let (simulator, _folder) = serve_file(&rows(200, 1), |options| {
        options.visible_after = Duration::from_secs(40 * 60);
        options.clock = Some("2026-05-03T01:41:00Z".parse().unwrap());
    });
    let client = client(&simulator);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(client.fetch_page(1_000).await.rows.len());
        simulator.clock().advance(Duration::from_secs(10 * 60));
    }
    assert!(seen[0] < seen[2] && seen[2] < seen[4], "{seen:?}");
}
