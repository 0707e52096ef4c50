//! Reconciliations through the real binary: what differs is found, what can be repaired is, and what is only
//! a moment's is no difference.

use nyc311_simulator::Simulator;
use nyc311_testkit::source_rows::{row_of_month, rows_of_months, simulate_lines};
use nyc311_testkit::{Service, http_client};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PROGRAM;

const MONTHS: [&str; 3] = ["2026-02", "2026-03", "2026-04"];
const EACH: u64 = 10;
/// What `row` adds to a number.
const FIRST_KEY: u64 = 70_000_000;

struct World {
    service: Service,
    simulator: Simulator,
    _rows: TempDir,
}

/// A service that has polled a source with ten rows in each of three months.
async fn polled() -> World {
    let world = world(&rows_of_months(&MONTHS, EACH), &[]).await;
    world.service.poll().await;
    world
}

async fn world(rows: &[String], settings: &[(&str, &str)]) -> World {
    let directory = TempDir::new().unwrap();
    let simulator = simulate_lines(&directory, rows);
    let mut all = vec![("reconciliation.pause", "50ms"), ("reconciliation.page_keys", "4")];
    all.extend_from_slice(settings);
    let mut service = PROGRAM.service(&simulator.resource_url(), &all).await;
    service.start().await;
    World { service, simulator, _rows: directory }
}

fn keys(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| (FIRST_KEY + number).to_string()).collect()
}

/// Returns month, counts of both sides, action and state of each month.
fn told(reconciliation: &Value) -> Vec<(&str, i64, i64, &str, &str)> {
    let months = reconciliation["months"].as_array().unwrap().iter();
    let told = months.map(|month| {
        (
            month["month"].as_str().unwrap(),
            month["source_count"].as_i64().unwrap(),
            month["our_count"].as_i64().unwrap(),
            month["action"].as_str().unwrap(),
            month["state"].as_str().unwrap(),
        )
    });
    told.collect()
}

async fn held(service: &Service) -> i64 {
    service.database.number("select count(*) from nyc311.service_request where withdrawn_at is null").await
}

#[tokio::test]
async fn tables_that_agree_cost_the_source_one_question() {
    let World { service, simulator, _rows } = polled().await;
    let before = simulator.requests();
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(simulator.requests() - before, 1);
    let agrees = |month| (month, 10, 10, "none", "agrees");
    assert_eq!(told(&found), MONTHS.map(agrees));
    assert_eq!(
        (&found["polls"], &found["withdrawn"], &found["error"]),
        (&json!([]), &json!(0), &json!(null))
    );
    assert!(service.text("/metrics").await.contains("nyc311_reconciliation_difference{kind=\"missing\"} 0"));
}

#[tokio::test]
async fn rows_deleted_by_hand_are_found_and_polled_again() {
    let world = polled().await;
    let service = &world.service;
    service
        .database
        .execute(
            "delete from nyc311.service_request
             where created_at < '2026-03-01 00:00-05' and unique_key % 3 = 0 or unique_key = 70000025",
        )
        .await;
    let before = service.tables().await;
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(
        told(&found),
        [
            ("2026-02", 10, 10, "poll", "agrees"),
            ("2026-03", 10, 10, "none", "agrees"),
            ("2026-04", 10, 10, "poll", "agrees")
        ]
    );
    let polls = found["polls"].as_array().unwrap();
    assert_eq!(polls.len(), 2, "the months do not follow upon each other");
    for poll in polls {
        let poll = service.get(&format!("/v1/polls/{}", poll.as_str().unwrap())).await.unwrap();
        assert_eq!((&poll["trigger"], &poll["state"]), (&json!("reconciliation"), &json!("succeeded")));
        assert_eq!((&poll["window"]["on"], &poll["counts"]["fetched"]), (&json!("created_date"), &json!(10)));
    }
    assert_ne!(service.tables().await, before);
    assert_eq!(held(service).await, 30);
    service.assert_recounts().await;
}

#[tokio::test]
async fn a_month_never_polled_is_polled() {
    let world = world(&rows_of_months(&MONTHS, EACH), &[]).await;
    let service = &world.service;
    let window = json!({"on": "created_date", "since": "2026-03-01", "until": "2026-04-01"});
    service.finished(&service.submit(window).await).await;
    assert_eq!(held(service).await, 10);
    // Asked for by a day within a month, it compares the whole month and no other.
    let id = service.submit_reconciliation(json!({"since": "2026-02-10", "until": "2026-03-02"})).await;
    let found = service.reconciled(&id).await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(
        (&found["since"], &found["until"]),
        (&json!("2026-02-01T05:00:00.000Z"), &json!("2026-04-01T04:00:00.000Z"))
    );
    let expected = [("2026-02", 10, 10, "poll", "agrees"), ("2026-03", 10, 10, "none", "agrees")];
    assert_eq!(told(&found), expected);
    assert_eq!(held(service).await, 20);
}

