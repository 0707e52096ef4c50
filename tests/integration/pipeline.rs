//! The whole path through the real binary: source, Kafka, PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nyc311::kafka::consumer::{Command, ConsumerThread, Event, InFlightLimit};
use nyc311::kafka::{Admin, Record};
use nyc311_testkit::Service;
use nyc311_testkit::source_rows::{city, row, simulate_lines, versions};
use nyc311_testkit::topics::own_slot;
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
        ConsumerThread::start(&slot, &settings, &group, (Arc::from(topic), Vec::new()), limit).unwrap();
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
    assert_eq!(service.restarts().await, 0);
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
