//! The loss of a Kafka: noticing it and acting on it are one transaction.

use nyc311::kafka::{Admin, topics};
use rdkafka::{Offset, TopicPartitionList, admin::AdminOptions};
use serde_json::json;

use crate::{
    crashed::{ALL_ROLES, died, service, spawn_faulty, storing, whole},
    service::Service,
};

const NOTED: &str = "kafka lost acknowledged rows";

/// Has a poll acknowledged by Kafka and, without a writer or an enricher, not stored; then nothing runs.
async fn acknowledged(roles: &str) -> (Service, String) {
    let mut service = service(&[]).await;
    service.spawn(&["run", "--roles", roles], &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    storing(&service, &id).await;
    service.kill();
    (service, id)
}

/// Deletes the topics and waits until Kafka has forgotten them.
async fn delete_topics(service: &Service) -> Admin {
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let names = names(service);
    admin.client().delete_topics(&names, &AdminOptions::new()).await.unwrap();
    service
        .wait_for("the topics are gone", async || admin.describe(&names).await.ok()?.is_empty().then_some(()))
        .await;
    admin
}

fn names(service: &Service) -> [&str; 3] {
    let kafka = &service.settings.kafka;
    [&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic].map(String::as_str)
}

/// Deletes what the raw topic holds, and keeps the topic.
async fn delete_raw_records(service: &Service) {
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let raw = names(service)[0];
    let ends = admin.log_ends(raw, 0..5).await.unwrap();
    let mut until = TopicPartitionList::new();
    for (partition, ends) in (0..).zip(&ends) {
        until.add_partition_offset(raw, partition, Offset::Offset(ends.high)).unwrap();
    }
    admin.client().delete_records(&until, &AdminOptions::new()).await.unwrap();
    service
        .wait_for("the records are gone", async || {
            let ends = admin.log_ends(raw, 0..5).await.ok()?;
            ends.iter().all(|ends| ends.low == ends.high).then_some(())
        })
        .await;
}

/// Starts a process that dies at the point.
async fn dies_at(service: &mut Service, point: &str) {
    spawn_faulty(service, ALL_ROLES, &format!("{point}=abort"), &[]);
    died(service).await;
    assert!(!service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_before_a_loss_is_committed_finds_the_same_loss() {
    let (mut service, id) = acknowledged("control,enricher").await;
    delete_topics(&service).await;
    dies_at(&mut service, "environment:take_up:before").await;
    service.start().await;
    whole(&service, &id).await;
    assert!(service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_after_a_loss_is_committed_finds_none() {
    let (mut service, id) = acknowledged("control,enricher").await;
    let admin = delete_topics(&service).await;
    topics::ensure(&admin, &service.settings.kafka).await.unwrap();
    dies_at(&mut service, "environment:take_up:after").await;
    service.start().await;
    whole(&service, &id).await;
    assert!(!service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_between_noting_a_missing_topic_and_creating_it_notes_it_again() {
    let (mut service, id) = acknowledged("control,enricher").await;
    let admin = delete_topics(&service).await;
    dies_at(&mut service, "environment:take_up:after").await;
    assert!(admin.describe(&names(&service)).await.unwrap().is_empty());
    service.start().await;
    whole(&service, &id).await;
    assert!(service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_before_a_loss_that_an_offset_tells_of_is_committed_finds_it_again() {
    let (mut service, id) = acknowledged("control,writer").await;
    delete_raw_records(&service).await;
    dies_at(&mut service, "environment:note_loss:before").await;
    service.start().await;
    whole(&service, &id).await;
    assert!(service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_after_a_loss_that_an_offset_tells_of_is_committed_leaves_none_of_its_partition() {
    let (mut service, id) = acknowledged("control,writer").await;
    delete_raw_records(&service).await;
    dies_at(&mut service, "environment:note_loss:after").await;
    service.start().await;
    whole(&service, &id).await;
}
