//! Raw to enriched: derived records and the raw offset behind them are one Kafka transaction.

use serde_json::json;

use crate::crashed::{
    ALL_ROLES, OldOwner, assert_nothing_came_twice, assert_tables, count, reached, service, spawn_faulty,
    whole, whole_beside,
};

const OTHERS: &str = "control,writer";

#[tokio::test]
async fn crash_before_the_commit_of_derived_records_repeats_the_batch_unseen() {
    let poll = whole_beside(OTHERS, "enricher", "enriched_publisher:commit:before=abort", &[]).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn crash_after_the_commit_of_derived_records_repeats_nothing() {
    let poll = whole_beside(OTHERS, "enricher", "enriched_publisher:commit:after=abort", &[]).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn old_owner_of_a_raw_partition_that_wakes_up_commits_nothing() {
    // Its transaction is complete but for the commit.
    let fault = "enriched_publisher:commit:before=delay:1s";
    let (old, service) = OldOwner::replaced("enricher", 5, OTHERS, fault).await;
    old.wakes_up_and_says(&service, "fenced by a newer instance").await;
    let again = service.poll().await;
    assert_eq!(count(&again, "stored"), 0, "{again:#}");
    assert_tables(&service).await;
}

#[tokio::test]
async fn crash_between_flush_and_commit_without_transactions_repeats_the_batch() {
    let without = [("kafka.transactions", "false")];
    let poll = whole_beside(OTHERS, "enricher", "enriched_publisher:flush:after=abort", &without).await;
    assert!(count(&poll, "republished") > 0, "{poll:#}");
    assert_eq!(count(&poll, "republished"), count(&poll, "duplicate"), "{poll:#}");
}

#[tokio::test]
async fn lost_answer_to_the_commit_of_derived_records_repeats_nothing() {
    let mut service = service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, "enriched_publisher:commit:after=error", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    let poll = whole(&service, &id).await;
    reached(&service).await;
    assert_nothing_came_twice(&poll);
}
