//! The control endpoint over real HTTP and a real database: every answer of the contract, each held against
//! the description.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nyc311::config::Settings;
use nyc311::store::Store;
use nyc311::store::polls::{PollError, PollState};
use nyc311::supervision::{StageState, StageStatus, Stalled};
use nyc311_testkit::{Endpoint, TestDatabase, http_client, stage};
use serde_json::{Value, json};

use crate::api_description::{check_problem, description};
use crate::asking::{Answer, Asking as _, id_of};

const TOKEN: &str = "correct-horse-battery-staple";
const LEASE: Duration = Duration::from_secs(30);

#[actix_rt::test]
async fn submitted_poll_is_queued_shown_and_listed() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let created = endpoint.submit(json!({"since": "2026-01-01T00:00:00-05:00", "until": "2026-01-02"})).await;
    assert_eq!(created.status, 202);
    let id = id_of(&created);
    assert_eq!(created.header("location"), format!("/v1/polls/{id}"));
    assert_eq!(created.body["state"], "queued");
    assert_eq!(created.body["attempt"], 1);
    assert_eq!(created.body["trigger"], "api");
    assert_eq!(created.body["queue_position"], 1);
    assert_eq!(
        created.body["window"],
        json!({"on": "updated_at", "since": "2026-01-01T05:00:00.000Z", "until": "2026-01-02T05:00:00.000Z"})
    );
    assert_eq!(created.body["cursor"], json!({"updated_at": null, "row_id": null}));
    assert_eq!(created.body["error"], Value::Null);
    assert_eq!(endpoint.view.woken.load(Ordering::SeqCst), 1);

    let shown = endpoint.with_poll("GET", &id).await;
    assert_eq!((shown.status, &shown.body), (200, &created.body));
    assert!(!shown.header("retry-after").is_empty());
    let listed = endpoint.get("/v1/polls").await;
    assert_eq!(listed.body, json!({"polls": [created.body], "next_page_token": null}));
}

#[actix_rt::test]
async fn empty_body_needs_no_content_type_and_is_the_empty_object() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let bare = endpoint.call("POST", "/v1/polls", "", |request| request.header("Idempotency-Key", "k")).await;
    assert_eq!(bare.status, 202);
    assert_eq!(bare.body["window"], json!({"on": "updated_at", "since": null, "until": null}));
    let same = endpoint.submit_with_key(Some("k"), json!({})).await;
    assert_eq!((same.status, id_of(&same)), (200, id_of(&bare)));
}

#[actix_rt::test]
async fn command_line_is_known_by_its_user_agent() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let poll = endpoint
        .call("POST", "/v1/polls", "", |request| request.header("User-Agent", "nyc311-cli/0.1.0"))
        .await;
    assert_eq!(poll.body["trigger"], "cli");
}

