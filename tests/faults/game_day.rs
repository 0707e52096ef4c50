//! A game day: an operator breaks a running service by its API and its command line, watches, and mends it.

use nyc311_testkit::{Service, http_client};
use serde_json::{Value, json};

use crate::crashed::{ALL_ROLES, ROWS, assert_nothing_came_twice, count, service, spawn_faulty, whole};

/// Starts a service that may be broken.
async fn breakable(more: &[(&str, &str)]) -> Service {
    let mut service = service(more).await;
    service.spawn(&["run"], &[("NYC311_FAULTS__ENABLED", "true")]);
    service.ready().await;
    service
}

async fn arm(service: &Service, body: Value) -> String {
    let url = format!("http://{}/v1/faults", service.settings.http.listen);
    let request = http_client().post(url).header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{body}");
    let armed: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    armed["id"].to_string()
}

async fn shown(service: &Service, id: &str) -> Value {
    service.get(&format!("/v1/faults/{id}")).await.unwrap()
}

/// Returns the stages as the pipeline shows them: their names, and how often each was rebuilt.
async fn restarts(service: &Service) -> Vec<(String, u64)> {
    let pipeline = service.get("/v1/pipeline").await.unwrap();
    let stages = pipeline["stages"].as_array().unwrap().iter();
    stages
        .map(|stage| (stage["name"].as_str().unwrap().to_owned(), stage["restarts"].as_u64().unwrap()))
        .collect()
}

/// Runs the command line against the service.
fn command(service: &Service, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}", service.settings.http.listen);
    let ended = service.command(arguments).env("NYC311_CLIENT__URL", url).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stdout).unwrap())
}

