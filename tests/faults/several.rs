//! Several processes of one deployment share the partitions, and one of them after the other is killed, cut
//! off or made to stand still. Whatever happens to one, the others take over and the tables are
//! those of a run that nothing disturbed.

use std::time::{Duration, Instant};

use nyc311::kafka::Admin;
use nyc311::kafka::admin::GivenOut;
use nyc311::kafka::groups::{enricher_group, writer_group};
use nyc311_domain::Borough;
use nyc311_testkit::deployment::{
    ALL_ROLES, assert_whole, flows, opened, prepared, slow_city, stored, three,
};
use nyc311_testkit::{Process, Proxy, Service};
use serde_json::json;

use crate::PROGRAM;

/// How long a silence is that outlasts the session of a member (6 s), and every lease.
const LONG_SILENCE: Duration = Duration::from_secs(12);

/// Tells whether a process has opened a partition of the enriched records, and that of the dead letters with
/// the same number.
fn has_a_pair(process: &Process) -> Option<()> {
    let log = process.log();
    let opened = |topic: &str, number: usize| {
        log.contains(&format!(".{topic}\" partition={number} "))
            && log.contains("stage=\"enriched_consumer\"")
    };
    let mut numbers = 0..Borough::ALL.len();
    numbers.any(|number| opened("enriched", number) && opened("dead_letter", number)).then_some(())
}

/// Waits until each group has so many members, and every partition belongs to one of them.
async fn assert_taken_over(service: &Service, members: usize) {
    let kafka = &service.settings.kafka;
    let admin = Admin::new(kafka).unwrap();
    // The partitions of dead letters go with those of enriched records.
    for (group, topic) in
        [(enricher_group(kafka), &kafka.raw_topic), (writer_group(kafka), &kafka.enriched_topic)]
    {
        service
            .wait_for("the others have all partitions", async || {
                let given_out = admin.given_out(&group, topic).await.ok()?;
                let all = GivenOut { partitions: Borough::ALL.len(), is_at_rest: true };
                (given_out == all && admin.group_members(&group).await.ok()? == members).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn partitions_and_poll_of_a_process_that_is_killed_are_taken_over() {
    let simulator = slow_city(24_000, Duration::from_millis(500));
    let mut service = prepared(PROGRAM, &simulator).await;
    let [first, second, third] = three(&mut service, &[]).await;
    for process in [&first, &second, &third] {
        process.wait_for("it has a share of both derived topics", async || has_a_pair(process)).await;
    }
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
    assert_whole(PROGRAM, &service, &simulator, &id).await;
}

#[tokio::test]
async fn a_process_that_is_cut_off_is_replaced_and_joins_again() {
    let simulator = slow_city(24_000, Duration::from_millis(500));
    let mut service = prepared(PROGRAM, &simulator).await;
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
    assert_whole(PROGRAM, &service, &simulator, &id).await;
    assert_eq!(first.terminate().await, 0);
}

#[tokio::test]
async fn a_process_that_wakes_up_after_its_session_does_no_harm_and_joins_again() {
    let simulator = slow_city(24_000, Duration::from_millis(500));
    let mut service = prepared(PROGRAM, &simulator).await;
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
    assert_whole(PROGRAM, &service, &simulator, &id).await;
    assert_eq!(first.terminate().await, 0);
}

#[tokio::test]
async fn one_poll_runs_at_a_time_whichever_process_is_asked() {
    let simulator = slow_city(1_000, Duration::from_millis(100));
    let mut service = prepared(PROGRAM, &simulator).await;
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
    let simulator = slow_city(24_000, Duration::from_millis(500));
    let mut service = prepared(PROGRAM, &simulator).await;
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
    assert_whole(PROGRAM, &service, &simulator, &id.unwrap()).await;
    for (_, process) in running {
        assert_eq!(process.terminate().await, 0);
    }
}