#[tokio::test]
async fn rows_gone_from_the_source_are_withdrawn_and_come_back_when_it_has_them_again() {
    let World { service, simulator, _rows } = polled().await;
    let before = service.tables().await;
    // Some of a month, and a whole one, which the source then does not count at all.
    simulator.withdraw(&keys([3, 7].into_iter().chain(20..30)));
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(found["withdrawn"], 12, "{found:#}");
    assert_eq!(
        told(&found),
        [
            ("2026-02", 8, 8, "withdraw", "agrees"),
            ("2026-03", 10, 10, "none", "agrees"),
            ("2026-04", 0, 0, "withdraw", "agrees")
        ]
    );
    assert_eq!(service.database.count("service_request").await, 30, "nothing is deleted");
    assert_eq!(held(&service).await, 18);
    assert_eq!(service.database.number("select sum(opened) from nyc311.rollup_daily").await, 18);
    assert_eq!(service.database.count("reconciliation_key").await, 0);
    service.assert_recounts().await;

    // Once more: they are known to be gone.
    let again = service.reconcile().await;
    assert_eq!((&again["state"], &again["withdrawn"]), (&json!("succeeded"), &json!(0)), "{again:#}");

    simulator.bring_back();
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(held(&service).await, 30, "the same versions are served again");
    service.assert_recounts().await;
    assert_eq!(service.tables().await, before);
}

