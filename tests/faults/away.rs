//! A source, a Kafka and a database that are away, stand still, fail or take their time.

use std::time::{Duration, Instant};

use nyc311_domain::Borough;
use nyc311_simulator::Fault;
use nyc311_testkit::source_rows::city;
use nyc311_testkit::{Proxy, assert_counts_add_up};
use serde_json::json;

use crate::PROGRAM;

#[tokio::test]
async fn a_service_waits_for_a_kafka_and_a_database_that_are_away() {
    let simulator = city(100);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("kafka.request_timeout", "1s")]).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap().to_string();
    drop(dead);
    service.spawn(&["run"], &[("NYC311_KAFKA__BOOTSTRAP_SERVERS", &address)]);
    let answer = service.wait_for("the service answers", async || service.get("/readyz").await).await;
    assert_eq!(answer["ready"], false);
    service
        .wait_for("kafka is named", async || {
            let answer = service.get("/readyz").await?;
            (answer["missing"] == json!(["kafka"])).then_some(())
        })
        .await;
    assert_eq!(service.terminate().await, 0, "{}", service.log());

    let url = format!("postgres://nobody@{address}/nowhere");
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &url)]);
    let missing = service
        .wait_for("the database is named", async || {
            let answer = service.get("/readyz").await?;
            answer["missing"].as_array()?.contains(&json!("database")).then_some(answer)
        })
        .await;
    assert_eq!(missing["ready"], false);
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn a_database_that_stands_still_is_named_alone_and_the_poll_goes_on_when_it_is_back() {
    let simulator = city(3_000);
    let mut service = PROGRAM
        .service(
            &simulator.resource_url(),
            &[("source.page_rows", "200"), ("database.connect_timeout", "1s")],
        )
        .await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    proxy.stall(true);
    let readiness = service
        .wait_for("the database is missed", async || {
            let answer = service.get("/readyz").await?;
            (answer["missing"].as_array()?.contains(&json!("database"))).then_some(answer)
        })
        .await;
    assert_eq!(readiness["missing"], json!(["database"]));
    let pipeline = service.get("/v1/pipeline").await.unwrap();
    let derived = pipeline["partitions"].as_array().unwrap().iter();
    for partition in
        derived.filter(|partition| partition["topic"] != service.settings.kafka.raw_topic.as_str())
    {
        assert_eq!((&partition["position"], &partition["lag"]), (&json!(null), &json!(null)));
    }
    proxy.stall(false);
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}\n{}", service.log());
    assert_counts_add_up(&poll);
    service.ready().await;
    service.assert_recounts().await;
    assert_eq!(service.restarts().await, 0, "an absence is no failure\n{}", service.log());
}

/// A broker that stands still answers no commit, and a consumer that leaves its group waits for its commits.
#[tokio::test]
async fn a_consumer_that_leaves_its_group_while_the_broker_stands_still_is_waited_for() {
    let simulator = city(40_000);
    let overrides = [("source.page_rows", "500"), ("write.max_rows", "500"), ("kafka.request_timeout", "3s")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    let (proxy, through) = Proxy::in_front_of_kafka(&service.settings.kafka.bootstrap_servers).await;
    // Each partition is claimed once at the start, and one of them once more when this test has it so.
    let again = format!("enriched_consumer:claim:before=panic@{}", 2 * Borough::ALL.len() + 1);
    let environment = [
        ("NYC311_KAFKA__BOOTSTRAP_SERVERS", through.as_str()),
        ("NYC311_FAULTS__ENABLED", "true"),
        ("NYC311_FAULTS__AT_START", again.as_str()),
    ];
    service.spawn(&["run"], &environment);
    service.ready().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 5_000).await;
    proxy.stall(true);
    service
        .wait_for("what was read is written, and its commits have no answer", async || {
            let stored = "select count(*) from nyc311.service_request";
            let before = service.database.number(stored).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            (service.database.number(stored).await == before).then_some(())
        })
        .await;
    service.database.execute("update nyc311.consumer_position set epoch = epoch + 1").await;
    service
        .wait_for("the consumer is rebuilt", async || {
            service.log().contains("fault point reached").then_some(())
        })
        .await;
    // For longer than a thread may take to leave its group.
    let since = Instant::now();
    let waited = async || (since.elapsed().as_secs() > 45).then_some(());
    service.wait_for("a thread has had its time to leave", waited).await;
    proxy.stall(false);
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}\n{}", service.log());
    assert_counts_add_up(&poll);
    service.assert_recounts().await;
    service.ready().await;
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn a_start_asks_the_database_few_questions_so_that_a_slow_one_does_not_hold_it_up() {
    let simulator = city(100);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    proxy.delay(Duration::from_millis(50));
    for what in ["the first start", "a restart"] {
        let (began, before) = (Instant::now(), proxy.sent());
        service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
        service.ready().await;
        let (took, questions) = (began.elapsed(), proxy.sent() - before);
        println!("{what}: ready after {took:?}, {questions} messages to the database");
        // The watch asks on while the start takes its time.
        let most = 300 + 10 * took.as_secs();
        assert!(questions < most, "{what} took {took:?}, {questions} messages");
        service.kill();
    }
}

#[tokio::test]
async fn a_database_that_is_away_takes_nobodys_name() {
    let simulator = city(100);
    let overrides = [("database.connect_timeout", "1s")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
    service.ready().await;
    proxy.stall(true);
    service
        .wait_for("the database is missed", async || {
            (service.get("/readyz").await?["missing"] == json!(["database"])).then_some(())
        })
        .await;
    // Longer than the lease of a name.
    let since = Instant::now();
    service.wait_for("the lease has passed", async || (since.elapsed().as_secs() > 11).then_some(())).await;
    proxy.stall(false);
    service.ready().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["stored"], 100);
    assert_eq!(service.terminate().await, 0);
}

#[tokio::test]
async fn faults_of_the_source_are_ridden_out_and_a_refusal_reaches_the_poll() {
    let simulator = city(2_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "300")]).await;
    service.start().await;
    for fault in ["server_error,count=2", "too_many_requests,count=1,retry_after=1s", "truncated,count=1"] {
        match fault.parse::<Fault>() {
            Ok(fault) => simulator.inject(fault),
            Err(error) => panic!("{fault}: {error}"),
        }
    }
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["fetched"], poll["counts"]["stored"]);

    let mut refused =
        PROGRAM.service(&simulator.resource_url(), &[("source.columns", "no_such_column")]).await;
    refused.start().await;
    let id = refused.submit(json!({})).await;
    let poll = refused.finished(&id).await;
    assert_eq!(poll["state"], "failed");
    assert_eq!(poll["error"]["http_status"], 400, "{poll:#}");
    assert_eq!(poll["error"]["retryable"], false);
}
