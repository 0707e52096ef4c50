//! A crash at each point of the list: the process aborts there, is started again, and what is left is held
//! against a run that nothing disturbed.
//!
//! | points | how the process comes by |
//! |---|---|
//! | most | it starts and runs a poll |
//! | without transactions | the same, with `kafka.transactions = false` |
//! | the abort of a transaction | one of its calls fails first |
//! | the end of a poll that fails, or is cancelled | the source refuses, or does not answer and somebody cancels |
//! | the release of the name | the process is told to stop |
//! | commands | the command breaks, and is given again |
//!
//! What notes a loss of Kafka needs one, see `noting_a_loss`; a backfill gives way to another poll, see
//! `giving_way`; a reconciliation needs a difference, see `reconciliation`.

use std::collections::BTreeSet;

use nyc311::faults::{POINTS, Point};
use nyc311_testkit::{Service, eventually, http_client};
use serde_json::Value;

use crate::crashed::{
    ALL_ROLES, assert_same_tables, assert_tables, service, source_url, spawn_faulty, whole,
};

/// The points whose tests are elsewhere, by how their names begin.
const ELSEWHERE: [&str; 3] = ["environment:note_loss:", "poller:give_way:", "reconciliation:"];

fn is_elsewhere(name: &str) -> bool {
    ELSEWHERE.iter().any(|begin| name.starts_with(begin))
}

/// The points of a test: those of this stage, with one of these effects where any is named.
fn points(stage: &str, effects: &[&str]) -> Vec<&'static str> {
    let names = POINTS.iter().copied().map(Point::name);
    let wanted = names.filter(|name| {
        let mut parts = name.split(':');
        parts.next() == Some(stage) && (effects.is_empty() || effects.contains(&parts.next().unwrap()))
    });
    wanted.filter(|name| !is_elsewhere(name)).collect()
}

const UNTRANSACTED: [(&str, &str); 1] = [("kafka.transactions", "false")];

/// Returns what else a run needs to come by a point: settings, and a fault before it.
fn way_to(point: &str) -> (&'static [(&'static str, &'static str)], &'static str) {
    match point.rsplit_once(':').unwrap().0 {
        "enriched_publisher:flush" | "raw_consumer:commit" => (&UNTRANSACTED, ""),
        "enriched_publisher:abort" => (&[], ",enriched_publisher:produce:before=error:not_authorized"),
        "poller:fail" => (&[], ",poller:fetch:before=error:rejected"),
        "poller:cancel" | "control:cancel" => (&[], ",poller:fetch:before=error:throttled;count=1000000"),
        _ => (&[], ""),
    }
}

/// Asks for the one poll of a run; none while nobody answers.
async fn asked(service: &Service) -> Option<String> {
    let url = format!("http://{}/v1/polls", service.settings.http.listen);
    let request = http_client().post(url).header("Idempotency-Key", "matrix");
    let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
    let poll: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
    Some(poll["id"].as_str()?.to_owned())
}

async fn cancel(service: &Service, id: &str) {
    let url = format!("http://{}/v1/polls/{id}", service.settings.http.listen);
    // The process may die of it.
    let _ = http_client().delete(url).send().await;
}

/// Asks a faulty process for the poll until it has died.
async fn breaks(service: &mut Service, point: &str) {
    let mut id = None;
    let code = eventually(&format!("the process dies at {point}"), async || {
        if let Some(code) = service.has_ended() {
            return Some(code);
        }
        match &id {
            None => id = asked(service).await,
            Some(id) => {
                let poll = service.get(&format!("/v1/polls/{id}")).await?;
                // One that is still queued would be cancelled by nobody but control.
                if point.contains(":cancel:") && poll["state"] == "running" {
                    cancel(service, id).await;
                }
                if point.contains(":release_instance:") && poll["state"] == "succeeded" {
                    service.tell_to_stop();
                }
            }
        }
        None
    })
    .await;
    let log = service.log();
    assert_eq!(code, -1, "{point}: {log}");
    assert!(log.contains(&format!("{point}=abort")) && log.contains("fault point reached"), "{log}");
}

/// Waits for the end of the poll; one that failed or was cancelled goes on when it is asked for again.
async fn succeeds(service: &Service) {
    for _ in 0..3 {
        let id = service.wait_for("the poll is asked for", async || asked(service).await).await;
        if service.finished(&id).await["state"] == "succeeded" {
            whole(service, &id).await;
            return;
        }
    }
    panic!("the poll does not succeed\n{}", service.log());
}

async fn crash_at_each(points: Vec<&'static str>) {
    assert!(!points.is_empty());
    for point in points {
        let (settings, before) = way_to(point);
        let mut service = service(settings).await;
        spawn_faulty(&mut service, ALL_ROLES, &format!("{point}=abort{before}"), &[]);
        breaks(&mut service, point).await;
        service.start().await;
        succeeds(&service).await;
        assert_eq!(service.terminate().await, 0, "{point}: {}", service.log());
    }
}

const BEGINS: [&str; 4] = ["acquire", "renew", "read_cursor", "fetch"];
const ENDS: [&str; 5] = ["record_page", "begin_storing", "finish", "fail", "cancel"];
const COPIES: [&str; 4] = ["write", "copy", "copy_end", "advance"];
const STORES: [&str; 4] = ["upsert", "rollups", "dead_letters", "commit"];
const NAMES: [&str; 5] = ["migrate", "claim_instance", "renew_instance", "release_instance", "ping"];
const LOGS: [&str; 6] = ["cluster_id", "topic_ids", "create_topics", "log_ends", "committed", "take_up"];

