//! What the source says in new words: noticed, counted, listed.

use std::collections::BTreeSet;

use nyc311_testkit::TestDatabase;
use nyc311_testkit::source_rows::{file, row, simulate_lines};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PROGRAM;

fn words(drift: &Value) -> BTreeSet<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let terms = drift.as_array().unwrap().iter();
    terms.map(|term| (text(&term["kind"]), text(&term["value"]), term["vanished_at"].is_null())).collect()
}

fn expected(words: &[(&str, &str, bool)]) -> BTreeSet<(String, String, bool)> {
    words.iter().map(|(kind, value, there)| ((*kind).to_owned(), (*value).to_owned(), *there)).collect()
}

#[tokio::test]
async fn new_words_and_columns_that_come_and_go_are_noticed() {
    let directory = TempDir::new().unwrap();
    let mut strange = row(1, 1);
    strange["status"] = json!("Escalated");
    strange["agency"] = json!("MOON");
    strange["complaint_type"] = json!("DRONE noise");
    strange["mood"] = json!("bad");
    strange["park_borough"] = json!("QUEENS");
    let simulator = simulate_lines(&directory, &[row(0, 1).to_string(), strange.to_string()]);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;

    let drift = service.get("/v1/pipeline").await.unwrap()["drift"].clone();
    let appeared = [
        ("agency", "MOON", true),
        ("column", "mood", true),
        ("complaint_type", "Drone Noise", true),
        ("status", "Escalated", true),
    ];
    assert_eq!(words(&drift), expected(&appeared));
    let first = |value: &str| {
        let term = drift.as_array().unwrap().iter().find(|term| term["value"] == value).unwrap();
        term["first_source_updated_at"].clone()
    };
    assert_eq!(first("MOON"), strange[":updated_at"]);
    let metrics = service.text("/metrics").await;
    for kind in ["agency", "column", "complaint_type", "status"] {
        let line = format!("nyc311_drift_total{{change=\"appeared\",kind=\"{kind}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(service.log().contains("the source says something new"));

    // What the rules know is noted too, but is no drift.
    let listed = service.command(&["drift", "--all", "--output", "json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let listed = words(&listed["drift"]);
    for known in
        [("agency", "NYPD", true), ("column", "park_borough", true), ("column", "created_date", true)]
    {
        assert!(listed.is_superset(&expected(&[known])), "{known:?}: {listed:?}");
    }

    // The same again is no news; a source without the column drops it.
    service.poll().await;
    assert_eq!(service.get("/v1/pipeline").await.unwrap()["drift"], drift);
    let plain = file(&directory, "plain.ndjson", &[row(0, 1).to_string(), row(5, 2).to_string()]);
    let plain = nyc311_simulator::serve(&nyc311_simulator::SimulatorOptions {
        file: vec![plain],
        ..Default::default()
    })
    .unwrap();
    service.terminate().await;
    service.spawn(&["run"], &[("NYC311_SOURCE__URL", &plain.resource_url())]);
    service.ready().await;
    service.poll().await;
    let drift = service.get("/v1/pipeline").await.unwrap()["drift"].clone();
    let gone = appeared.map(|(kind, value, _)| (kind, value, value != "mood"));
    assert_eq!(words(&drift), expected(&gone));
    let metrics = service.text("/metrics").await;
    assert!(metrics.contains("nyc311_drift_total{change=\"vanished\",kind=\"column\"} 1\n"), "{metrics}");
    let table = service.command(&["drift"]).output().unwrap();
    assert!(String::from_utf8(table.stdout).unwrap().contains("Escalated"));
}

#[tokio::test]
async fn columns_are_noted_from_the_first_answer_of_a_replica_that_does_not_lag() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<String> = (0..30).map(|key| row(key, 1).to_string()).collect();
    let simulator = simulate_lines(&directory, &rows);
    simulator.inject("lagging_replica,count=1,behind=1m".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "10")]).await;
    service.start().await;
    service.poll().await;
    let named = "select count(*) from nyc311.source_term where kind = 'column' and value = 'created_date'";
    assert_eq!(service.database.number(named).await, 1);
}

#[tokio::test]
async fn words_are_judged_anew_by_a_program_that_has_learnt_some() {
    let database = TestDatabase::create().await;
    database
        .execute(
            "insert into nyc311.source_term (kind, value, known)
             values ('agency', 'NYPD', false), ('status', 'Escalated', true)",
        )
        .await;
    database.migrate().await.unwrap();
    let terms = database.terms(false, 10).await.unwrap();
    let unknown: Vec<_> = terms.iter().map(|term| (term.kind.as_str(), &*term.value)).collect();
    assert_eq!(unknown, [("status", "Escalated")]);
}
