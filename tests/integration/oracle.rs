//! The oracle itself: it must be able to fail.

use std::time::Duration;

use nyc311_simulator::Simulator;
use nyc311_testkit::batches::{batch, incoming, request};
use nyc311_testkit::oracle::{assert_recounts, differences, is_zero, promises, rollups, tables, tables_of};
use nyc311_testkit::source_rows::city;
use nyc311_testkit::{Service, TestDatabase};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::PROGRAM;

/// A database with some requests in it.
async fn filled() -> TestDatabase {
    let database = TestDatabase::create().await;
    database.write(&batch((1..=20).map(|key| incoming(&request(key, 0, 1))))).await.unwrap();
    database
}

#[tokio::test]
async fn a_changed_cell_of_any_rollup_and_a_changed_mark_differ_from_the_recount() {
    let database = filled().await;
    assert_recounts(&database).await;
    let mut client = database.client().await.unwrap();
    let rollups = rollups(&client).await;
    assert!(rollups.len() >= 3, "{rollups:?}");
    for rollup in rollups {
        for change in ["set", "delete"] {
            let transaction = client.transaction().await.unwrap();
            transaction.batch_execute("set local session_replication_role = replica").await.unwrap();
            let zero = is_zero(&transaction, &rollup).await;
            let column = zero.split(' ').next().unwrap().to_owned();
            let one = format!("ctid = (select ctid from nyc311.{rollup} where not ({zero}) limit 1)");
            let sql = match change {
                "set" => format!("update nyc311.{rollup} set {column} = {column} + 1 where {one}"),
                _ => format!("delete from nyc311.{rollup} where {one}"),
            };
            assert_eq!(transaction.execute(&sql, &[]).await.unwrap(), 1, "{rollup}");
            let found = differences(&transaction).await;
            assert!(found.iter().any(|cell| cell.starts_with(&rollup)), "{rollup}, {change}: {found:?}");
            transaction.rollback().await.unwrap();
        }
    }
    let transaction = client.transaction().await.unwrap();
    transaction
        .batch_execute(
            "set local session_replication_role = replica;
             update nyc311.service_request set duplicate_of = 1 where unique_key = 7",
        )
        .await
        .unwrap();
    assert!(differences(&transaction).await.iter().any(|mark| mark.starts_with("duplicate_of of 7")));
}

#[tokio::test]
async fn a_changed_row_of_any_table_changes_what_the_tables_say() {
    let database = filled().await;
    let before = tables(&database).await;
    let mut client = database.client().await.unwrap();
    for (table, change) in [
        ("service_request", "set landmark = 'by hand' where unique_key = 3"),
        ("source_text", "set value = 'by hand'"),
        ("rollup_daily", "set opened = opened + 1 where opened > 0"),
        ("rollup_response_monthly", "set by_opened = by_opened + 1 where by_opened > 0"),
        ("rollup_quality_daily", "set requests = requests + 1"),
        ("source_term", "set known = not known"),
        ("quality_flag", "set meaning = 'another' where bit = 0"),
        ("response_bucket", "set to_hours = to_hours + 1 where bucket = 1"),
    ] {
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute("set local session_replication_role = replica").await.unwrap();
        let changed = transaction.execute(&format!("update nyc311.{table} {change}"), &[]).await.unwrap();
        assert!(changed > 0, "{table}");
        assert_ne!(tables_of(&transaction).await, before, "{table}");
        transaction.rollback().await.unwrap();
    }
    assert_eq!(tables(&database).await, before);
}

/// Returns the names of the promises that are broken.
async fn broken(service: &Service, simulator: &Simulator) -> Vec<&'static str> {
    let checks = promises(&service.database, &service.settings.kafka, simulator).await;
    checks.iter().filter(|check| !check.holds()).map(|check| check.name).collect()
}

/// Puts a record into a topic by hand.
fn put(service: &Service, topic: &str, value: &str, raw_place: Option<(&str, &str)>) {
    let servers = &service.settings.kafka.bootstrap_servers;
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let mut headers = OwnedHeaders::new();
    if let Some((partition, offset)) = raw_place {
        let header = |key, value| Header { key, value: Some(value) };
        headers = headers.insert(header("nyc311-raw-partition", partition));
        headers = headers.insert(header("nyc311-raw-offset", offset));
    }
    let record = BaseRecord::<(), str>::to(topic).partition(0).payload(value).headers(headers);
    producer.send(record).ok().unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
}

#[tokio::test]
async fn each_promise_that_is_broken_by_hand_is_found() {
    let simulator = city(400);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    simulator.clock().advance(Duration::from_secs(40 * 86_400));
    service.poll().await;
    service.kill();
    assert_eq!(broken(&service, &simulator).await, [""; 0]);
    let by_hand = [
        (
            "update nyc311.rollup_daily set opened = opened + 1",
            "every rollup and every mark of a duplicate equals its recount",
        ),
        ("update nyc311.poll set fetched = fetched + 1", "every poll has ended, and its counts add up"),
        ("delete from nyc311.service_request_history", "history has each observed change once"),
        (
            "update nyc311.service_request_row set source_updated_at = source_updated_at - interval '1 day'
             where unique_key = (select min(unique_key) from nyc311.service_request_row)",
            "no older version won",
        ),
        (
            "delete from nyc311.service_request_row
             where unique_key = (select max(unique_key) from nyc311.service_request_row)",
            "every request is there in its newest version",
        ),
    ];
    let mut before = Vec::new();
    for (sql, name) in by_hand {
        service
            .database
            .execute(&format!(
                "set session_replication_role = replica; {sql}; reset session_replication_role"
            ))
            .await;
        let found = broken(&service, &simulator).await;
        assert!(found.contains(&name), "{sql}: {found:?}");
        before = found;
    }
    let (dead_letters, once, as_served) = (
        "the dead letters are the rows that were broken on purpose",
        "each raw record is derived once, read committed",
        "raw holds what the source served, byte for byte",
    );
    assert!([dead_letters, once, as_served].iter().all(|name| !before.contains(name)), "{before:?}");
    service.database.keep_dead_letter("nobody broke this", "enricher", 0).await;
    assert!(broken(&service, &simulator).await.contains(&dead_letters));
    put(&service, &service.settings.kafka.enriched_topic, "{}", Some(("0", "0")));
    assert!(broken(&service, &simulator).await.contains(&once));
    put(&service, &service.settings.kafka.raw_topic, "{}", None);
    assert!(broken(&service, &simulator).await.contains(&as_served));
}
