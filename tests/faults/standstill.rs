//! What stands still is noticed and mended: a frozen thread, a lock that somebody holds, a database that
//! refuses.

use std::time::{Duration, Instant};

use nyc311_testkit::freezer::{freeze, threads};
use nyc311_testkit::source_rows::{city, row, simulate_lines};
use nyc311_testkit::{Proxy, assert_counts_add_up};
use serde_json::{Value, json};

use crate::PROGRAM;

/// Short bounds: a test waits for each of them.
const IMPATIENT: [(&str, &str); 3] =
    [("source.page_rows", "500"), ("supervision.hang_after", "4s"), ("supervision.stalled_after", "5s")];

/// What follows from a thread that stands still.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mended {
    /// The process goes on without it.
    Inside,
    /// The process ends with 71.
    ByANewProcess,
    /// One or the other.
    Somehow,
}

/// Freezes a thread in the middle of a poll: the poll ends all the same, with the tables as they should be. A
/// process that ends over it is started anew, as whoever runs it would.
async fn a_poll_ends_though_a_thread_stands_still(name: &str, which: usize, mended: Mended) {
    let simulator = city(8_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &IMPATIENT).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1_000).await;
    let thread = threads(service.process_id(), name).get(which).copied();
    let frozen = freeze(thread.unwrap_or_else(|| panic!("no thread {which} is named {name}")));
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut ended = None;
    let poll = loop {
        assert!(Instant::now() < deadline, "the poll does not end\n{}", service.log());
        if let Some(code) = service.has_ended() {
            ended = Some(code);
            service.start().await;
        }
        let poll = service.get(&format!("/v1/polls/{id}")).await;
        let poll = poll.filter(|poll| poll["state"] == "succeeded");
        match poll.filter(|_| mended != Mended::ByANewProcess || ended.is_some()) {
            Some(poll) => break poll,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    match mended {
        Mended::Inside => assert_eq!(ended, None, "{}", service.log()),
        Mended::ByANewProcess => assert_eq!(ended, Some(71)),
        Mended::Somehow => assert!([None, Some(71)].contains(&ended), "{ended:?}"),
    }
    assert_counts_add_up(&poll);
    assert_eq!(
        service.database.number("select count(*) from nyc311.service_request").await,
        8_000,
        "{poll:#}"
    );
    service.assert_recounts().await;
    drop(frozen);
}

#[tokio::test]
async fn a_frozen_thread_of_the_store_ends_the_process_and_the_poll_goes_on() {
    a_poll_ends_though_a_thread_stands_still("store", 0, Mended::ByANewProcess).await;
}

#[tokio::test]
async fn a_frozen_consumer_ends_the_process_and_the_poll_goes_on() {
    for which in [0, 1] {
        a_poll_ends_though_a_thread_stands_still("consumer-", which, Mended::ByANewProcess).await;
    }
}

#[tokio::test]
async fn a_frozen_producer_is_left_behind() {
    a_poll_ends_though_a_thread_stands_still("producer-0", 0, Mended::Inside).await;
}

#[tokio::test]
async fn a_frozen_supervisor_ends_the_process_and_the_poll_goes_on() {
    a_poll_ends_though_a_thread_stands_still("nyc311", 0, Mended::ByANewProcess).await;
}

#[tokio::test]
async fn a_frozen_thread_that_accepts_connections_is_left_behind() {
    let mut service = PROGRAM.service("http://127.0.0.1:1/resource/erm2-nwe9.json", &IMPATIENT).await;
    service.start().await;
    let thread = threads(service.process_id(), "actix-server ac")[0];
    let frozen = freeze(thread);
    service
        .wait_for("the control stage is built anew", async || {
            let pipeline = service.get("/v1/pipeline").await?;
            (pipeline["stages"][0]["restarts"].as_u64()? > 0).then_some(())
        })
        .await;
    assert!(service.log().contains("gives itself no answer"), "{}", service.log());
    drop(frozen);
    assert_eq!(service.terminate().await, 0);
}

#[tokio::test]
async fn a_frozen_watchdog_is_watched_itself() {
    a_poll_ends_though_a_thread_stands_still("watchdog", 0, Mended::ByANewProcess).await;
}

/// The Arbiters in the order of their start: those of the stages, and those of the HTTP server.
async fn every_fourth_arbiter_stands_still(first: usize) {
    for which in (first..15).step_by(4) {
        a_poll_ends_though_a_thread_stands_still("actix-rt", which, Mended::Somehow).await;
    }
}

#[tokio::test]
async fn a_frozen_stage_is_rebuilt_or_ends_the_process() {
    tokio::join!(every_fourth_arbiter_stands_still(0), every_fourth_arbiter_stands_still(1));
}

#[tokio::test]
async fn another_frozen_stage_is_rebuilt_or_ends_the_process() {
    tokio::join!(every_fourth_arbiter_stands_still(2), every_fourth_arbiter_stands_still(3));
}

#[tokio::test]
async fn a_table_that_somebody_locks_again_and_again_holds_nothing_up_for_good() {
    let simulator = city(30_000);
    let overrides = [("source.page_rows", "2000"), ("database.lock_timeout", "1s")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1).await;
    for _ in 0..3 {
        // Longer than the window may be full before the partitions are paused, and than the lock timeout.
        service
            .database
            .execute(
                "begin; lock table nyc311.service_request in access exclusive mode; select pg_sleep(4); commit",
            )
            .await;
    }
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
    assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 30_000);
    service.ready().await;
}

