//! Several processes of one deployment share the partitions, and one of them after the other is killed, cut
//! off, made to stand still or started anew. Whatever happens to one, the others take over and the tables are
//! those of a run that nothing disturbed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nyc311::kafka::Admin;
use nyc311::kafka::admin::GivenOut;
use nyc311::kafka::groups::{enricher_group, writer_group};
use nyc311_domain::Borough;
use nyc311_simulator::Simulator;
use nyc311_testkit::source_rows::city;
use nyc311_testkit::{Process, Proxy, Service, assert_counts_add_up};
use serde_json::json;

use crate::PROGRAM;
use crate::crashed::ALL_ROLES;

/// How long a silence is that outlasts the session of a member (6 s), and every lease.
const LONG_SILENCE: Duration = Duration::from_secs(12);

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A city whose pages are slow, so that rows flow all the time while a test breaks something; at its end it
/// is read as fast as ever.
fn slow_city(rows: u64, page: &str) -> Simulator {
    let simulator = city(rows);
    simulator.inject(format!("slow,delay={page}").parse().unwrap());
    simulator
}

/// Returns how many partitions a process has opened so far.
fn opened(process: &Process) -> usize {
    process.log().matches("partition opened").count()
}

/// Starts three processes that run everything, and waits until each has partitions.
async fn three(service: &mut Service, of_first: &[(&str, &str)]) -> [Process; 3] {
    let more = |name| if name == NAMES[0] { of_first } else { &[] };
    let processes = NAMES.map(|name| service.process(name, ALL_ROLES, more(name)));
    for process in &processes {
        process.ready().await;
        process.wait_for("it has partitions", async || (opened(process) > 0).then_some(())).await;
    }
    service.ask(&processes[0]);
    processes
}

async fn prepared(simulator: &Simulator) -> Service {
    let overrides = [
        ("source.page_rows", "200"),
        ("write.max_rows", "500"),
        ("kafka.request_timeout", "3s"),
        ("database.connect_timeout", "1s"),
        ("poll.lease", "5s"),
    ];
    PROGRAM.service(&simulator.resource_url(), &overrides).await
}

