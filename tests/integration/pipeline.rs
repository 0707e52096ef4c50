//! The whole path through the real binary: source, Kafka, PostgreSQL; and what is left after it was broken.

use std::{collections::HashMap, sync::Arc, time::Duration};

use nyc311::kafka::{
    Admin, Record,
    consumer::{Command, ConsumerThread, Event, InFlightLimit},
};
use nyc311_simulator::{Fault, SimulatorOptions, serve};
use nyc311_testkit::{
    Proxy, Service, assert_counts_add_up,
    source_rows::{city, file, row, simulate_lines, versions},
    topics::own_slot,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PROGRAM;

/// Reads a topic to its end.
async fn read(service: &Service, topic: &str) -> Vec<(i32, Record)> {
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let ends = admin.log_ends(topic, 0..5).await.unwrap();
    let limit = InFlightLimit {
        batch_rows: 1000,
        batch_bytes: 1 << 22,
        batches_per_partition: 1000,
        bytes: 1 << 30,
        linger: Duration::from_millis(5),
    };
    let mut settings = service.settings.clone();
    settings.instance.stable = false;
    let group = format!("{}-reader-{}", settings.kafka.group_prefix, uuid::Uuid::new_v4().simple());
    let slot = own_slot();
    let (thread, mut events) =
        ConsumerThread::start(&slot, &settings, &group, vec![Arc::from(topic)], limit).unwrap();
    let mut records = Vec::new();
    let mut positions: HashMap<i32, i64> = HashMap::new();
    while (0..5)
        .any(|partition| positions.get(&partition).copied().unwrap_or(0) < ends[partition as usize].high)
    {
        match tokio::time::timeout(Duration::from_secs(60), events.recv()).await.unwrap().unwrap() {
            Event::Assigned(assignment, partitions) => {
                for partition in partitions {
                    thread.send(Command::Open { partition, assignment, next_offset: 0, opening: 1 });
                }
            }
            Event::Batch(batch) => {
                positions.insert(batch.read.partition, batch.read.to);
                records.extend(batch.read.records.into_iter().map(|record| (batch.read.partition, record)));
            }
            _ => {}
        }
    }
    records
}

#[tokio::test]
async fn every_version_ends_in_the_tables_and_a_second_poll_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let lines = versions(200, 3);
    let simulator = simulate_lines(&directory, &lines);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "7")]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["fetched"], 600);
    assert_eq!(poll["counts"]["stored"], 600);
    let database = &service.database;
    assert_eq!(database.number("select count(*) from nyc311.service_request").await, 200);
    assert_eq!(database.number("select count(*) from nyc311.service_request_history").await, 400);
    assert_eq!(
        database.number("select count(*) from nyc311.service_request where source_version = 'rv-0003'").await,
        200
    );
    service.assert_recounts().await;

    let before = service.tables().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["stored"], 0);
    assert_eq!(service.tables().await, before);

    // Raw means raw: each value is a slice of what the source answered, in the partition of its borough.
    let raw = read(&service, &service.settings.kafka.raw_topic).await;
    let published: std::collections::HashSet<&[u8]> = raw.iter().map(|(_, record)| &*record.value).collect();
    for line in &lines {
        assert!(published.contains(line.as_bytes()), "{line} was not published as it is");
    }
    for (partition, record) in &raw {
        let stated = nyc311_domain::peek(&record.value).borough;
        assert_eq!(record.key.as_deref(), stated.map(|borough| borough.name().as_bytes()));
        if let Some(borough) = stated {
            assert_eq!(borough.index() as i32, *partition);
        }
    }
    // Enriched keeps partition, key and order.
    let enriched = read(&service, &service.settings.kafka.enriched_topic).await;
    assert_eq!(enriched.len(), raw.len());
    let mut last: HashMap<i32, i64> = HashMap::new();
    for (partition, record) in &enriched {
        assert_eq!(record.headers.raw_partition, Some(*partition));
        let raw_offset = record.headers.raw_offset.unwrap();
        assert!(last.insert(*partition, raw_offset).is_none_or(|before| before < raw_offset));
    }
}

#[tokio::test]
async fn a_service_killed_at_any_moment_ends_in_the_same_tables() {
    let simulator = city(6_000);
    let overrides = [("source.page_rows", "500"), ("write.max_rows", "1000")];
    let mut undisturbed = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    undisturbed.start().await;
    undisturbed.poll().await;

    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    for kill in 0..8_u64 {
        tokio::time::sleep(Duration::from_millis(60 + 97 * kill)).await;
        service.kill();
        let ready = service.start().await;
        assert!(ready < Duration::from_secs(15), "ready after {ready:?}");
    }
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
    service.assert_recounts().await;
    assert_eq!(service.tables().await, undisturbed.tables().await);
}

