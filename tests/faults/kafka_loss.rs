//! What Kafka loses of what it acknowledged is asked of the source again, whatever happens meanwhile (promise
//! 1).

use std::time::Duration;

use nyc311::kafka::{Admin, topics};
use nyc311_testkit::source_rows::city;
use nyc311_testkit::topics::{delete, delete_records, names};
use nyc311_testkit::{Cut, Proxy, Service, assert_counts_add_up, eventually};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

use crate::PROGRAM;

const ROWS: i64 = 3_000;

async fn stored(service: &Service) -> i64 {
    service.database.number("select count(*) from nyc311.service_request").await
}

/// Asserts that the poll ends with every row in the tables.
async fn assert_whole(service: &Service, id: &str) {
    let poll = service.finished(id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}\n{}", service.log());
    assert_counts_add_up(&poll);
    assert_eq!(stored(service).await, ROWS, "{poll:#}\n{}", service.log());
    service.assert_recounts().await;
}

async fn answering(service: &Service) {
    service.wait_for("the endpoint answers", async || service.get("/v1/polls").await).await;
    service.ready().await;
}

#[tokio::test]
async fn topics_deleted_in_a_running_poll_are_noted_though_the_noting_statement_is_cut() {
    let simulator = city(ROWS as u64);
    simulator.inject("slow,delay=100ms".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "100")]).await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    service
        .wait_for("the poll is under way", async || {
            let poll = service.get(&format!("/v1/polls/{id}")).await?;
            (poll["counts"]["fetched"].as_i64()? >= 1_000).then_some(())
        })
        .await;
    // Twice the statement that sends the poll back does not arrive, and once nobody hears that it was done.
    proxy.cut("cursor_lost = true", Cut::Before, 2);
    let admin = Admin::new(&service.settings.kafka).unwrap();
    admin.client().delete_topics(&names(&service.settings.kafka), &AdminOptions::new()).await.unwrap();
    service.wait_for("the statement was cut", async || (proxy.cuts() == 2).then_some(())).await;
    assert_whole(&service, &id).await;
}

/// A poll whose rows are acknowledged and not all stored, because one role is missing, while `deleted` topics
/// are deleted and created again by hand; then the whole service runs.
async fn recreated_while_down(roles: &str, deleted: impl Fn(&Service) -> Vec<String>) {
    let simulator = city(ROWS as u64);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    // Something is stored and committed before: positions that the new logs will grow past.
    service.start().await;
    let early =
        service.submit(json!({"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"})).await;
    let early = service.finished(&early).await;
    assert_eq!(early["state"], "succeeded");
    assert_eq!(service.terminate().await, 0);
    service.database.execute("delete from nyc311.service_request_history").await;
    service.database.execute("delete from nyc311.service_request").await;

    service.spawn(&["run", "--roles", roles], &[]);
    answering(&service).await;
    let id = service.submit(json!({})).await;
    service.storing(&id).await;
    service.kill();
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let deleted = deleted(&service);
    let deleted: Vec<&str> = deleted.iter().map(String::as_str).collect();
    delete(&admin, &deleted).await;
    topics::ensure(&admin, &service.settings.kafka).await.unwrap();
    service.start().await;
    assert_whole(&service, &id).await;
    assert!(service.log().contains("kafka lost acknowledged rows"), "{}", service.log());

    // What was noted is not noted again.
    service.kill();
    service.start().await;
    service.poll().await;
    assert!(!service.log().contains("kafka lost acknowledged rows"), "{}", service.log());
}

#[tokio::test]
async fn derived_topics_recreated_by_hand_while_the_writer_is_down_lose_nothing() {
    recreated_while_down("control,enricher", |service| {
        names(&service.settings.kafka)[1..].iter().map(|name| (*name).to_owned()).collect()
    })
    .await;
}

#[tokio::test]
async fn a_raw_topic_recreated_by_hand_while_the_enricher_is_down_loses_nothing() {
    recreated_while_down("control,writer", |service| vec![names(&service.settings.kafka)[0].to_owned()])
        .await;
}

#[tokio::test]
async fn all_topics_recreated_by_hand_while_the_process_is_down_lose_nothing() {
    recreated_while_down("control,enricher", |service| {
        names(&service.settings.kafka).map(str::to_owned).to_vec()
    })
    .await;
}

#[tokio::test]
async fn a_topic_recreated_under_a_running_service_loses_nothing() {
    let simulator = city(ROWS as u64);
    simulator.inject("slow,delay=50ms".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "100")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service
        .wait_for("the poll is under way", async || {
            let poll = service.get(&format!("/v1/polls/{id}")).await?;
            (poll["counts"]["fetched"].as_i64()? >= 1_500).then_some(())
        })
        .await;
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let raw = names(&service.settings.kafka)[0];
    admin.client().delete_topics(&[raw], &AdminOptions::new()).await.unwrap();
    eventually("the topic is there again", async || {
        topics::ensure(&admin, &service.settings.kafka).await.ok()
    })
    .await;
    assert_whole(&service, &id).await;
}

