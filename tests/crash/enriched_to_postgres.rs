//! Enriched to PostgreSQL: the rows and the position behind them are one transaction.

use serde_json::json;

use crate::crashed::{
    ALL_ROLES, assert_nothing_came_twice, assert_tables, reached, signal, spawn_faulty, whole, whole_after,
};

#[tokio::test]
async fn crash_before_the_commit_of_a_write_repeats_it_unseen() {
    let (_service, poll) = whole_after("writer:commit:before=abort@2").await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn crash_after_the_commit_of_a_write_repeats_nothing() {
    let (_service, poll) = whole_after("writer:commit:after=abort@2").await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn lost_answer_to_the_commit_of_a_write_repeats_nothing() {
    let mut service = crate::crashed::service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, "writer:commit:after=error@2", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    let poll = whole(&service, &id).await;
    reached(&service).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn old_writer_that_wakes_up_writes_nothing() {
    let mut service = crate::crashed::service(&[]).await;
    service.spawn(&["run", "--roles", "control,enricher"], &[]);
    service.ready().await;
    let name = service.settings.instance.id.clone();
    let (old, new) = (format!("{name}-old"), format!("{name}-new"));
    let named = |instance| [("NYC311_INSTANCE__ID", instance), ("NYC311_HTTP__LISTEN", "127.0.0.1:0")];
    spawn_faulty(&mut service, "writer", "writer:write:before=delay:2s", &named(&old));
    let (old_writer, old_log) = (service.process_id(), service.log_path());
    let id = service.submit(json!({})).await;
    reached(&service).await;
    signal(old_writer, "-STOP");
    service.spawn(&["run", "--roles", "writer"], &named(&new));
    let poll = whole(&service, &id).await;
    assert_nothing_came_twice(&poll);

    // It still holds a batch, of the epoch before.
    signal(old_writer, "-CONT");
    service
        .wait_for("the old writer is refused", async || {
            let log = std::fs::read_to_string(&old_log).unwrap();
            log.contains("is not where the batch begins").then_some(())
        })
        .await;
    assert_tables(&service).await;
}
