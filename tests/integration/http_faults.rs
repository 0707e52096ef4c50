//! Faults over HTTP: armed, shown and cleared, and out of reach where they are switched off.
//!
//! The endpoint is in the test's own process, with all other tests: what is armed here strikes at visits that
//! nobody lives to see.

use nyc311::faults::POINTS;
use nyc311_testkit::{Endpoint, TestDatabase};
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::asking::{Answer, Asking as _};

/// More visits than any run has.
const NEVER: u64 = 1 << 50;

async fn enabled() -> (TestDatabase, Endpoint) {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start(database.another_store(), None, &[("faults.enabled", "true")]);
    (database, endpoint)
}

async fn arm(endpoint: &Endpoint, body: Value) -> Answer {
    endpoint
        .call("POST", "/v1/faults", "", |request| {
            request.header("content-type", "application/json").body(body.to_string())
        })
        .await
}

async fn one(endpoint: &Endpoint, method: &str, id: &str) -> Answer {
    endpoint.call(method, "/v1/faults/{id}", id, |request| request).await
}

fn has(list: &Value, id: &Value) -> bool {
    list.as_array().unwrap().iter().any(|fault| &fault["id"] == id)
}

#[actix_rt::test]
async fn nothing_about_faults_can_be_reached_where_they_are_switched_off() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let answers = [
        arm(&endpoint, json!({"stage": "writer", "fault": "kill"})).await,
        endpoint.get("/v1/faults").await,
        endpoint.call("DELETE", "/v1/faults", "", |request| request).await,
        one(&endpoint, "GET", "1").await,
        one(&endpoint, "DELETE", "1").await,
    ];
    for answer in answers {
        answer.is_problem(403, "feature-disabled");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("faults.enabled") && detail.contains("NYC311_FAULTS__ENABLED"), "{detail}");
    }
    let refused = PROGRAM.asking(&endpoint).run(&["fault", "add", "writer", "kill"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("faults.enabled is not set"), "{refused:?}");
}

#[actix_rt::test]
async fn a_fault_is_armed_shown_everywhere_and_cleared() {
    let (_database, endpoint) = enabled().await;
    let armed = arm(
        &endpoint,
        json!({"point": "poller:finish:after", "fault": "error", "error": "deadlock", "skip": NEVER,
               "every": 2, "count": 3, "probability": 0.5, "expires_in": "10m", "stage": null}),
    )
    .await;
    assert_eq!(armed.status, 201, "{}", armed.body);
    let id = armed.body["id"].to_string();
    assert_eq!(armed.header("location"), format!("/v1/faults/{id}"));
    for (field, expected) in [
        ("point", json!("poller:finish:after")),
        ("stage", Value::Null),
        ("fault", json!("error")),
        ("error", json!("deadlock")),
        ("delay", Value::Null),
        ("skip", json!(NEVER)),
        ("every", json!(2)),
        ("count", json!(3)),
        ("probability", json!(0.5)),
        ("expires_in", json!("10m")),
        ("state", json!("armed")),
        ("hits", json!(0)),
    ] {
        assert_eq!(armed.body[field], expected, "{field}");
    }
    assert!(armed.body["seed"].is_u64(), "a seed is chosen and shown: {}", armed.body);

    let list = endpoint.get("/v1/faults").await.body;
    assert!(has(&list["faults"], &armed.body["id"]) && !has(&list["ended"], &armed.body["id"]), "{list}");
    assert_eq!(list["points"].as_array().unwrap().len(), POINTS.len());
    assert!(list["stages"].as_array().unwrap().contains(&json!("raw_consumer")));
    let ready = endpoint.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)), "{}", ready.body);
    let pipeline = endpoint.get("/v1/pipeline").await.body;
    for document in [&ready.body, &pipeline] {
        let shown = document["faults_armed"].to_string();
        assert!(shown.contains("poller:finish:after=error:deadlock@"), "{shown}");
    }

    assert_eq!(one(&endpoint, "DELETE", &id).await.status, 204);
    let shown = one(&endpoint, "GET", &id).await;
    assert_eq!((shown.status, &shown.body["state"]), (200, &json!("cleared")));
    assert!(has(&endpoint.get("/v1/faults").await.body["ended"], &armed.body["id"]));
    for unknown in ["18446744073709551615", "0", "-1", "first"] {
        for method in ["GET", "DELETE"] {
            one(&endpoint, method, unknown).await.is_problem(404, "fault-not-found");
        }
    }
}