#[actix_rt::test]
async fn idempotency_key_makes_repeats_the_same_poll() {
    let (database, endpoint) = Endpoint::with_database().await;
    let text = "nyc311_poll/scheduled__2026-01-02T00:00:00+00:00";
    let key = Some(text);
    let first = endpoint.submit_with_key(key, json!({"since": "2026-01-01", "until": "2026-01-02"})).await;
    assert_eq!(first.status, 202);
    assert_eq!(first.body["idempotency_key"], text);
    // The order of the fields is not part of what was asked for.
    let again = endpoint
        .call("POST", "/v1/polls", "", |request| {
            request
                .header("Idempotency-Key", text)
                .header("content-type", "application/json; charset=utf-8")
                .body(r#" {"until":"2026-01-02",  "since":"2026-01-01"} "#)
        })
        .await;
    assert_eq!((again.status, id_of(&again)), (200, id_of(&first)));
    endpoint
        .submit_with_key(key, json!({"since": "2026-01-01"}))
        .await
        .is_problem(422, "idempotency-conflict");

    assert_eq!(endpoint.with_poll("DELETE", &id_of(&first)).await.status, 200);
    let resumed = endpoint.submit_with_key(key, json!({"since": "2026-01-01", "until": "2026-01-02"})).await;
    assert_eq!((resumed.status, id_of(&resumed)), (202, id_of(&first)));
    assert_eq!((&resumed.body["attempt"], &resumed.body["state"]), (&json!(2), &json!("queued")));
    assert_eq!(database.number("select count(*) from nyc311.poll").await, 1);
}

#[actix_rt::test]
async fn idempotency_key_must_be_short_and_printable() {
    let (_database, endpoint) = Endpoint::with_database().await;
    assert_eq!(endpoint.submit_with_key(Some(&"k".repeat(512)), json!({})).await.status, 202);
    for wrong in ["k".repeat(513), String::new(), "clé".to_owned()] {
        let refused = endpoint.submit_with_key(Some(&wrong), json!({})).await;
        refused.is_problem(422, "invalid-field");
        assert_eq!(refused.body["errors"][0]["pointer"], "/Idempotency-Key");
    }
    let twice = endpoint
        .call("POST", "/v1/polls", "", |request| {
            request.header("Idempotency-Key", "a").header("Idempotency-Key", "b")
        })
        .await;
    twice.is_problem(422, "invalid-field");
}

#[actix_rt::test]
async fn bad_bodies_are_refused_each_with_its_own_answer() {
    let (database, endpoint) = Endpoint::with_database().await;
    let send = |content_type: &'static str, body: String| {
        endpoint.call("POST", "/v1/polls", "", move |request| {
            request.header("content-type", content_type).body(body)
        })
    };
    send("application/json", "{\"since\"".into()).await.is_problem(400, "malformed-json");
    let twice =
        send("application/json", r#" {"on": null, "since": "2026-01-01", "sinc\u0065": null}"#.into()).await;
    twice.is_problem(400, "malformed-json");
    assert!(twice.body["detail"].as_str().unwrap().contains("\"since\" stands twice"), "{}", twice.body);
    send("application/x-www-form-urlencoded", "since=2026".into())
        .await
        .is_problem(415, "unsupported-media-type");
    send("application/json; charset=latin1", "{}".into()).await.is_problem(415, "unsupported-media-type");
    let bare = endpoint.call("POST", "/v1/polls", "", |request| request.body("{}")).await;
    bare.is_problem(415, "unsupported-media-type");
    let packed = endpoint
        .call("POST", "/v1/polls", "", |request| {
            request.header("content-type", "application/json").header("content-encoding", "gzip").body("{}")
        })
        .await;
    packed.is_problem(415, "unsupported-media-type");
    send("application/json", " ".repeat(70_000)).await.is_problem(413, "body-too-large");
    let chunks = futures_util::stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let endless = endpoint
        .call("POST", "/v1/polls", "", |request| {
            request.header("content-type", "application/json").body(reqwest::Body::wrap_stream(chunks))
        })
        .await;
    endless.is_problem(413, "body-too-large");
    assert_eq!(database.number("select count(*) from nyc311.poll").await, 0);
}

#[actix_rt::test]
async fn wrong_and_unknown_fields_are_named() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let unknown = endpoint.submit(json!({"sinse": "2026-01-01"})).await;
    unknown.is_problem(422, "unknown-field");
    assert_eq!(unknown.body["errors"][0]["pointer"], "/sinse");
    assert_eq!(unknown.body["errors"][0]["value"], "2026-01-01");
    assert!(unknown.body["errors"][0]["detail"].as_str().unwrap().contains("\"since\""));
    assert_eq!(unknown.body["instance"], "/v1/polls");
    let wrong =
        endpoint.submit(json!({"since": "2026-01-01T00:00:00", "until": 7, "on": "closed_date"})).await;
    wrong.is_problem(422, "invalid-field");
    let pointers: Vec<_> =
        wrong.body["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/since", "/until", "/on"]);
    endpoint
        .submit(json!({"since": "2026-01-02", "until": "2026-01-01"}))
        .await
        .is_problem(422, "invalid-field");
    endpoint.submit(json!([1])).await.is_problem(422, "invalid-field");
}

#[actix_rt::test]
async fn token_is_needed_for_everything_but_probes_metrics_and_description() {
    let database = TestDatabase::create().await;
    let mut endpoint = Endpoint::start(database.another_store(), Some(TOKEN), &[]);
    assert_eq!(endpoint.get("/v1/polls").await.status, 200);
    endpoint.token = None;
    for (method, path) in [
        ("GET", "/v1/polls"),
        ("POST", "/v1/polls"),
        ("GET", "/v1/polls/{id}"),
        ("DELETE", "/v1/polls/{id}"),
        ("GET", "/v1/pipeline"),
    ] {
        for given in [None, Some("Bearer wrong"), Some("Basic Y29ycmVjdA=="), Some("Bearer ")] {
            let refused = endpoint
                .call(method, path, "x", |request| match given {
                    Some(given) => request.header("Authorization", given),
                    None => request,
                })
                .await;
            refused.is_problem(401, "unauthorized");
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        }
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(endpoint.get(path).await.status, 200, "{path}");
    }
    let unknown = http_client().get(format!("{}/v1/nowhere", endpoint.url)).send().await.unwrap();
    assert_eq!(unknown.status(), 401);
}

