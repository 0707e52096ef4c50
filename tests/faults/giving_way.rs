//! A poll from the durable cursor on overtakes backfills at the end of a page, whatever breaks meanwhile, and
//! no two polls ever run at once.

use nyc311_testkit::source_rows::{rows_of_months, simulate_lines};
use nyc311_testkit::{Service, assert_counts_add_up};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PROGRAM;

const MONTHS: [&str; 2] = ["2026-03", "2026-04"];
const EACH: u64 = 60;

async fn state(service: &Service, id: &str) -> Option<Value> {
    service.get(&format!("/v1/polls/{id}")).await
}

/// Asks for two backfills and, once the first has read a page, for a poll from the cursor on; returns their
/// ids. Each page of the source takes its time.
async fn asked(service: &Service) -> [String; 3] {
    let window = |since: &str, until: &str| json!({"on": "created_date", "since": since, "until": until});
    let first = service.submit(window("2026-03-01", "2026-04-01")).await;
    let second = service.submit(window("2026-04-01", "2026-05-01")).await;
    service.fetched(&first, 10).await;
    let incremental = service.submit(json!({})).await;
    [first, second, incremental]
}

#[tokio::test]
async fn a_poll_from_the_cursor_on_overtakes_two_backfills_and_no_two_run_at_once() {
    let directory = TempDir::new().unwrap();
    let simulator = simulate_lines(&directory, &rows_of_months(&MONTHS, EACH));
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "10")]).await;
    service.start().await;
    simulator.inject("slow,delay=200ms".parse().unwrap());
    let ids = asked(&service).await;
    let [first, second, incremental] = &ids;
    let overtaken = service
        .wait_for("the poll from the cursor on ends", async || {
            let active = "poll where state in ('running', 'storing')";
            assert!(service.database.count(active).await <= 1);
            let poll = state(&service, incremental).await?;
            (poll["state"] == "succeeded").then_some(())?;
            Some([state(&service, first).await?, state(&service, second).await?])
        })
        .await;
    assert!(overtaken.iter().all(|poll| poll["finished_at"].is_null()), "{overtaken:#?}\n{}", service.log());
    assert_eq!(service.log().matches("backfill gives way").count(), 1, "{}", service.log());
    for id in [first, second] {
        let poll = service.finished(id).await;
        assert_eq!((&poll["state"], &poll["attempt"]), (&json!("succeeded"), &json!(1)), "{poll:#}");
        // It went on behind the last page that it had, and asked for none of them twice.
        assert_eq!((&poll["counts"]["fetched"], &poll["counts"]["republished"]), (&json!(EACH), &json!(0)));
        assert_counts_add_up(&poll);
    }
    let ended = service.database.json("select poll_id from nyc311.poll order by finished_at").await;
    let order: Vec<&str> =
        ended.as_array().unwrap().iter().map(|poll| poll["poll_id"].as_str().unwrap()).collect();
    assert_eq!(order, [incremental, first, second], "a backfill that gave way is before those behind it");
}

#[tokio::test]
async fn crash_where_a_backfill_gives_way_loses_and_doubles_nothing() {
    for point in ["poller:give_way:before", "poller:give_way:after"] {
        let directory = TempDir::new().unwrap();
        let simulator = simulate_lines(&directory, &rows_of_months(&MONTHS, EACH));
        let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "10")]).await;
        simulator.inject("slow,delay=200ms".parse().unwrap());
        let faults = format!("{point}=abort");
        let armed = [("NYC311_FAULTS__ENABLED", "true"), ("NYC311_FAULTS__AT_START", faults.as_str())];
        service.spawn(&["run"], &armed);
        service.ready().await;
        let ids = asked(&service).await;
        assert_eq!(service.ended().await, -1, "{point}: {}", service.log());
        service.start().await;
        for id in ids {
            let poll = service.finished(&id).await;
            assert_eq!(poll["state"], "succeeded", "{point}: {poll:#}\n{}", service.log());
            assert_eq!(poll["counts"]["republished"], 0, "{point}: {poll:#}");
        }
        assert_eq!(service.database.count("service_request").await, i64::try_from(2 * EACH).unwrap());
        service.assert_recounts().await;
    }
}