#[tokio::test]
async fn a_topic_recreated_when_everything_is_stored_has_lost_nothing() {
    let simulator = city(ROWS as u64);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let enriched = names(&service.settings.kafka)[1];
    delete(&admin, &[enriched]).await;
    topics::ensure(&admin, &service.settings.kafka).await.unwrap();
    // Of the topic as a whole that is noted last; a poll that ran meanwhile would start again.
    let noted = format!("topic {enriched} was deleted and created again");
    service
        .wait_for("the new topic is taken up", async || service.log().contains(&noted).then_some(()))
        .await;
    service.poll().await;
    assert!(!service.log().contains("kafka lost acknowledged rows"), "{}", service.log());
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn raw_records_deleted_before_anyone_read_them_are_asked_of_the_source_again_once() {
    let simulator = city(ROWS as u64);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    service.spawn(&["run", "--roles", "control,writer"], &[]);
    answering(&service).await;
    let id = service.submit(json!({})).await;
    service.storing(&id).await;
    let admin = Admin::new(&service.settings.kafka).unwrap();
    delete_records(&admin, names(&service.settings.kafka)[0]).await;
    let instance = format!("{}-enricher", service.settings.instance.id);
    let more = [("NYC311_INSTANCE__ID", instance.as_str()), ("NYC311_HTTP__LISTEN", "127.0.0.1:0")];
    service.spawn(&["run", "--roles", "enricher"], &more);
    assert_whole(&service, &id).await;
    service.kill();

    // The log begins far above 0, and a poll without rows ends all the same.
    delete_records(&admin, names(&service.settings.kafka)[0]).await;
    service.start().await;
    let window = json!({"since": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00Z"});
    let empty = service.submit(window).await;
    assert_eq!(service.finished(&empty).await["state"], "succeeded", "{}", service.log());
    assert!(!service.log().contains("kafka lost acknowledged rows"), "{}", service.log());
}

#[tokio::test]
async fn another_record_where_one_was_seen_is_a_loss() {
    let simulator = city(ROWS as u64);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    service.start().await;
    service.poll().await;
    assert_eq!(service.terminate().await, 0);
    let marks = "select count(*) from nyc311.consumer_position where last_appended_at_ms is not null";
    assert!(service.database.number(marks).await >= 5);
    // As if the log had been set back and had grown again since: the record there is a younger one.
    service
        .database
        .execute(
            "update nyc311.consumer_position set last_appended_at_ms = last_appended_at_ms - 60000
             where kafka_partition = 1 and last_offset is not null;
             update nyc311.source_position set stored_updated_at = null;
             delete from nyc311.service_request_history; delete from nyc311.service_request",
        )
        .await;
    service.start().await;
    service
        .wait_for("the loss is noted", async || {
            service.log().contains("is not the one that was seen there").then_some(())
        })
        .await;
    service.poll().await;
    assert_eq!(stored(&service).await, ROWS);
}

#[tokio::test]
async fn positions_that_went_back_under_an_idle_service_are_read_again_from_there() {
    let simulator = city(ROWS as u64);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    let before = service.tables().await;
    // As a backup of an earlier time would have it, rows and positions together; and one without the rows of
    // a partition.
    service
        .database
        .execute(
            "begin; delete from nyc311.service_request_history; delete from nyc311.service_request;
             update nyc311.consumer_position set next_offset = 0, last_offset = null, last_appended_at_ms = null;
             delete from nyc311.consumer_position where kafka_partition = 3; commit",
        )
        .await;
    service.wait_for("all rows are back", async || (stored(&service).await == ROWS).then_some(())).await;
    service
        .wait_for("the tables are as they were", async || (service.tables().await == before).then_some(()))
        .await;
}

#[tokio::test]
async fn a_lost_commit_of_the_last_batch_is_made_up_for_without_transactions() {
    let simulator = city(500);
    let overrides = [("kafka.transactions", "false")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    service.poll().await;
    // As if the last commits had failed: the group stands where it stood before. A transaction of nobody's
    // may say so while the group is at work.
    let kafka = &service.settings.kafka;
    let (group, raw) =
        (nyc311::kafka::groups::enricher_group(&service.settings.kafka), names(&service.settings.kafka)[0]);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("transactional.id", format!("{group}-other"))
        .create()
        .unwrap();
    let nobody: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &group)
        .create()
        .unwrap();
    let mut old = TopicPartitionList::new();
    for partition in 0..5 {
        old.add_partition_offset(raw, partition, Offset::Offset(0)).unwrap();
    }
    let patience = Duration::from_secs(20);
    producer.init_transactions(patience).unwrap();
    producer.begin_transaction().unwrap();
    producer.send_offsets_to_transaction(&old, &nobody.group_metadata().unwrap(), patience).unwrap();
    producer.commit_transaction(patience).unwrap();

    let empty =
        service.submit(json!({"since": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00Z"})).await;
    assert_eq!(service.finished(&empty).await["state"], "succeeded", "{}", service.log());
    assert_eq!(stored(&service).await, 500);
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
