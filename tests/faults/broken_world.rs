//! The world breaks around a service that works: connections are cut in the middle of an effect, the network
//! is slow and loses what it carries, the database is full or cannot serialize, partitions move in the middle
//! of a batch, the source answers with errors alone, and its clock is a day off. Each time everything that is
//! kept is held against what the source has.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nyc311_simulator::{Simulator, SimulatorOptions, serve};
use nyc311_testkit::source_rows::{city, file, row};
use nyc311_testkit::{Cut, Proxy, Service, assert_counts_add_up};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PROGRAM;

const ROWS: u64 = 3_000;
/// Several pages, and several transactions for them.
const SMALL: [(&str, &str); 2] = [("source.page_rows", "400"), ("write.max_rows", "300")];

/// Waits until the poll has succeeded, and holds everything that is kept against the source.
async fn whole(service: &Service, simulator: &Simulator, id: &str) -> Value {
    let poll = service.finished(id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}\n{}", service.log());
    assert_counts_add_up(&poll);
    service.assert_promises(simulator).await;
    poll
}

/// Polls through a connection to the database that is cut where a client sends this.
async fn polled_with_a_cut(text: &'static str, cut: Cut) -> Value {
    let simulator = city(ROWS);
    let mut service = PROGRAM.service(&simulator.resource_url(), &SMALL).await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
    service.ready().await;
    simulator.inject("slow,delay=100ms".parse().unwrap());
    let id = service.submit(json!({})).await;
    service.fetched(&id, 1).await;
    proxy.cut(text, cut, 4);
    let poll = whole(&service, &simulator, &id).await;
    assert_eq!(proxy.cuts(), 4);
    poll
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_copy_loses_and_doubles_nothing() {
    let poll = polled_with_a_cut("PGCOPY\n", Cut::Within(40_000)).await;
    assert_eq!(poll["counts"]["stored"], ROWS, "{poll:#}");
}

#[tokio::test]
async fn a_commit_that_is_cut_on_its_way_loses_and_doubles_nothing() {
    polled_with_a_cut("COMMIT\0", Cut::Before).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_loses_and_doubles_nothing() {
    polled_with_a_cut("COMMIT\0", Cut::Answer).await;
}

#[tokio::test]
async fn a_network_that_is_slow_and_loses_what_it_carries_loses_no_row() {
    let simulator = city(ROWS);
    let overrides = [SMALL[0], SMALL[1], ("source.read_timeout", "5s")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    let (database, url) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    let (kafka, brokers) = Proxy::in_front_of_kafka(&service.settings.kafka.bootstrap_servers).await;
    let (source, resource) = Proxy::in_front_of(&simulator.resource_url()).await;
    let through = [
        ("NYC311_DATABASE__URL", url.as_str()),
        ("NYC311_KAFKA__BOOTSTRAP_SERVERS", &brokers),
        ("NYC311_SOURCE__URL", &resource),
    ];
    service.spawn(&["run"], &through);
    service.ready().await;
    for proxy in [&database, &kafka, &source] {
        proxy.delay(Duration::from_millis(5));
        proxy.throttle(Some(2_000_000));
        proxy.lose(20);
    }
    let id = service.submit(json!({})).await;
    whole(&service, &simulator, &id).await;
    assert!(kafka.sent() > 100, "the brokers were asked past the proxy: {}", kafka.sent());
}

#[tokio::test]
async fn connections_to_kafka_that_are_cut_again_and_again_lose_and_double_nothing() {
    let simulator = city(ROWS);
    simulator.inject("slow,delay=200ms".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &SMALL).await;
    let (kafka, brokers) = Proxy::in_front_of_kafka(&service.settings.kafka.bootstrap_servers).await;
    service.spawn(&["run"], &[("NYC311_KAFKA__BOOTSTRAP_SERVERS", &brokers)]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    for rows in [1, 800, 1_600] {
        service.fetched(&id, rows).await;
        kafka.sever();
    }
    whole(&service, &simulator, &id).await;
}

#[tokio::test]
async fn connections_that_are_forgotten_on_the_way_are_made_anew() {
    let simulator = city(ROWS);
    simulator.inject("slow,delay=200ms".parse().unwrap());
    let limits = [
        ("kafka.request_timeout", "3s"),
        ("database.statement_timeout", "2s"),
        ("database.copy_timeout", "2s"),
    ];
    let mut service = PROGRAM.service(&simulator.resource_url(), &[&SMALL[..], &limits].concat()).await;
    let (kafka, brokers) = Proxy::in_front_of_kafka(&service.settings.kafka.bootstrap_servers).await;
    let (database, url) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    let through = [("NYC311_KAFKA__BOOTSTRAP_SERVERS", brokers.as_str()), ("NYC311_DATABASE__URL", &url)];
    service.spawn(&["run"], &through);
    service.ready().await;
    let id = service.submit(json!({})).await;
    for (rows, proxy) in [(400, &kafka), (1_600, &database)] {
        service.fetched(&id, rows).await;
        proxy.forget();
    }
    let forgotten_at = Timestamp::now();
    whole(&service, &simulator, &id).await;
    service.ready().await;
    let renewed = format!("select count(*) from nyc311.instance where renewed_at > '{forgotten_at}'");
    service
        .wait_for("the name is renewed", async || {
            (service.database.number(&renewed).await == 1).then_some(())
        })
        .await;
}

/// Has the database refuse the first writes of rows with a state, which `nextval` counts though they are
/// rolled back.
async fn refuse_writes(service: &Service, times: u32, state: &str) {
    let sql = format!(
        "create sequence public.refused;
         create function public.refuse() returns trigger language plpgsql as $$
         begin
             if nextval('public.refused') <= {times} then
                 raise exception 'on purpose' using errcode = '{state}';
             end if;
             return null;
         end $$;
         create trigger refuse before insert or update on nyc311.service_request_row
         for each statement execute function public.refuse()"
    );
    service.database.execute(&sql).await;
}

async fn polled_while_writes_fail(times: u32, state: &str) {
    let simulator = city(ROWS);
    let mut service = PROGRAM.service(&simulator.resource_url(), &SMALL).await;
    service.start().await;
    refuse_writes(&service, times, state).await;
    let id = service.submit(json!({})).await;
    let poll = whole(&service, &simulator, &id).await;
    assert_eq!(poll["counts"]["stored"], ROWS, "{poll:#}");
    let asked = service.database.number("select last_value from public.refused").await;
    assert!(asked > i64::from(times), "{asked}");
}

#[tokio::test]
async fn a_full_disk_is_waited_for_and_makes_no_dead_letter() {
    polled_while_writes_fail(6, "53100").await;
}

#[tokio::test]
async fn writes_that_cannot_be_serialized_are_done_again_and_make_no_dead_letter() {
    polled_while_writes_fail(6, "40001").await;
}

#[tokio::test]
async fn partitions_that_move_in_the_middle_of_a_batch_lose_and_double_nothing() {
    let simulator = city(2 * ROWS);
    simulator.inject("slow,delay=300ms".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &SMALL).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    let other = format!("{}-other", service.settings.instance.id);
    let named = [("NYC311_INSTANCE__ID", other.as_str()), ("NYC311_HTTP__LISTEN", "127.0.0.1:0")];
    for rows in [1, 1_600, 3_200] {
        service.fetched(&id, rows).await;
        service.spawn(&["run", "--roles", "enricher,writer"], &named);
        let opened = async || service.log().contains("partition opened").then_some(());
        service.wait_for("the other process has partitions", opened).await;
        assert_eq!(service.terminate().await, 0, "{}", service.log());
    }
    whole(&service, &simulator, &id).await;
}

#[tokio::test]
async fn a_storm_of_refusals_and_errors_of_the_source_loses_no_row() {
    let simulator = city(ROWS);
    let overrides = [SMALL[0], SMALL[1], ("source.retry_max_elapsed", "30s")];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    for fault in [
        "too_many_requests,every=3,retry_after=1s",
        "server_error,every=4,status=503",
        "server_error,every=5,status=500",
        "truncated,every=7",
    ] {
        simulator.inject(fault.parse().unwrap());
    }
    let id = service.submit(json!({})).await;
    let poll = whole(&service, &simulator, &id).await;
    assert_eq!(poll["counts"]["stored"], ROWS, "{poll:#}");
}

/// Serves rows that were stamped just before the time that the source's clock shows.
fn source_whose_clock_is_off(directory: &TempDir, by: SignedDuration) -> Simulator {
    let clock = Timestamp::now() + by;
    let lines: Vec<String> = (0..200_i64)
        .map(|key| {
            let mut row = row(u64::try_from(key).unwrap(), 1);
            let stamp = clock - SignedDuration::from_mins(600 - key);
            row[":updated_at"] = json!(format!("{stamp:.3}"));
            row.to_string()
        })
        .collect();
    let options = SimulatorOptions {
        file: vec![file(directory, "rows.ndjson", &lines)],
        clock: Some(clock),
        ..SimulatorOptions::default()
    };
    serve(&options).unwrap()
}

#[tokio::test]
async fn a_source_whose_clock_is_a_day_ahead_or_behind_loses_no_row() {
    for hours in [-24, 24] {
        let directory = TempDir::new().unwrap();
        let simulator = source_whose_clock_is_off(&directory, SignedDuration::from_hours(hours));
        let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "30")]).await;
        service.start().await;
        for stored in [200, 0] {
            let id = service.submit(json!({})).await;
            let poll = whole(&service, &simulator, &id).await;
            assert_eq!(poll["counts"]["stored"], stored, "{hours} h: {poll:#}");
        }
        let position = service.source_position().await;
        let published: Timestamp = position[0]["published_updated_at"].as_str().unwrap().parse().unwrap();
        // By the clock of the source: what is stamped later may still appear.
        let distance = simulator.clock().now_ms() - published.as_millisecond();
        assert!(distance >= 2 * 3_600_000, "{hours} h: {distance} ms");
    }
}