/// Has the database refuse every move of a poll's cursor.
const REFUSE_CURSORS: &str = "
    create function nyc311.refuse() returns trigger language plpgsql as $$
    begin raise exception 'invalid byte sequence for encoding' using errcode = '22021'; end $$;
    create trigger refuse before update of cursor_row_id on nyc311.poll for each row
    when (new.cursor_row_id is distinct from old.cursor_row_id) execute function nyc311.refuse()";

#[tokio::test]
async fn a_page_that_the_database_refuses_fails_the_poll_and_is_published_once() {
    let simulator = city(1_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "200")]).await;
    service.start().await;
    service.database.execute(REFUSE_CURSORS).await;
    let id = service.submit(json!({})).await;
    let poll = service.finished(&id).await;
    assert_eq!((&poll["state"], &poll["error"]["code"]), (&json!("failed"), &json!("database_refused")));
    let detail = poll["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("22021") && detail.contains("invalid byte sequence"), "{detail}");
    let ends = service.raw_ends().await;
    assert_eq!(ends, 200, "the page was published again");
    service.database.execute("drop trigger refuse on nyc311.poll").await;
    service.poll().await;
    assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 1_000);
}

#[tokio::test]
async fn a_page_that_kafka_refuses_fails_the_poll_with_what_kafka_said() {
    let directory = tempfile::TempDir::new().unwrap();
    // One of them states no borough, so its record has no key.
    let simulator =
        simulate_lines(&directory, &(0..6).map(|key| row(key, 1).to_string()).collect::<Vec<_>>());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    // A log that keeps the last record of each key takes none without.
    service.configure_raw_topic("cleanup.policy", "compact").await;
    let id = service.submit(json!({})).await;
    let poll = service.finished(&id).await;
    assert_eq!((&poll["state"], &poll["error"]["code"]), (&json!("failed"), &json!("kafka_refused")));
    let detail = poll["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("InvalidRecord"), "{detail}");
    service.configure_raw_topic("cleanup.policy", "delete").await;
    service.poll().await;
    assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 6);
}

#[tokio::test]
async fn a_poll_that_can_neither_go_on_nor_be_ended_fails_its_stage() {
    let simulator = city(10_000);
    let overrides = [
        ("source.page_rows", "20"),
        ("supervision.max_restarts", "1"),
        ("supervision.backoff_initial", "50ms"),
        ("supervision.backoff_max", "100ms"),
    ];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1).await;
    service.database.execute(REFUSE_CURSORS).await;
    service.database.execute("alter table nyc311.poll rename column error_detail to elsewhere").await;
    assert_eq!(service.ended().await, 70, "{}", service.log());
    assert!(service.log().contains("error_detail"), "{}", service.log());
}

#[tokio::test]
async fn a_database_whose_tables_are_gone_ends_the_process_and_the_next_start_makes_them_anew() {
    let simulator = city(1_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    service.database.execute("drop schema nyc311 cascade").await;
    assert_eq!(service.ended().await, 70, "{}", service.log());
    service.start().await;
    service.poll().await;
    assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 1_000);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_lock_that_holds_the_writer_up() {
    let simulator = city(20_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "500")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1_000).await;
    let mut holder = service.database.client().await.unwrap();
    let lock = holder.transaction().await.unwrap();
    lock.execute("lock table nyc311.service_request in access exclusive mode", &[]).await.unwrap();
    service
        .wait_for("the writer says that it waits", async || {
            let readiness = service.get("/readyz").await?;
            (readiness["stages"]["writer"] == "waiting").then_some(())
        })
        .await;
    let began = Instant::now();
    assert_eq!(service.terminate().await, 0, "{}", service.log());
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}\n{}", began.elapsed(), service.log());
    lock.rollback().await.unwrap();
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_database_that_is_away() {
    let simulator = city(20_000);
    let overrides = [("source.page_rows", "500"), ("database.connect_timeout", "1s")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1_000).await;
    proxy.stall(true);
    let began = Instant::now();
    assert_eq!(service.terminate().await, 0, "{}", service.log());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}\n{}", began.elapsed(), service.log());
    service.start().await;
    let poll: Value = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
}
