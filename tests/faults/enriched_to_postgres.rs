//! Enriched to PostgreSQL: the rows and the position behind them are one transaction.

use serde_json::json;

use crate::crashed::{
    ALL_ROLES, OldOwner, assert_nothing_came_twice, assert_tables, reached, service, spawn_faulty, whole,
    whole_beside,
};

const OTHERS: &str = "control,enricher";

#[tokio::test]
async fn crash_before_the_commit_of_a_write_repeats_it_unseen() {
    let poll = whole_beside(OTHERS, "writer", "writer:commit:before=abort@2", &[]).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn crash_after_the_commit_of_a_write_repeats_nothing() {
    let poll = whole_beside(OTHERS, "writer", "writer:commit:after=abort@2", &[]).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn lost_answer_to_the_commit_of_a_write_repeats_nothing() {
    let mut service = service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, "writer:commit:after=error@2", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    let poll = whole(&service, &id).await;
    reached(&service).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn old_writer_that_wakes_up_writes_nothing() {
    // Stopped before its transaction begins, it would die where it comes to the commit.
    let faults = "writer:write:before=delay:1s,writer:commit:before=abort";
    let (old, service) = OldOwner::replaced("writer", 10, OTHERS, faults).await;
    old.wakes_up_and_says(&service, "is not where the batch begins").await;
    assert_tables(&service).await;
}