#[tokio::test]
async fn versions_changed_by_hand_are_mended_where_they_are_older_and_named_where_they_are_newer() {
    let world = polled().await;
    let service = &world.service;
    let newest = "select unique_key from nyc311.service_request where created_at < '2026-03-01 00:00-05'
                  order by source_updated_at desc, unique_key limit 4";
    let older = format!(
        "update nyc311.service_request set status = 'Nonsense',
             source_updated_at = source_updated_at - interval '1 day' where unique_key in ({newest})"
    );
    service.database.execute(&older).await;
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(told(&found)[0], ("2026-02", 10, 10, "poll", "agrees"));
    assert_eq!(service.database.count("service_request where status = 'Nonsense'").await, 0);

    service.database.execute(&older.replace(" - interval", " + interval")).await;
    let found = service.reconcile().await;
    assert_eq!(found["state"], "failed", "{found:#}");
    assert_eq!(told(&found)[0], ("2026-02", 10, 10, "withdraw", "differs"));
    let error = &found["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("difference_stays"), &json!(false)));
    let detail = error["detail"].as_str().unwrap();
    let expected = "2026-02: the source has 10 rows, 10 are here and 0 are dead letters; \
                    0 keys are missing, 4 have another :updated_at";
    assert_eq!(detail, expected);
    assert_eq!(found["withdrawn"], 0, "{found:#}");
    let stale = "nyc311_reconciliation_difference{kind=\"stale\"} 1";
    service
        .wait_for("the metric shows it", async || {
            service.text("/metrics").await.contains(stale).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_row_moved_to_another_month_by_hand_is_named_and_not_withdrawn() {
    let world = polled().await;
    let service = &world.service;
    service
        .database
        .execute(
            "update nyc311.service_request set created_at = created_at - interval '28 days'
             where unique_key = 70000012",
        )
        .await;
    let found = service.reconcile().await;
    assert_eq!((&found["state"], &found["withdrawn"]), (&json!("failed"), &json!(0)), "{found:#}");
    let detail = found["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("2026-02: the source has 10 rows, 11 are here"), "{detail}");
    assert!(detail.contains("2026-03: the source has 10 rows, 9 are here"), "{detail}");
    assert!(detail.contains("1 keys are missing"), "{detail}");
    assert_eq!(held(service).await, 30);
}

#[tokio::test]
async fn dead_letters_count_as_known() {
    let mut rows = rows_of_months(&["2026-03"], EACH);
    let mut unusable = row_of_month(40, "2026-03");
    unusable["unique_key"] = json!("seventy");
    rows.push(unusable.to_string());
    let world = world(&rows, &[]).await;
    let service = &world.service;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["dead_lettered"], 1, "{poll:#}");
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "{found:#}\n{}", service.log());
    assert_eq!(told(&found), [("2026-03", 11, 10, "none", "agrees")]);
    assert_eq!(found["months"][0]["dead_lettered"], 1);

    // Settled by hand, it explains nothing any more.
    service.database.execute("update nyc311.dead_letter set state = 'resolved'").await;
    service.database.execute("update nyc311.dead_letter set payload_sha256 = 'x'").await;
    let found = service.reconcile().await;
    assert_eq!(found["state"], "succeeded", "the poll has made a dead letter of it again\n{found:#}");
    assert_eq!(told(&found), [("2026-03", 11, 10, "poll", "agrees")]);
}

#[tokio::test]
async fn a_replica_that_lags_is_no_difference() {
    let World { service, simulator, _rows } = polled().await;
    // It has nothing at all yet.
    simulator.inject("lagging_replica,count=3,behind=30d".parse().unwrap());
    let before = simulator.requests();
    let found = service.reconcile().await;
    assert_eq!((&found["state"], &found["polls"]), (&json!("succeeded"), &json!([])), "{found:#}");
    assert_eq!(simulator.requests() - before, 4);
}

#[tokio::test]
async fn a_source_that_only_lags_fails_the_reconciliation_and_may_be_asked_again() {
    let World { service, simulator, _rows } =
        world(&rows_of_months(&MONTHS, EACH), &[("reconciliation.looks", "3")]).await;
    service.poll().await;
    simulator.inject("lagging_replica,behind=30d".parse().unwrap());
    let found = service.reconcile().await;
    assert_eq!(found["state"], "failed", "{found:#}");
    assert_eq!(
        (&found["error"]["code"], &found["error"]["retryable"]),
        (&json!("source_unsettled"), &json!(true))
    );
    assert_eq!((&found["months"], &found["polls"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn rows_of_the_nightly_batch_are_no_difference_until_a_poll_could_have_stored_them() {
    // The second night brings new rows to a month, and new versions to another.
    let mut rows = rows_of_months(&MONTHS, EACH);
    for key in 40..45 {
        let mut row = row_of_month(key, "2026-04");
        row[":updated_at"] = json!("2026-04-20T01:36:00.000Z");
        rows.push(row.to_string());
    }
    let World { service, simulator, _rows } = world(&rows, &[]).await;
    simulator.clock().set_ms("2026-04-10T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
    service.poll().await;
    assert_eq!(held(&service).await, 30);
    simulator.clock().set_ms("2026-04-20T01:40:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let before = simulator.requests();
    let found = service.reconcile().await;
    assert_eq!((&found["state"], &found["polls"]), (&json!("succeeded"), &json!([])), "{found:#}");
    assert_eq!(told(&found)[2], ("2026-04", 15, 10, "none", "agrees"));
    assert_eq!(simulator.requests() - before, 2, "all rows, and those that are settled");

    // What is older than the cursor is missed all the same.
    service.database.execute("delete from nyc311.service_request where unique_key = 70000021").await;
    let found = service.reconcile().await;
    assert_eq!(told(&found)[2], ("2026-04", 15, 15, "poll", "agrees"), "{found:#}");
}

#[tokio::test]
async fn a_cancelled_reconciliation_ends_its_poll_and_begins_again_under_its_key() {
    let patient = [("source.retry_max_elapsed", "5m")];
    let World { service, simulator, _rows } = world(&rows_of_months(&MONTHS, EACH), &patient).await;
    service.poll().await;
    service.database.execute("delete from nyc311.service_request where unique_key = 70000001").await;
    // Both looks pass; the poll does not get its page.
    simulator.inject("too_many_requests,skip=2,retry_after=1s".parse().unwrap());
    let url = format!("http://{}/v1/reconciliations", service.settings.http.listen);
    let submit = async || {
        let request = http_client().post(&url).header("Idempotency-Key", "nightly");
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let (status, submitted) = submit().await;
    assert_eq!(status, 202, "{submitted:#}");
    let path = format!("/v1/reconciliations/{}", submitted["id"].as_str().unwrap());
    let polling = service
        .wait_for("its poll runs", async || {
            let found = service.get(&path).await?;
            let poll = found["polls"].get(0)?.as_str()?.to_owned();
            let poll = service.get(&format!("/v1/polls/{poll}")).await?;
            (poll["state"] == "running").then_some(poll)
        })
        .await;
    let cancelled = http_client().delete(format!("{url}/{}", submitted["id"].as_str().unwrap()));
    assert_eq!(cancelled.send().await.unwrap().status(), 202);
    let ended = service.reconciled(submitted["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert_eq!(service.finished(polling["id"].as_str().unwrap()).await["state"], "cancelled");

    simulator.clear_faults();
    let (status, again) = submit().await;
    assert_eq!((status, &again["id"], &again["months"]), (202, &submitted["id"], &json!([])), "{again:#}");
    let ended = service.reconciled(again["id"].as_str().unwrap()).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}\n{}", service.log());
    let (status, known) = submit().await;
    assert_eq!((status, &known["state"]), (200, &json!("succeeded")));
    let late = http_client().delete(format!("{url}/{}", again["id"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(late.status(), 409);
}
