//! The loss of a Kafka: noticing it and acting on it are one transaction.

use nyc311::kafka::{Admin, topics};
use nyc311_testkit::Service;
use nyc311_testkit::topics::{delete_records, names};
use serde_json::json;

use crate::crashed::{ALL_ROLES, died, service, spawn_faulty, whole};

const NOTED: &str = "kafka lost acknowledged rows";

/// Has a poll acknowledged by Kafka and, without a writer or an enricher, not stored; then nothing runs.
async fn acknowledged(roles: &str) -> (Service, String) {
    let mut service = service(&[]).await;
    service.spawn(&["run", "--roles", roles], &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    service.storing(&id).await;
    service.kill();
    (service, id)
}

async fn delete_raw_records(service: &Service) {
    let kafka = &service.settings.kafka;
    delete_records(&Admin::new(kafka).unwrap(), &kafka.raw_topic).await;
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
    service.delete_topics().await;
    dies_at(&mut service, "environment:take_up:before").await;
    service.start().await;
    whole(&service, &id).await;
    assert!(service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_after_a_loss_is_committed_finds_none() {
    let (mut service, id) = acknowledged("control,enricher").await;
    let admin = service.delete_topics().await;
    topics::ensure(&admin, &service.settings.kafka).await.unwrap();
    dies_at(&mut service, "environment:take_up:after").await;
    service.start().await;
    whole(&service, &id).await;
    assert!(!service.log().contains(NOTED), "{}", service.log());
}

#[tokio::test]
async fn crash_between_noting_a_missing_topic_and_creating_it_notes_it_again() {
    let (mut service, id) = acknowledged("control,enricher").await;
    let admin = service.delete_topics().await;
    dies_at(&mut service, "environment:take_up:after").await;
    assert!(admin.describe(&names(&service.settings.kafka)).await.unwrap().is_empty());
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