#[actix_rt::test]
async fn what_is_no_fault_is_refused_with_field_value_and_remedy() {
    let (_database, endpoint) = enabled().await;
    for (body, pointer, detail) in [
        (
            json!({"fault": "panic", "point": "writer:comit:after"}),
            "/point",
            "the nearest name is writer:commit:after",
        ),
        (json!({"fault": "kill", "stage": "scribe"}), "/stage", "write one of control, poller"),
        (json!({"fault": "explode", "stage": "writer"}), "/fault", "write one of panic, error"),
        (json!({"stage": "writer"}), "/fault", "is missing; write one of panic"),
        (json!({"fault": "panic"}), "/point", "write one of the two"),
        (
            json!({"fault": "panic", "stage": "writer", "point": "writer:commit:after"}),
            "/stage",
            "one of the two",
        ),
        (json!({"fault": "kill", "point": "writer:commit:after"}), "/fault", "name a stage"),
        (json!({"fault": "corrupt", "stage": "writer"}), "/fault", "the enricher; name it as the stage"),
        (json!({"fault": "delay", "stage": "writer"}), "/delay", "write how long, as 500ms"),
        (json!({"fault": "delay", "stage": "writer", "delay": "5"}), "/delay", "write a number and its unit"),
        (
            json!({"fault": "error", "point": "poller:fetch:before", "error": "deadlock"}),
            "/error",
            "write one of refused, timeout, cut, throttled",
        ),
        (json!({"fault": "kill", "stage": "writer", "count": 0}), "/count", "is not a whole number from 1"),
        (json!({"fault": "kill", "stage": "writer", "count": "3"}), "/count", "is not a whole number"),
        (
            json!({"fault": "kill", "stage": "writer", "probability": 2}),
            "/probability",
            "above 0 and at most 1",
        ),
        (json!({"fault": "kill", "stage": "writer", "expires_in": "2h"}), "/expires_in", "at most 60 m"),
    ] {
        let refused = arm(&endpoint, body.clone()).await;
        refused.is_problem(422, "invalid-field");
        let errors = refused.body["errors"].as_array().unwrap();
        let named = errors.iter().find(|error| error["pointer"] == pointer);
        let named = named.unwrap_or_else(|| panic!("{body}: {}", refused.body));
        assert!(named["detail"].as_str().unwrap().contains(detail), "{body}: {named}");
        assert_eq!(named["value"], body.pointer(pointer).cloned().unwrap_or(Value::Null), "{body}");
    }
    let below = arm(&endpoint, json!({"fault": "kill", "stage": "writer", "every": -1})).await;
    assert_eq!(below.body["detail"], "/every: is not a whole number from 1 on");
    let unknown = arm(&endpoint, json!({"fault": "kill", "stage": "writer", "pint": 1})).await;
    unknown.is_problem(422, "unknown-field");
    assert!(unknown.body["errors"][0]["detail"].as_str().unwrap().contains("the nearest name is \"point\""));
    let list = arm(&endpoint, json!([])).await;
    list.is_problem(422, "invalid-field");
    assert_eq!(list.body["detail"], "the body is not an object");
}

#[actix_rt::test]
async fn a_parameter_that_would_leave_some_faults_armed_clears_none() {
    let (_database, endpoint) = enabled().await;
    let armed = arm(&endpoint, json!({"stage": "writer", "fault": "kill", "skip": NEVER})).await;
    let refused = endpoint.call("DELETE", "/v1/faults?stage=control", "", |request| request).await;
    refused.is_problem(422, "unknown-field");
    let id = armed.body["id"].to_string();
    assert_eq!(one(&endpoint, "GET", &id).await.body["state"], "armed");
    assert_eq!(one(&endpoint, "DELETE", &id).await.status, 204);
}

#[actix_rt::test]
async fn the_command_line_arms_lists_and_clears() {
    let (_database, endpoint) = enabled().await;
    let binary = PROGRAM.asking(&endpoint);
    let (never, text) = (NEVER.to_string(), "--output");
    let added = binary
        .run(&[
            "fault",
            "add",
            "writer:write:before",
            "delay",
            "--delay",
            "1s",
            "--skip",
            &never,
            text,
            "json",
        ])
        .await;
    assert_eq!(added.code, 0, "{added:?}");
    let added = added.json();
    assert_eq!((&added["delay"], &added["state"]), (&json!("1s"), &json!("armed")));
    let id = added["id"].to_string();
    let listed = binary.run(&["fault", "list", "--names"]).await;
    for expected in ["writer:write:before", "delay:1s", "POINT", "serialization_failure", "raw_publisher"] {
        assert!(listed.stdout.contains(expected), "{expected}: {listed:?}");
    }
    assert!(has(&binary.run(&["fault", "list", text, "json"]).await.json()["faults"], &added["id"]));
    let health = binary.run(&["health"]).await;
    assert_eq!(health.code, 0, "{health:?}");
    assert!(health.stdout.contains("ready; faults are armed on purpose: "), "{health:?}");
    assert!(binary.run(&["status"]).await.stdout.contains("fault armed: writer:write:before=delay:1s@"));
    let cleared = binary.run(&["fault", "clear", &id]).await;
    assert_eq!((cleared.code, cleared.stdout.trim()), (0, "cleared"), "{cleared:?}");
    assert_eq!(binary.run(&["fault", "clear", "18446744073709551615"]).await.code, 1);
    for none in ["NaN", "inf", "-inf", "0", "1.5"] {
        let refused = binary.run(&["fault", "add", "writer", "panic", "--probability", none]).await;
        assert_eq!(refused.code, 2, "{none}: {refused:?}");
    }
    let refused = binary.run(&["fault", "add", "writer:comit:after", "panic"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("the nearest name is writer:commit:after"), "{refused:?}");
}
