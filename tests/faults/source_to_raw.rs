//! Source to raw: a page is in Kafka before the poll's cursor moves behind it.

use serde_json::json;

use crate::crashed::{
    ALL_ROLES, PAGE_ROWS, ROWS, assert_nothing_came_twice, count, reached, service, spawn_faulty, whole,
    whole_after,
};

#[tokio::test]
async fn crash_before_a_page_is_published_fetches_it_again() {
    let (service, poll) = whole_after("raw_publisher:publish:before=abort@2").await;
    assert_nothing_came_twice(&poll);
    assert_eq!(service.raw_ends().await, ROWS);
}

#[tokio::test]
async fn crash_in_the_middle_of_a_page_publishes_its_rows_again() {
    const OF_THE_PAGE: i64 = 150;
    let mut service = service(&[]).await;
    let published = PAGE_ROWS + OF_THE_PAGE;
    spawn_faulty(&mut service, ALL_ROLES, "raw_publisher:second_half:before=hang@2", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    reached(&service).await;
    // What librdkafka has, it delivers, though the stage stands still.
    service
        .wait_for("the rows before it are in kafka", async || {
            (service.raw_ends().await == published).then_some(())
        })
        .await;
    service.kill();
    service.start().await;
    let poll = whole(&service, &id).await;
    assert_eq!((count(&poll, "fetched"), count(&poll, "republished")), (ROWS, OF_THE_PAGE), "{poll:#}");
    assert_eq!(service.raw_ends().await, ROWS + OF_THE_PAGE);
}

#[tokio::test]
async fn crash_between_a_page_and_its_record_publishes_the_page_again() {
    let (service, poll) = whole_after("raw_publisher:publish:after=abort@2").await;
    assert_eq!((count(&poll, "fetched"), count(&poll, "republished")), (ROWS, PAGE_ROWS), "{poll:#}");
    assert_eq!(service.raw_ends().await, ROWS + PAGE_ROWS);
}

#[tokio::test]
async fn crash_before_the_record_of_a_page_is_committed_publishes_the_page_again() {
    let (service, poll) = whole_after("poller:record_page:before=abort@2").await;
    assert_eq!((count(&poll, "fetched"), count(&poll, "republished")), (ROWS, PAGE_ROWS), "{poll:#}");
    assert_eq!(service.raw_ends().await, ROWS + PAGE_ROWS);
}

#[tokio::test]
async fn crash_after_the_record_of_a_page_repeats_nothing() {
    let (service, poll) = whole_after("poller:record_page:after=abort@2").await;
    assert_nothing_came_twice(&poll);
    assert_eq!(service.raw_ends().await, ROWS);
}

#[tokio::test]
async fn lost_answer_to_the_record_of_a_page_finds_it_recorded() {
    let mut service = service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, "poller:record_page:after=error@2", &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    let poll = whole(&service, &id).await;
    assert!(service.log().contains("page was not recorded, it waits"), "{}", service.log());
    assert_nothing_came_twice(&poll);
    assert_eq!(service.raw_ends().await, ROWS);
}