#[tokio::test]
async fn sigterm_drains_and_the_poll_goes_on_after_the_restart() {
    let simulator = city(20_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1_000).await;
    assert_eq!(service.terminate().await, 0, "{}", service.log());
    assert!(service.log().contains("draining"));
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!((&poll["state"], &poll["attempt"]), (&json!("succeeded"), &json!(1)), "{poll:#}");
    assert_eq!(poll["counts"]["republished"], 0, "a drain leaves nothing to publish again: {poll:#}");
    assert_counts_add_up(&poll);
    service.assert_recounts().await;
}

#[tokio::test]
async fn rows_that_cannot_be_used_are_dead_letters_and_stop_nothing() {
    let directory = TempDir::new().unwrap();
    let mut without_date = row(1, 1);
    without_date["created_date"] = json!("soon");
    let mut huge = row(2, 1);
    huge["resolution_description"] = json!("x".repeat(2 << 20));
    let mut with_nul = row(3, 1);
    with_nul["descriptor"] = json!("Loud\u{0}Music");
    let lines: Vec<_> =
        [row(0, 1), without_date, huge, with_nul, row(4, 1)].iter().map(Value::to_string).collect();
    let simulator = simulate_lines(&directory, &lines);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["fetched"], 5);
    assert_eq!((&poll["counts"]["stored"], &poll["counts"]["dead_lettered"]), (&json!(3), &json!(2)));
    let found = service
        .database
        .json(
            "select reason, stage, unique_key, octet_length(payload) > 2000000 as large
               from nyc311.dead_letter order by unique_key",
        )
        .await;
    let expected = json!([
        {"reason": "bad_created_date", "stage": "enricher", "unique_key": 70_000_001, "large": false},
        {"reason": "row_too_large", "stage": "poller", "unique_key": 70_000_002, "large": true},
    ]);
    assert_eq!(found, expected);
    let flagged = "select count(*) from nyc311.service_request where unique_key = 70000003
                   and descriptor = 'LoudMusic' and quality_flags <> 0";
    assert_eq!(service.database.number(flagged).await, 1);
}

#[tokio::test]
async fn a_poll_of_dead_letters_only_succeeds_and_so_does_one_without_rows() {
    let directory = TempDir::new().unwrap();
    let mut unusable = row(1, 1);
    unusable["created_date"] = json!("soon");
    let simulator = simulate_lines(&directory, &[unusable.to_string()]);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["dead_lettered"], 1);
    let empty =
        service.submit(json!({"since": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00Z"})).await;
    let empty = service.finished(&empty).await;
    assert_eq!((&empty["state"], &empty["counts"]["fetched"]), (&json!("succeeded"), &json!(0)));
}

#[tokio::test]
async fn a_poll_completes_past_aborted_and_open_transactions_at_the_end_of_the_topics() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let simulator = city(500);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let kafka = service.settings.kafka.clone();
    let foreign = |name: &str| -> BaseProducer {
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .set("transactional.id", format!("{}-{name}", kafka.group_prefix))
            .set("transaction.timeout.ms", "3000")
            .set("message.timeout.ms", "3000")
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(20)).unwrap();
        producer.begin_transaction().unwrap();
        producer
    };
    let aborted = foreign("aborted");
    for topic in [&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic] {
        aborted.send(BaseRecord::<(), str>::to(topic).partition(1).payload("never seen")).ok().unwrap();
    }
    aborted.flush(Duration::from_secs(10)).unwrap();
    aborted.abort_transaction(Duration::from_secs(20)).unwrap();
    service.poll().await;

    // A producer that died in the middle of its transaction holds readers back until the broker ends it.
    let open = foreign("open");
    open.send(BaseRecord::<(), str>::to(&kafka.enriched_topic).partition(2).payload("never seen"))
        .ok()
        .unwrap();
    open.flush(Duration::from_secs(10)).unwrap();
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["stored"], 0);
    assert_eq!(service.database.number("select count(*) from nyc311.dead_letter").await, 0);
}

