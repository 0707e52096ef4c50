//! `/v1/reconciliations` over real HTTP; each answer is held against the description.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nyc311::reconciliation::ReconciliationState;
use nyc311::store::reconciliations::{Found, Step};
use nyc311_testkit::Endpoint;
use serde_json::{Value, json};

use crate::api_description::{self, description};
use crate::asking::{Answer, Asking, id_of};

const PATH: &str = "/v1/reconciliations";
const ONE: &str = "/v1/reconciliations/{id}";

async fn submit(endpoint: &Endpoint, key: Option<&str>, body: Value) -> Answer {
    endpoint
        .call("POST", PATH, "", |request| {
            let request = request.header("content-type", "application/json").body(body.to_string());
            match key {
                Some(key) => request.header("Idempotency-Key", key),
                None => request,
            }
        })
        .await
}

async fn with(endpoint: &Endpoint, method: &str, id: &str) -> Answer {
    endpoint.call(method, ONE, id, |request| request).await
}

#[actix_rt::test]
async fn a_reconciliation_is_queued_known_by_its_key_shown_and_cancelled() {
    let (database, endpoint) = Endpoint::with_database().await;
    let body = json!({"since": "2026-03-15T12:00:00Z", "until": "2026-05-01"});
    let submitted = submit(&endpoint, Some("daily"), body.clone()).await;
    assert_eq!((submitted.status, &submitted.body["state"]), (202, &json!("queued")));
    assert_eq!(submitted.body["since"], "2026-03-01T05:00:00.000Z", "whole months");
    assert_eq!(submitted.body["until"], "2026-05-01T04:00:00.000Z", "the end of a month is one");
    assert_eq!(endpoint.view.woken.load(Ordering::SeqCst), 1);
    let id = id_of(&submitted);
    assert_eq!(submitted.header("location"), format!("{PATH}/{id}"));
    assert_eq!(submitted.header("retry-after"), "2");
    assert_eq!(submit(&endpoint, Some("daily"), body).await.status, 200);
    submit(&endpoint, Some("daily"), json!({})).await.is_problem(422, "idempotency-conflict");

    assert_eq!(with(&endpoint, "GET", &id).await.body, submitted.body);
    let cancelled = with(&endpoint, "DELETE", &id).await;
    assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &json!("cancelled")));
    assert_eq!(with(&endpoint, "DELETE", &id).await.status, 200, "once more");
    with(&endpoint, "GET", "0199e3a4-6c1e-7d03-9a51-3f8e1c9d2b77")
        .await
        .is_problem(404, "reconciliation-not-found");
    with(&endpoint, "DELETE", "no-id").await.is_problem(404, "reconciliation-not-found");

    submit(&endpoint, None, json!({})).await;
    let leased = database.acquire_reconciliation("test", Duration::from_secs(30)).await.unwrap().unwrap();
    let id = leased.reconciliation.id.to_string();
    let asked = with(&endpoint, "DELETE", &id).await;
    assert_eq!((asked.status, &asked.body["state"]), (202, &json!("comparing")));
    let (found, done) = (Found::default(), Step::Succeeded);
    database.record_comparison(leased.reconciliation.id, leased.token, &found, &done).await.unwrap();
    let ended = with(&endpoint, "GET", &id).await;
    assert_eq!((ended.header("retry-after"), &ended.body["state"]), ("", &json!("succeeded")));
    with(&endpoint, "DELETE", &id).await.is_problem(409, "reconciliation-finished");
}

#[actix_rt::test]
async fn reconciliations_are_listed_newest_first_in_pages() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id_of(&submit(&endpoint, None, json!({})).await));
    }
    with(&endpoint, "DELETE", &ids[1]).await;
    let listed = |answer: &Answer| -> Vec<String> {
        let found = answer.body["reconciliations"].as_array().unwrap().iter();
        found.map(|found| found["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = endpoint.get(&format!("{PATH}?limit=2")).await;
    assert_eq!(listed(&first), [ids[2].clone(), ids[1].clone()]);
    let token = first.body["next_page_token"].as_str().unwrap();
    let second = endpoint.get(&format!("{PATH}?limit=2&page_token={token}")).await;
    assert_eq!((listed(&second), &second.body["next_page_token"]), (vec![ids[0].clone()], &json!(null)));
    let cancelled = endpoint.get(&format!("{PATH}?state=cancelled")).await;
    assert_eq!(listed(&cancelled), [ids[1].clone()]);
    endpoint.get(&format!("{PATH}?state=running")).await.is_problem(422, "invalid-field");
    endpoint.get(&format!("{PATH}?states=queued")).await.is_problem(422, "unknown-field");
}

#[actix_rt::test]
async fn bodies_of_reconciliations_are_taken_where_they_are_described() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let described = description();
    let schema =
        api_description::validator(&described, &described["components"]["schemas"]["ReconciliationRequest"]);
    for (body, taken) in [
        (json!({}), true),
        (json!({"since": null, "until": null}), true),
        (json!({"since": "2026-01-31"}), true),
        (json!({"until": "2026-01-31T00:00:00-05:00"}), true),
        (json!({"since": "yesterday"}), false),
        (json!({"since": 5}), false),
        (json!({"on": "created_date"}), false),
        (json!([]), false),
        (json!(null), false),
    ] {
        assert_eq!(schema.is_valid(&body), taken, "{body}");
        let answer = submit(&endpoint, None, body.clone()).await;
        assert_eq!(answer.status, if taken { 202 } else { 422 }, "{body}: {}", answer.body);
    }
    // What no schema can say.
    let upside_down = submit(&endpoint, None, json!({"since": "2026-02-01", "until": "2026-01-01"})).await;
    upside_down.is_problem(422, "invalid-field");
    assert_eq!(upside_down.body["errors"][0]["pointer"], "/since");
    let states = &described["components"]["schemas"]["Reconciliation"]["properties"]["state"]["enum"];
    let words: Vec<&str> = ReconciliationState::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(states, &json!(words));
}

#[actix_rt::test]
async fn as_many_wait_as_may_and_no_more() {
    let database = nyc311_testkit::TestDatabase::create().await;
    let endpoint = Endpoint::start(database.another_store(), None, &[("poll.max_queued", "1")]);
    assert_eq!(submit(&endpoint, None, json!({})).await.status, 202);
    let refused = submit(&endpoint, None, json!({})).await;
    refused.is_problem(429, "queue-full");
    assert_eq!(refused.header("retry-after"), "30");
}