#[tokio::test]
async fn each_stage_that_is_killed_fails_or_panics_is_rebuilt_and_its_neighbours_live_on() {
    let mut service =
        breakable(&[("supervision.backoff_max", "100ms"), ("supervision.max_restarts", "100")]).await;
    let process = service.process_id();
    let id = service.submit(json!({})).await;
    for fault in ["kill", "error", "panic"] {
        for stage in [
            "poller",
            "raw_publisher",
            "raw_consumer",
            "enricher",
            "enriched_publisher",
            "enriched_consumer",
            "aggregator",
            "writer",
        ] {
            let before = restarts(&service).await;
            let armed = arm(&service, json!({"stage": stage, "fault": fault})).await;
            service
                .wait_for("the fault has struck and the stage is there again", async || {
                    let spent = shown(&service, &armed).await["state"] == "spent";
                    let rebuilt = restarts(&service).await.iter().map(|(_, count)| count).sum::<u64>()
                        > before.iter().map(|(_, count)| count).sum::<u64>();
                    (spent && rebuilt).then_some(())
                })
                .await;
            service.ready().await;
            let rebuilt = restarts(&service).await;
            let changed = rebuilt.iter().zip(&before).filter(|(now, before)| now != before);
            let changed: Vec<_> = changed.map(|((name, _), _)| name.as_str()).collect();
            assert_eq!(changed, [stage], "{fault}: {}", service.log());
        }
    }
    whole(&service, &id).await;
    assert_eq!(service.process_id(), process);
    let metrics = service.text("/metrics").await;
    for expected in [
        "nyc311_faults_armed 0",
        "nyc311_faults_injected_total{fault=\"kill\",point=\"writer\"} 1",
        "nyc311_faults_injected_total{fault=\"panic\",point=\"poller\"} 1",
    ] {
        assert!(metrics.contains(expected), "{expected}");
    }
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn a_control_stage_that_is_killed_serves_again() {
    let service = breakable(&[]).await;
    arm(&service, json!({"stage": "control", "fault": "kill"})).await;
    service
        .wait_for("it serves again", async || {
            let pipeline = service.get("/v1/pipeline").await?;
            let control = pipeline["stages"].as_array()?.iter().find(|stage| stage["name"] == "control")?;
            (control["generation"] == 2).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_thread_that_hangs_is_let_go_when_its_fault_is_cleared() {
    let mut service = breakable(&[("supervision.hang_after", "1h")]).await;
    let (code, added) =
        command(&service, &["fault", "add", "writer:commit:before", "hang", "--output", "json"]);
    assert_eq!(code, Some(0), "{added}");
    let armed: Value = serde_json::from_str(&added).unwrap();
    let id = armed["id"].to_string();
    let poll = service.submit(json!({})).await;
    service
        .wait_for("the writer stands still", async || (shown(&service, &id).await["hits"] == 1).then_some(()))
        .await;
    let (code, listed) = command(&service, &["fault", "list"]);
    assert!(code == Some(0) && listed.contains("writer:commit:before"), "{listed}");
    let (code, health) = command(&service, &["health"]);
    assert!(code == Some(0) && health.contains("armed on purpose: writer:commit:before=hang"), "{health}");
    assert_eq!(command(&service, &["fault", "clear", &id]).0, Some(0));
    let poll = whole(&service, &poll).await;
    assert_nothing_came_twice(&poll);
    assert_eq!(shown(&service, &id).await["state"], "cleared");
    let log = service.log();
    for said in ["fault point armed", "fault point reached", "fault ended"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn a_thread_that_hangs_is_given_up_and_let_go_when_its_fault_expires() {
    let mut service = breakable(&[("supervision.hang_after", "4s")]).await;
    let id = arm(&service, json!({"stage": "aggregator", "fault": "hang", "expires_in": "20s"})).await;
    service
        .wait_for("the stage is built anew on another thread", async || {
            let pipeline = service.get("/v1/pipeline").await?;
            let stages = pipeline["stages"].as_array()?;
            let stage = stages.iter().find(|stage| stage["name"] == "aggregator")?;
            stage["last_error"].as_str()?.contains("no longer turns").then_some(())
        })
        .await;
    let poll = service.submit(json!({})).await;
    assert_nothing_came_twice(&whole(&service, &poll).await);
    service
        .wait_for("the fault ends by itself", async || {
            (shown(&service, &id).await["state"] == "expired").then_some(())
        })
        .await;
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn failures_by_name_are_answered_like_the_real_ones_and_end_in_the_same_tables() {
    let faults = [
        "poller:fetch:before=error:throttled",
        "poller:fetch:after=error:cut@3",
        "poller:acquire:before=error:deadlock",
        "poller:record_page:before=error:serialization_failure@2",
        "poller:record_page:after=error:disk_full@4",
        "poller:begin_storing:before=error:too_many_connections",
        "poller:finish:before=error:admin_shutdown",
        "consumer:assign:before=error:no_leader@2",
        "enriched_publisher:init:before=error:no_coordinator",
        "enriched_publisher:send_offsets:before=error:timeout@2",
        "enriched_publisher:commit:before=error:fenced@4",
        "enriched_publisher:produce:before=error:client_fatal@6",
        "enriched_consumer:claim:before=error:read_only@3",
        "writer:copy:before=error:cut",
        "writer:advance:after=error:lock_timeout@2",
        "writer:upsert:before=error:deadlock;count=3",
        "writer:commit:before=error:serialization_failure@5;count=2",
        "writer:commit:after=error:timeout@2",
        "environment:log_ends:before=error:too_few_replicas",
    ];
    let mut service = service(&[("supervision.backoff_max", "200ms")]).await;
    spawn_faulty(&mut service, ALL_ROLES, &faults.join(","), &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    whole(&service, &id).await;
    let list = service.get("/v1/faults").await.unwrap();
    let unspent: Vec<_> = list["faults"].as_array().unwrap().iter().map(|fault| &fault["point"]).collect();
    assert!(unspent.is_empty(), "{unspent:?} were not struck as often as they were to be");
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn records_that_are_spoiled_become_dead_letters_and_the_raw_topic_stays_as_it_was() {
    const SPOILED: i64 = 3;
    let mut service = service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, "enricher=corrupt@2;every=2;count=3", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    let poll = service.finished(&id).await;
    let counts = ["fetched", "stored", "dead_lettered"].map(|name| count(&poll, name));
    assert_eq!(counts, [ROWS, ROWS - SPOILED, SPOILED], "{poll:#}\n{}", service.log());
    assert_eq!(service.raw_ends().await, ROWS);
    let spoiled = "select count(*) from nyc311.dead_letter where stage = 'enricher' and state = 'open' and reason <> ''";
    assert_eq!(service.database.number(spoiled).await, SPOILED);
    // What the topic has is whole: it is read again as it was.
    let window = json!({"since": "1990-01-01"});
    let again = service.submit(window).await;
    assert_eq!(count(&service.finished(&again).await, "stored"), SPOILED, "{}", service.log());
    service.database.execute("delete from nyc311.dead_letter").await;
    crate::crashed::assert_tables(&service).await;
}