#[tokio::test]
async fn a_rewind_changes_nothing_and_better_rules_reach_old_rows() {
    let simulator = city(3_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    let fresh = service.tables().await;
    let (store, kafka) = (service.database.another_store(), service.settings.kafka.clone());
    let admin = Admin::new(&kafka).unwrap();
    let cluster = admin.cluster_id().await.unwrap();
    let rewind = async || {
        for topic in [&kafka.enriched_topic, &kafka.dead_letter_topic] {
            for partition in 0..5 {
                store.rewind_position(&cluster, topic, partition, 0, 0).await.unwrap();
            }
        }
        service
            .wait_for("everything is read again", async || {
                let status = service.get("/v1/pipeline").await?;
                let partitions = status["partitions"].as_array()?;
                partitions.iter().all(|partition| partition["lag"] == 0).then_some(())
            })
            .await;
    };
    rewind().await;
    assert_eq!(service.tables().await, fresh);

    // As if the rows had been written under older rules, with another outcome.
    service
        .database
        .execute("update nyc311.service_request set rules_revision = 0, agency = 'OLD', borough = null")
        .await;
    service.assert_recounts().await;
    rewind().await;
    assert_eq!(service.tables().await, fresh);
    service.assert_recounts().await;
}

#[tokio::test]
async fn what_kafka_loses_between_published_and_stored_is_read_from_the_source_again() {
    let simulator = city(5_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    // Without a writer nothing is stored: everything acknowledged is in Kafka alone.
    service.spawn(&["run", "--roles", "control,enricher"], &[]);
    service.wait_for("the endpoint answers", async || service.get("/v1/polls").await).await;
    service.ready().await;
    let id = service.submit(json!({})).await;
    service.storing(&id).await;
    service.kill();
    service.delete_topics().await;
    assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 0);
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
    let stored = service.database.number("select count(*) from nyc311.service_request").await;
    assert_eq!(stored, 5_000, "{poll:#}\n{}", service.log());
    service.assert_recounts().await;
}

#[tokio::test]
async fn three_processes_of_one_role_each_share_the_work() {
    let simulator = city(3_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    let id = service.settings.instance.id.clone();
    for role in ["enricher", "writer"] {
        let instance = format!("{id}-{role}");
        let more = [("NYC311_INSTANCE__ID", instance.as_str()), ("NYC311_HTTP__LISTEN", "127.0.0.1:0")];
        service.spawn(&["run", "--roles", role], &more);
    }
    service.spawn(&["run", "--roles", "control"], &[]);
    service.ready().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["fetched"], poll["counts"]["stored"]);
    service.assert_recounts().await;
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

#[tokio::test]
async fn a_window_is_a_backfill_that_leaves_the_durable_cursor_alone() {
    let simulator = city(2_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let body =
        json!({"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "on": "created_date"});
    let id = service.submit(body).await;
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_eq!(poll["counts"]["stored"], poll["counts"]["fetched"]);
    let cursor = "select count(*) from nyc311.source_position where published_updated_at is not null
                  or stored_updated_at is not null";
    assert_eq!(service.database.number(cursor).await, 0);
}

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
}

#[tokio::test]
async fn what_no_restart_mends_is_counted_and_ends_the_process() {
    let simulator = city(500);
    let overrides = [
        ("supervision.max_restarts", "1"),
        ("supervision.backoff_initial", "50ms"),
        ("supervision.backoff_max", "100ms"),
    ];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    service.database.execute("alter table nyc311.service_request_history rename to elsewhere").await;
    let id = service.submit(json!({})).await;
    assert_eq!(service.ended().await, 70, "{}", service.log());
    assert!(service.log().contains("too many failures"), "{}", service.log());
    service.database.execute("alter table nyc311.elsewhere rename to service_request_history").await;
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!(
        (&poll["state"], &poll["counts"]["stored"]),
        (&json!("succeeded"), &poll["counts"]["fetched"])
    );
    assert_counts_add_up(&poll);
}

#[tokio::test]
async fn rows_that_became_visible_while_the_process_was_down_are_not_passed_over() {
    let directory = TempDir::new().unwrap();
    let options = SimulatorOptions {
        file: vec![file(&directory, "rows.ndjson", &versions(300, 1))],
        // The batch is stamped with 01:35, a third of it is visible now.
        clock: Some("2026-04-02T01:55:00Z".parse().unwrap()),
        visible_after: Duration::from_secs(3600),
        ..SimulatorOptions::default()
    };
    let simulator = serve(&options).unwrap();
    simulator.inject("slow,delay=150ms".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "10")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 30).await;
    service.kill();
    // The rest of the batch appears, before and behind the place where the poll goes on.
    simulator.clock().advance(Duration::from_secs(5 * 3600));
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    let stored = "select count(*) from nyc311.service_request";
    assert!(service.database.number(stored).await < 300, "the poll was not in the middle of the batch");
    service.poll().await;
    assert_eq!(service.database.number(stored).await, 300);
}
