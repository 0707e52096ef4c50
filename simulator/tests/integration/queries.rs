//! Queries beyond those of the pipeline.

use serde_json::{Value, json};

use crate::rows::{rows, serve_file, text};

#[tokio::test]
async fn queries_of_all_kinds_are_answered() {
    let (simulator, _folder) = serve_file(&rows(90, 2), |_| ());
    let http = reqwest::Client::new();
    let ask = async |parameters: &[(&str, &str)]| -> Vec<Value> {
        let answer = http.get(simulator.resource_url()).query(parameters).send().await.unwrap();
        serde_json::from_slice(&answer.error_for_status().unwrap().bytes().await.unwrap()).unwrap()
    };
    assert_eq!(ask(&[("$select", "count(*)")]).await, [json!({"count": "90"})]);
    assert_eq!(
        ask(&[("$select", "date_trunc_ym(created_date) as month, count(*) as n"), ("$group", "month")]).await,
        [json!({"month": "2026-05-01T00:00:00.000", "n": "90"})]
    );
    assert_eq!(
        ask(&[
            ("$select", "unique_key as key, created_date"),
            ("$order", "unique_key desc"),
            ("$limit", "1")
        ])
        .await,
        [json!({"key": "7000089", "created_date": "2026-05-03T10:00:00.000"})]
    );
    let filter = "unique_key in ('7000001', '7000002') and closed_date is not null and landmark is null";
    assert_eq!(ask(&[("$where", filter)]).await.len(), 2);
    let plain = ask(&[("unique_key", "7000001")]).await;
    assert!(plain[0].get(":id").is_none() && plain[0].get("agency").is_some());
    let by_id: Vec<Value> = ask(&[("$select", ":id"), ("$order", ":id"), ("$limit", "90")]).await;
    let ids: Vec<&str> = by_id.iter().map(|row| text(row, ":id")).collect();
    assert_eq!(ids.len(), 90);
    assert!(!ids.is_sorted(), "the order of the texts means nothing");
    let filter = format!(":id > '{}'", ids[39]);
    let above = ask(&[("$select", ":id"), ("$where", &filter), ("$order", ":id"), ("$limit", "90")]).await;
    assert!(above.iter().map(|row| text(row, ":id")).eq(ids[40..].iter().copied()));
    let newest = ask(&[("$select", "max(:updated_at) as at")]).await;
    let last =
        ask(&[("$select", ":updated_at as at"), ("$order", ":updated_at desc, :id desc"), ("$limit", "1")])
            .await;
    assert_eq!(newest, last);
    let offset = ask(&[("$select", "unique_key"), ("$offset", "88")]).await;
    assert_eq!(offset.len(), 2);
}