#[actix_rt::test]
async fn what_is_not_there_is_not_found() {
    let (_database, endpoint) = Endpoint::with_database().await;
    for id in ["0198c0de-0000-7000-8000-000000000000", "nonsense"] {
        endpoint.with_poll("GET", id).await.is_problem(404, "poll-not-found");
        endpoint.with_poll("DELETE", id).await.is_problem(404, "poll-not-found");
    }
    for path in ["/", "/v1", "/v1/poll", "/v2/polls"] {
        let answer = http_client().get(format!("{}{path}", endpoint.url)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        check_problem(&answer.text().await.unwrap());
    }
}

#[actix_rt::test]
async fn other_methods_are_refused_with_those_that_are_described() {
    let (_database, endpoint) = Endpoint::with_database().await;
    for (path, operations) in description()["paths"].as_object().unwrap() {
        let mut described: Vec<String> = ["get", "post", "delete"]
            .iter()
            .filter(|method| operations.get(*method).is_some())
            .map(|method| method.to_uppercase())
            .collect();
        if described.contains(&"GET".to_owned()) {
            described.insert(1, "HEAD".to_owned());
        }
        let answer =
            http_client().put(format!("{}{}", endpoint.url, path.replace("{id}", "x"))).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(answer.headers()["allow"], described.join(", "), "{path}");
        check_problem(&answer.text().await.unwrap());
    }
    let head = endpoint.call("HEAD", "/healthz", "", |request| request).await;
    assert_eq!((head.status, head.body), (200, json!("")));
}

#[actix_rt::test]
async fn full_queue_is_answered_429_with_the_time_to_wait() {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start(database.another_store(), None, &[("poll.max_queued", "2")]);
    for _ in 0..2 {
        assert_eq!(endpoint.submit(json!({})).await.status, 202);
    }
    let refused = endpoint.submit(json!({})).await;
    refused.is_problem(429, "queue-full");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
}

#[actix_rt::test]
async fn cancelling_depends_on_how_far_the_poll_is() {
    let (database, endpoint) = Endpoint::with_database().await;
    let running = id_of(&endpoint.submit(json!({})).await);
    let queued = id_of(&endpoint.submit(json!({})).await);
    let leased = database.acquire_poll("test", LEASE).await.unwrap().unwrap();
    assert_eq!(leased.poll.id.to_string(), running);

    let cancelled = endpoint.with_poll("DELETE", &queued).await;
    assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &json!("cancelled")));
    assert_eq!(endpoint.with_poll("DELETE", &queued).await.status, 200);
    assert!(endpoint.with_poll("GET", &queued).await.header("retry-after").is_empty());

    let asked = endpoint.with_poll("DELETE", &running).await;
    assert_eq!((asked.status, &asked.body["state"]), (202, &json!("running")));
    assert!(asked.body["cancel_requested_at"].is_string());

    let error = PollError {
        code: "source_refused".into(),
        stage: "poller".into(),
        detail: "no".into(),
        http_status: Some(403),
        retryable: false,
    };
    database.fail_poll(leased.poll.id, leased.token, &error).await.unwrap();
    let failed = endpoint.with_poll("GET", &running).await;
    assert_eq!(failed.body["state"], "failed");
    assert_eq!(failed.body["error"]["http_status"], 403);
    endpoint.with_poll("DELETE", &running).await.is_problem(409, "poll-finished");
}

#[actix_rt::test]
async fn list_is_paged_newest_first_and_filtered_by_state() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let mut submitted = Vec::new();
    for _ in 0..5 {
        submitted.push(id_of(&endpoint.submit(json!({})).await));
    }
    endpoint.with_poll("DELETE", &submitted[0]).await;
    submitted.reverse();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = endpoint.get(&format!("/v1/polls?limit=2&page_token={token}")).await;
        assert_eq!(page.status, 200);
        seen.extend(
            page.body["polls"].as_array().unwrap().iter().map(|poll| poll["id"].as_str().unwrap().to_owned()),
        );
        match page.body["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, submitted);
    let count = |answer: Answer| answer.body["polls"].as_array().unwrap().len();
    assert_eq!(count(endpoint.get("/v1/polls?state=queued").await), 4);
    assert_eq!(count(endpoint.get("/v1/polls?state=queued,cancelled").await), 5);
    assert_eq!(count(endpoint.get("/v1/polls?state=running&state=cancelled").await), 1);
    for wrong in ["limit=0", "limit=many", "state=done", "page_token=abc"] {
        endpoint.get(&format!("/v1/polls?{wrong}")).await.is_problem(422, "invalid-field");
    }
    endpoint.get("/v1/polls?page=2").await.is_problem(422, "unknown-field");
}

