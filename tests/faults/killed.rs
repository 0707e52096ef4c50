//! Processes that are killed or told to stop in the middle of a poll, and started again.

use std::time::Duration;

use nyc311_simulator::{SimulatorOptions, serve};
use nyc311_testkit::source_rows::{city, file, fine_rows, simulate_lines, versions};
use nyc311_testkit::{Service, assert_counts_add_up};
use serde_json::json;
use tempfile::TempDir;

use crate::PROGRAM;

/// Returns how many rows of the poll were fetched, and how many stored.
async fn progress(service: &Service, id: &str) -> Option<(i64, i64)> {
    let counts = service.get(&format!("/v1/polls/{id}")).await?["counts"].clone();
    Some((counts["fetched"].as_i64()?, counts["stored"].as_i64()?))
}

#[tokio::test]
async fn a_service_killed_at_any_moment_ends_in_the_same_tables() {
    let simulator = city(6_000);
    let overrides = [("source.page_rows", "500"), ("write.max_rows", "1000")];
    let mut undisturbed = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    undisturbed.start().await;
    undisturbed.poll().await;

    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    for _ in 0..8 {
        let before = progress(&service, &id).await;
        service
            .wait_for("the poll has come further", async || {
                let now = progress(&service, &id).await?;
                (Some(now) != before || now.1 == 6_000).then_some(())
            })
            .await;
        service.kill();
        let ready = service.start().await;
        assert!(ready < Duration::from_secs(15), "ready after {ready:?}");
    }
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
    service.assert_promises(&simulator).await;
    assert_eq!(service.tables().await, undisturbed.tables().await);
}

#[tokio::test]
async fn sigterm_drains_and_the_poll_goes_on_after_the_restart() {
    let simulator = city(20_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1_000).await;
    assert_eq!(service.terminate().await, 0, "{}", service.log());
    assert!(service.log().contains("draining"));
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!((&poll["state"], &poll["attempt"]), (&json!("succeeded"), &json!(1)), "{poll:#}");
    assert_eq!(poll["counts"]["republished"], 0, "a drain leaves nothing to publish again: {poll:#}");
    assert_counts_add_up(&poll);
    service.assert_recounts().await;
}

#[tokio::test]
async fn a_poll_over_fine_times_goes_on_after_a_kill() {
    for digits in [6, 9] {
        let directory = TempDir::new().unwrap();
        let simulator = simulate_lines(&directory, &fine_rows(digits));
        simulator.inject("slow,delay=100ms".parse().unwrap());
        let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "7")]).await;
        service.start().await;
        let id = service.submit(json!({})).await;
        service
            .wait_for("the poll is under way", async || {
                let poll = service.get(&format!("/v1/polls/{id}")).await?;
                (poll["counts"]["fetched"].as_i64()? >= 21).then_some(())
            })
            .await;
        service.kill();
        service.start().await;
        let poll = service.finished(&id).await;
        assert_eq!(poll["state"], "succeeded", "{poll:#}");
        assert_counts_add_up(&poll);
        assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 90);
    }
}

#[tokio::test]
async fn rows_that_became_visible_while_the_process_was_down_are_not_passed_over() {
    let directory = TempDir::new().unwrap();
    let options = SimulatorOptions {
        file: vec![file(&directory, "rows.ndjson", &versions(300, 1))],
        // The batch is stamped with 01:35, a third of it is visible now.
        clock: Some("2026-04-02T01:55:00Z".parse().unwrap()),
        visible_after: Duration::from_secs(3600),
        ..SimulatorOptions::default()
    };
    let simulator = serve(&options).unwrap();
    simulator.inject("slow,delay=150ms".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "10")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 30).await;
    service.kill();
    // The rest of the batch appears, before and behind the place where the poll goes on.
    simulator.clock().advance(Duration::from_secs(5 * 3600));
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    let stored = "select count(*) from nyc311.service_request";
    assert!(service.database.number(stored).await < 300, "the poll was not in the middle of the batch");
    service.poll().await;
    assert_eq!(service.database.number(stored).await, 300);
}

#[tokio::test]
async fn a_killed_process_has_its_name_back_at_once() {
    let simulator = city(100);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.kill();
    let took = service.start().await;
    assert!(!service.log().contains("waiting whether"), "{}", service.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