#[tokio::test]
async fn crash_at_each_point_of_control_loses_no_poll() {
    crash_at_each(points("control", &[])).await;
}

#[tokio::test]
async fn crash_at_each_step_to_a_page_reads_it_again() {
    crash_at_each(points("poller", &BEGINS)).await;
}

#[tokio::test]
async fn crash_at_each_record_of_a_poll_ends_in_the_same_tables() {
    crash_at_each(points("poller", &ENDS)).await;
}

#[tokio::test]
async fn crash_at_each_point_of_the_raw_topic_ends_in_the_same_tables() {
    crash_at_each(points("raw_publisher", &[])).await;
    crash_at_each(points("raw_consumer", &[])).await;
}

#[tokio::test]
async fn crash_at_each_point_of_the_consumers_reads_on_from_the_position() {
    crash_at_each(points("consumer", &[])).await;
    crash_at_each(points("enriched_consumer", &[])).await;
}

#[tokio::test]
async fn crash_at_each_call_of_a_kafka_transaction_repeats_it_unseen() {
    crash_at_each(points("enriched_publisher", &[])).await;
}

#[tokio::test]
async fn crash_at_each_step_to_a_write_repeats_it_unseen() {
    crash_at_each(points("writer", &COPIES)).await;
}

#[tokio::test]
async fn crash_at_each_step_of_a_write_repeats_it_unseen() {
    crash_at_each(points("writer", &STORES)).await;
}

#[tokio::test]
async fn crash_while_a_process_takes_its_name_and_its_tables_is_taken_up() {
    crash_at_each(points("environment", &NAMES)).await;
}

#[tokio::test]
async fn crash_while_a_process_looks_at_kafka_is_taken_up() {
    crash_at_each(points("environment", &LOGS)).await;
}

/// Runs a command that is to break, and then the same without a fault.
async fn breaks_and_is_repeated(service: &Service, arguments: &[&str], point: &str) {
    let mut faulty = service.command(arguments);
    let fault = format!("{point}=abort");
    faulty.envs([("NYC311_FAULTS__ENABLED", "true"), ("NYC311_FAULTS__AT_START", fault.as_str())]);
    let broken = faulty.output().unwrap();
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(broken.status.code().is_none() && said.contains("fault point reached"), "{point}: {said}");
    let again = service.command(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(0), "{point}: {said}");
}

async fn all_read(service: &Service) {
    service
        .wait_for("everything is read", async || {
            let status = service.get("/v1/pipeline").await?;
            let partitions = status["partitions"].as_array()?;
            partitions.iter().all(|partition| partition["lag"] == 0).then_some(())
        })
        .await;
}

#[tokio::test]
async fn crash_at_each_step_of_a_rewind_lets_it_be_given_again() {
    let mut service = service(&[]).await;
    service.start().await;
    service.poll().await;
    for point in points("rewind", &["move"]) {
        breaks_and_is_repeated(&service, &["rewind", "--topic", "enriched", "--to", "start"], point).await;
        all_read(&service).await;
        assert_tables(&service).await;
    }
    assert_eq!(service.terminate().await, 0);
    for point in points("rewind", &["commit"]) {
        breaks_and_is_repeated(&service, &["rewind", "--topic", "raw", "--to", "start"], point).await;
    }
    service.start().await;
    all_read(&service).await;
    assert_same_tables(&service).await;
}

#[tokio::test]
async fn crash_at_each_step_of_a_replay_sends_the_letter_again_and_stores_its_row() {
    let mut service = service(&[]).await;
    service.start().await;
    service.poll().await;
    let rows = http_client().get(format!("{}?$select=:*,*&$limit=1", source_url())).send().await.unwrap();
    let rows = rows.text().await.unwrap();
    let row = rows.trim().trim_start_matches('[').trim_end_matches(']').trim();
    service.database.keep_dead_letter(&row.replace('\'', "''"), "enricher", 0).await;
    let letters = async |state: &str| {
        let sql = format!("select count(*) from nyc311.dead_letter where state = '{state}'");
        service.database.number(&sql).await
    };
    let reopen = "update nyc311.dead_letter set state = 'open'";
    for point in points("replay", &[]) {
        service.database.execute(reopen).await;
        breaks_and_is_repeated(&service, &["replay"], point).await;
        service
            .wait_for("the letter is resolved", async || (letters("resolved").await == 1).then_some(()))
            .await;
        all_read(&service).await;
    }
    service.database.execute("delete from nyc311.dead_letter").await;
    assert_tables(&service).await;
}

#[test]
fn each_point_has_its_test() {
    let groups: [(&str, &[&str]); 15] = [
        ("control", &[]),
        ("poller", &BEGINS),
        ("poller", &ENDS),
        ("raw_publisher", &[]),
        ("raw_consumer", &[]),
        ("consumer", &[]),
        ("enriched_consumer", &[]),
        ("enriched_publisher", &[]),
        ("writer", &COPIES),
        ("writer", &STORES),
        ("environment", &NAMES),
        ("environment", &LOGS),
        ("rewind", &["move"]),
        ("rewind", &["commit"]),
        ("replay", &[]),
    ];
    let tested: BTreeSet<&str> =
        groups.into_iter().flat_map(|(stage, effects)| points(stage, effects)).collect();
    let all = POINTS.iter().map(|point| point.name()).filter(|name| !is_elsewhere(name));
    assert_eq!(tested, all.collect());
}
