//! Rows that are gone from the source, as an operator says over HTTP.

use serde_json::{Value, json};

use crate::rows::{rows, serve_file, text};

#[tokio::test]
async fn rows_that_are_withdrawn_are_in_no_answer_until_they_are_brought_back() {
    let (simulator, _folder) = serve_file(&rows(12, 2), |_| ());
    let http = reqwest::Client::new();
    let place = format!("http://{}/simulator/withdrawn", simulator.address());
    let ask = async |parameters: &[(&str, &str)]| -> Vec<Value> {
        let answer = http.get(simulator.resource_url()).query(parameters).send().await.unwrap();
        serde_json::from_slice(&answer.error_for_status().unwrap().bytes().await.unwrap()).unwrap()
    };
    let count = async || text(&ask(&[("$select", "count(*) as n")]).await[0], "n").to_owned();
    let body = json!({"keys": ["7000003", "7000004", "nobody"]}).to_string();
    let answer = http.post(&place).body(body).send().await.unwrap();
    let status: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(status["withdrawn"], 4, "both versions of two rows: {status}");
    assert_eq!(count().await, "10");
    assert!(ask(&[("unique_key", "7000003")]).await.is_empty());
    assert_eq!(ask(&[("$select", ":*,*"), ("$order", ":updated_at,:id")]).await.len(), 10);

    let refused = http.post(&place).body("{\"key\": 1}").send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(http.delete(&place).send().await.unwrap().status(), 200);
    assert_eq!(count().await, "12");
}