#[actix_rt::test]
async fn database_that_is_away_is_answered_503_and_the_rest_goes_on() {
    let settings = Settings::with(&[("database.url", "postgresql://nobody@127.0.0.1:1/none")]).unwrap();
    let endpoint = Endpoint::start(Store::new(&settings.database).unwrap(), None, &[]);
    for answer in [
        endpoint.submit(json!({})).await,
        endpoint.get("/v1/polls").await,
        endpoint.with_poll("GET", "0198c0de-0000-7000-8000-000000000000").await,
    ] {
        answer.is_problem(503, "dependency-unavailable");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    // A request that is wrong is told so without the database.
    endpoint.submit(json!({"on": 1})).await.is_problem(422, "invalid-field");
    assert_eq!(endpoint.get("/healthz").await.body, json!({"status": "ok"}));
    assert_eq!(endpoint.get("/v1/pipeline").await.status, 200);
}

#[actix_rt::test]
async fn database_without_tables_is_not_ready_rather_than_broken() {
    let database = TestDatabase::create_empty().await;
    let endpoint = Endpoint::start(database.another_store(), None, &[]);
    endpoint.submit(json!({})).await.is_problem(503, "dependency-unavailable");
}

/// Asks whether it is ready; what other tests of this process have armed is left out.
async fn readiness(endpoint: &Endpoint) -> Answer {
    let mut answer = endpoint.get("/readyz").await;
    assert!(
        answer.body.as_object_mut().unwrap().remove("faults_armed").is_some_and(|armed| armed.is_array())
    );
    answer
}

#[actix_rt::test]
async fn readiness_says_what_is_in_the_way() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let view = &endpoint.view;
    *view.stages.lock() = vec![
        stage("enricher", Some("bronx"), StageState::Running),
        stage("writer", None, StageState::Running),
    ];
    let ready = readiness(&endpoint).await;
    assert_eq!(
        (ready.status, ready.body),
        (200, json!({"ready": true, "missing": [], "reasons": {}, "stages": {}, "stalled": []}))
    );

    // Every stage runs, nothing is away, and yet nothing flows.
    *view.stalled.lock() =
        vec![Stalled { stage: "raw_consumer", topic: "nyc311.raw".into(), partition: Some(3) }];
    let stalled = json!([{"stage": "raw_consumer", "topic": "nyc311.raw", "partition": 3}]);
    let still = readiness(&endpoint).await;
    assert_eq!(
        (still.status, still.body),
        (503, json!({"ready": false, "missing": [], "reasons": {}, "stages": {}, "stalled": stalled}))
    );
    let pipeline = endpoint.get("/v1/pipeline").await;
    assert_eq!((&pipeline.body["ready"], &pipeline.body["stalled"]), (&json!(false), &stalled));
    view.stalled.lock().clear();

    *view.missing.lock() = vec!["database".into()];
    view.reasons.lock().insert("database".into(), "connection refused".into());
    *view.stages.lock() = vec![
        stage("enricher", Some("bronx"), StageState::Restarting),
        stage("enricher", Some("queens"), StageState::Starting),
        StageStatus { waiting_for: Some("kafka".into()), ..stage("raw_consumer", None, StageState::Waiting) },
        stage("writer", None, StageState::Running),
    ];
    let away = readiness(&endpoint).await;
    assert_eq!(away.status, 503);
    assert_eq!(
        away.body,
        json!({
            "ready": false, "missing": ["database", "kafka"], "reasons": {"database": "connection refused"},
            "stages": {"enricher": "restarting", "raw_consumer": "waiting"}, "stalled": [],
        })
    );
    let pipeline = endpoint.get("/v1/pipeline").await;
    assert_eq!(pipeline.body["ready"], false);
    assert_eq!(pipeline.body["stages"][0]["borough"], "bronx");
    assert_eq!(
        pipeline.body["partitions"][0],
        json!({"topic": "nyc311.raw", "partition": 0, "position": 3, "end": 5, "lag": 2})
    );
}

#[actix_rt::test]
async fn metrics_are_served_as_text() {
    let (_database, endpoint) = Endpoint::with_database().await;
    endpoint.submit(json!({})).await;
    let metrics = endpoint.get("/metrics").await;
    let text = metrics.body.as_str().unwrap();
    assert!(text.contains("nyc311_polls_total{state=\"queued\"}"));
    assert!(text.contains("nyc311_db_pool_connections{state=\"idle\"}"));
    let described = endpoint.get("/openapi.json").await;
    assert_eq!(described.body["openapi"], "3.1.0");
}

#[actix_rt::test]
async fn every_state_of_a_poll_is_described() {
    let described = &description()["components"]["schemas"]["Poll"]["properties"]["state"]["enum"];
    assert_eq!(described, &json!(PollState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>()));
}
