//! Faults that are armed over HTTP, and the rows that they put into pages.

use std::collections::HashSet;

use nyc311_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::client::{client, walk};
use crate::rows::{parsed, rows, serve_file};

#[tokio::test]
async fn rows_that_are_put_in_cost_no_row() {
    let written = rows(40, 1);
    for kind in [FaultKind::MalformedRow, FaultKind::RepeatedRow] {
        let (simulator, _folder) = serve_file(&written, |_| ());
        simulator.inject(Fault::new(kind));
        let rows = walk(&client(&simulator), 10).await;
        let keys: HashSet<String> = rows
            .iter()
            .filter_map(|row| parsed(row).get("unique_key")?.as_str().map(str::to_owned))
            .filter(|key| key.starts_with('7'))
            .collect();
        assert_eq!(keys.len(), 40, "{kind:?}");
        assert!(rows.len() > 40, "{kind:?}");
    }
}

#[tokio::test]
async fn faults_are_armed_and_cleared_over_http() {
    let (simulator, _folder) = serve_file(&rows(5, 1), |_| ());
    let http = reqwest::Client::new();
    let faults = format!("http://{}/simulator/faults", simulator.address());
    let arm = async |body: &str| {
        let answer = http.post(&faults).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(arm(r#"{"kind": "malformed_row", "row": [1, 2], "at": 0, "count": 2}"#).await.0, 200);
    assert_eq!(arm(r#"[{"kind": "lagging_replica", "behind": "1h", "skip": 1}]"#).await.0, 200);
    let (status, message) = arm(r#"{"kind": "sloth"}"#).await;
    assert!(status == 400 && message.contains("unknown variant `sloth`"), "{message}");
    let client = client(&simulator);
    let first = client.fetch_page(10).await;
    assert_eq!(
        (first.rows.len(), first.rows[0].as_slice(), first.out_of_date),
        (6, b"[1,2]".as_slice(), false)
    );
    assert!(client.fetch_page(10).await.out_of_date);
    http.delete(&faults).send().await.unwrap().error_for_status().unwrap();
    let last = client.fetch_page(10).await;
    assert_eq!((last.rows.len(), last.out_of_date), (5, false));
}

#[tokio::test]
async fn a_large_row_is_taken_and_what_cannot_be_is_refused_as_json() {
    let (simulator, _folder) = serve_file(&rows(5, 1), |_| ());
    let http = reqwest::Client::new();
    let base = format!("http://{}/simulator", simulator.address());
    let fault =
        |bytes: usize| json!({"kind": "malformed_row", "row": "x".repeat(bytes), "at": 0}).to_string();
    let armed = http.post(format!("{base}/faults")).body(fault(2 << 20)).send().await.unwrap();
    assert_eq!(armed.status(), 200);
    let page = client(&simulator).fetch_page(10).await;
    assert_eq!(page.rows[0].len(), (2 << 20) + 2);
    for (path, body, status, expected) in [
        ("faults", fault(16 << 20), 413, "may have 16777216 bytes"),
        ("clock", fault(16 << 20), 413, "may have 16777216 bytes"),
        ("faults", r#"{"kind": "slow", "count": 0}"#.to_owned(), 400, "count is 0"),
    ] {
        let refused = http.post(format!("{base}/{path}")).body(body).send().await.unwrap();
        assert_eq!(refused.status(), status, "{path}");
        let problem: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
        assert!(problem["message"].as_str().unwrap().contains(expected), "{problem}");
    }
}

#[tokio::test]
async fn a_page_of_no_rows_has_none() {
    let (simulator, _folder) = serve_file(&rows(5, 1), |_| ());
    let http = reqwest::Client::new();
    for fault in [None, Some(FaultKind::MalformedRow), Some(FaultKind::RepeatedRow)] {
        simulator.clear_faults();
        fault.into_iter().for_each(|kind| simulator.inject(Fault::new(kind)));
        for order in [":updated_at, :id", "unique_key"] {
            let query = [("$limit", "0"), ("$order", order)];
            let answer = http.get(simulator.resource_url()).query(&query).send().await.unwrap();
            let rows: Vec<Value> = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(rows.len(), 0, "{fault:?} {order}");
        }
    }
}

#[tokio::test]
async fn a_reversed_page_has_the_same_rows_backwards() {
    let (simulator, _folder) = serve_file(&rows(7, 1), |_| ());
    let mut page = client(&simulator).fetch_page(5).await;
    simulator.inject(Fault::new(FaultKind::Reversed));
    let reversed = client(&simulator).fetch_page(5).await;
    page.rows.reverse();
    assert_eq!(reversed.rows, page.rows);
}