/// Waits for the end of the poll, and holds everything against a run of the same source that nothing
/// disturbs.
async fn assert_whole(service: &Service, simulator: &Simulator, id: &str) {
    simulator.clear_faults();
    let poll = service.finished(id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
    service.assert_recounts().await;
    let mut undisturbed = PROGRAM.service(&simulator.resource_url(), &[]).await;
    undisturbed.start().await;
    undisturbed.poll().await;
    assert_eq!(service.tables().await, undisturbed.tables().await);
}

async fn stored(service: &Service) -> i64 {
    service.database.number("select count(*) from nyc311.service_request").await
}

/// Waits until so many rows more are stored.
async fn flows(service: &Service, rows: i64) {
    let before = stored(service).await;
    service.wait_for("rows flow", async || (stored(service).await >= before + rows).then_some(())).await;
}

/// Waits until each group has so many members, and every partition belongs to one of them.
async fn assert_taken_over(service: &Service, members: usize) {
    let kafka = &service.settings.kafka;
    let admin = Admin::new(kafka).unwrap();
    let raw = [kafka.raw_topic.as_str()].map(Arc::from);
    let derived = [kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()].map(Arc::from);
    for (group, topics) in [(enricher_group(kafka), &raw[..]), (writer_group(kafka), &derived[..])] {
        service
            .wait_for("the others have all partitions", async || {
                let given_out = admin.given_out(&group, topics).await.ok()?;
                let all = GivenOut { partitions: topics.len() * Borough::ALL.len(), is_at_rest: true };
                (given_out == all && admin.group_members(&group).await.ok()? == members).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn partitions_and_poll_of_a_process_that_is_killed_are_taken_over() {
    let simulator = slow_city(24_000, "500ms");
    let mut service = prepared(&simulator).await;
    let [first, second, third] = three(&mut service, &[]).await;
    let id = service.submit(json!({})).await;
    flows(&service, 1_000).await;
    // Whoever runs the poll is one of them: each is killed in turn, and stays away for longer than its
    // session.
    service.ask(&third);
    let killed_at = Instant::now();
    first.kill();
    assert_taken_over(&service, 2).await;
    println!("a killed member was gone after {:?}", killed_at.elapsed());
    flows(&service, 500).await;
    let first = service.process("a", ALL_ROLES, &[]);
    first.ready().await;
    second.kill();
    assert_taken_over(&service, 2).await;
    flows(&service, 500).await;
    assert_whole(&service, &simulator, &id).await;
}

#[tokio::test]
async fn a_process_that_is_cut_off_is_replaced_and_joins_again() {
    let simulator = slow_city(24_000, "500ms");
    let mut service = prepared(&simulator).await;
    let (to_kafka, kafka) = Proxy::in_front_of_kafka(&service.settings.kafka.bootstrap_servers).await;
    let (to_database, database) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    let through =
        [("NYC311_KAFKA__BOOTSTRAP_SERVERS", kafka.as_str()), ("NYC311_DATABASE__URL", database.as_str())];
    let [first, second, third] = three(&mut service, &through).await;
    service.ask(&second);
    let id = service.submit(json!({})).await;
    flows(&service, 1_000).await;
    to_kafka.stall(true);
    to_database.stall(true);
    assert_taken_over(&service, 2).await;
    flows(&service, 500).await;
    to_kafka.stall(false);
    to_database.stall(false);
    assert_taken_over(&service, 3).await;
    for process in [&first, &second, &third] {
        process.ready().await;
    }
    assert_whole(&service, &simulator, &id).await;
    assert_eq!(first.terminate().await, 0);
}

#[tokio::test]
async fn a_process_that_wakes_up_after_its_session_does_no_harm_and_joins_again() {
    let simulator = slow_city(24_000, "500ms");
    let mut service = prepared(&simulator).await;
    let [first, second, third] = three(&mut service, &[]).await;
    let id = service.submit(json!({})).await;
    flows(&service, 1_000).await;
    service.ask(&second);
    first.signal("-STOP");
    let stopped_at = Instant::now();
    assert_taken_over(&service, 2).await;
    println!("a member that stands still was gone after {:?}", stopped_at.elapsed());
    flows(&service, 500).await;
    service
        .wait_for("it has stood still for long", async || (stopped_at.elapsed() > LONG_SILENCE).then_some(()))
        .await;
    let before = opened(&first);
    first.signal("-CONT");
    first.wait_for("it has partitions again", async || (opened(&first) > before).then_some(())).await;
    for process in [&first, &second, &third] {
        process.ready().await;
    }
    assert_whole(&service, &simulator, &id).await;
    assert_eq!(first.terminate().await, 0);
}

#[tokio::test]
async fn one_poll_runs_at_a_time_whichever_process_is_asked() {
    let simulator = slow_city(1_000, "100ms");
    let mut service = prepared(&simulator).await;
    let processes = three(&mut service, &[]).await;
    let mut ids = Vec::new();
    for process in processes.iter().chain(&processes) {
        service.ask(process);
        ids.push(service.submit(json!({})).await);
    }
    let under_way = "select count(*) from nyc311.poll where state in ('running', 'storing')";
    let ended = "select count(*) from nyc311.poll where state = 'succeeded'";
    service
        .wait_for("all polls have ended", async || {
            assert!(service.database.number(under_way).await <= 1, "two polls run at a time");
            (service.database.number(ended).await == i64::try_from(ids.len()).unwrap()).then_some(())
        })
        .await;
    assert_eq!(stored(&service).await, 1_000);
    service.assert_recounts().await;
}

#[tokio::test]
async fn each_role_in_a_process_of_its_own_is_killed_in_turn() {
    let simulator = slow_city(24_000, "500ms");
    let mut service = prepared(&simulator).await;
    let mut id = None;
    let mut running: Vec<(&str, Process)> =
        ["control", "enricher", "writer"].map(|role| (role, service.process(role, role, &[]))).into();
    for (_, process) in &running {
        process.ready().await;
    }
    service.ask(&running[0].1);
    for role in ["writer", "enricher", "control", "enricher", "writer"] {
        if id.is_none() {
            id = Some(service.submit(json!({})).await);
        }
        flows(&service, 500).await;
        let place = running.iter().position(|(name, _)| *name == role).unwrap();
        running.remove(place).1.kill();
        let process = service.process(role, role, &[]);
        process.ready().await;
        if role == "control" {
            service.ask(&process);
        }
        running.push((role, process));
    }
    assert_whole(&service, &simulator, &id.unwrap()).await;
    for (_, process) in running {
        assert_eq!(process.terminate().await, 0);
    }
}

/// How many rows are stored, and how many of each borough.
async fn stored_by_borough(service: &Service) -> Vec<i64> {
    let counts = "select borough, count(*) as rows from nyc311.service_request where borough is not null
                  group by 1 order by 1";
    let counts = service.database.json(counts).await;
    let of_boroughs = counts.as_array().unwrap().iter().map(|row| row["rows"].as_i64().unwrap());
    std::iter::once(stored(service).await).chain(of_boroughs).collect()
}

/// Watches the table while something happens to the processes. Returns for how long no row arrived, in pauses
/// of more than half a second, all together.
async fn standing_still(service: &Service, happens: impl Future<Output = ()>) -> Duration {
    let mut happens = std::pin::pin!(happens);
    let mut seen: Vec<_> =
        stored_by_borough(service).await.into_iter().map(|rows| (rows, Instant::now())).collect();
    let mut paused = vec![Duration::ZERO; seen.len()];
    loop {
        let has_happened = tokio::time::timeout(Duration::from_millis(50), &mut happens).await.is_ok();
        let now = stored_by_borough(service).await;
        for (((rows, since), paused), now) in seen.iter_mut().zip(&mut paused).zip(now) {
            if now == *rows && !has_happened {
                continue;
            }
            if since.elapsed() > Duration::from_millis(500) {
                *paused += since.elapsed();
            }
            (*rows, *since) = (now, Instant::now());
        }
        if has_happened {
            println!("no row arrived for {:?}, and of the boroughs none for {:?}", paused[0], &paused[1..]);
            return paused[0];
        }
    }
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_and_hardly_stops_the_flow() {
    let simulator = slow_city(50_000, "100ms");
    let mut service = prepared(&simulator).await;
    let mut running = Vec::from(three(&mut service, &[]).await);
    let id = service.submit(json!({})).await;
    flows(&service, 1_000).await;
    let rolling = async {
        for name in NAMES {
            assert_eq!(running.remove(0).terminate().await, 0);
            let process = service.process(name, ALL_ROLES, &[]);
            process.ready().await;
            running.push(process);
        }
    };
    let paused = standing_still(&service, rolling).await;
    assert!(paused < Duration::from_secs(10), "{paused:?}");
    service.ask(&running[0]);
    assert_whole(&service, &simulator, &id).await;
    for process in running {
        assert_eq!(process.terminate().await, 0, "{}", service.log());
    }
}
