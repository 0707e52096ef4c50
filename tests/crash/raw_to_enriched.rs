//! Raw to enriched: derived records and the raw offset behind them are one Kafka transaction.

use std::time::Duration;

use serde_json::json;

use crate::crashed::{
    ALL_ROLES, assert_nothing_came_twice, assert_tables, count, crashed_at, reached, signal, spawn_faulty,
    whole, whole_after,
};

#[tokio::test]
async fn crash_before_the_commit_of_derived_records_repeats_the_batch_unseen() {
    let (_service, poll) = whole_after("enriched_publisher:commit:before=abort").await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn crash_after_the_commit_of_derived_records_repeats_nothing() {
    let (_service, poll) = whole_after("enriched_publisher:commit:after=abort").await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn old_owner_of_a_raw_partition_that_wakes_up_commits_nothing() {
    let mut service = crate::crashed::service(&[]).await;
    service.spawn(&["run", "--roles", "control,writer"], &[]);
    service.ready().await;
    let name = service.settings.instance.id.clone();
    let (old, new) = (format!("{name}-old"), format!("{name}-new"));
    let named = |instance| [("NYC311_INSTANCE__ID", instance), ("NYC311_HTTP__LISTEN", "127.0.0.1:0")];
    spawn_faulty(&mut service, "enricher", "enriched_publisher:commit:before=delay:2s", &named(&old));
    let (old_owner, old_log) = (service.process_id(), service.log_path());
    let id = service.submit(json!({})).await;
    reached(&service).await;
    signal(old_owner, "-STOP");
    service.spawn(&["run", "--roles", "enricher"], &named(&new));
    let poll = whole(&service, &id).await;
    assert_nothing_came_twice(&poll);

    // Its transaction was complete but for the commit, and its time is over.
    signal(old_owner, "-CONT");
    service
        .wait_for("the old owner is refused", async || {
            let log = std::fs::read_to_string(&old_log).unwrap();
            log.contains("fenced by a newer owner").then_some(())
        })
        .await;
    let again = service.poll().await;
    assert_eq!(count(&again, "stored"), 0, "{again:#}");
    assert_tables(&service).await;
}

#[tokio::test]
async fn crash_between_flush_and_commit_without_transactions_repeats_the_batch() {
    let without = [("kafka.transactions", "false")];
    let (mut service, id) = crashed_at("enriched_publisher:flush:after=abort", &without).await;
    service.start().await;
    let poll = whole(&service, &id).await;
    assert!(count(&poll, "republished") > 0, "{poll:#}");
    assert_eq!(count(&poll, "republished"), count(&poll, "duplicate"), "{poll:#}");
}

#[tokio::test]
async fn lost_answer_to_the_commit_of_derived_records_repeats_nothing() {
    let mut service = crate::crashed::service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, "enriched_publisher:commit:after=error", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    let began = std::time::Instant::now();
    let poll = whole(&service, &id).await;
    assert!(began.elapsed() < Duration::from_secs(60));
    reached(&service).await;
    assert_nothing_came_twice(&poll);
}
