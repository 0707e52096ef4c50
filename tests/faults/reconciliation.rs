//! A reconciliation that is broken at each of its steps, and one whose process is killed: what was found and
//! repaired in the end is the same, and nothing is withdrawn that the source has.

use nyc311::faults::POINTS;
use nyc311_simulator::Simulator;
use nyc311_testkit::source_rows::{rows_of_months, simulate_lines};
use nyc311_testkit::{Service, http_client};
use serde_json::Value;
use tempfile::TempDir;

use crate::PROGRAM;

const MONTHS: [&str; 2] = ["2026-03", "2026-04"];
/// Rows of each month: one more of either is spoilt at each point.
const EACH: u64 = 60;
const FIRST_KEY: u64 = 70_000_000;

struct World {
    service: Service,
    simulator: Simulator,
    /// How often it was spoilt.
    spoilt: u64,
    _rows: TempDir,
}

impl World {
    async fn polled() -> Self {
        let directory = TempDir::new().unwrap();
        let simulator = simulate_lines(&directory, &rows_of_months(&MONTHS, EACH));
        let settings =
            [("reconciliation.pause", "20ms"), ("reconciliation.page_keys", "25"), ("poll.lease", "1s")];
        let mut service = PROGRAM.service(&simulator.resource_url(), &settings).await;
        service.start().await;
        service.poll().await;
        Self { service, simulator, spoilt: 0, _rows: directory }
    }

    /// Deletes one row of the first month here, and has one of the second gone from the source.
    async fn spoil(&mut self) {
        let turn = self.spoilt;
        self.spoilt += 1;
        let deleted = FIRST_KEY + turn;
        let sql = format!("delete from nyc311.service_request where unique_key = {deleted}");
        self.service.database.execute(&sql).await;
        self.simulator.withdraw(&[(FIRST_KEY + 2 * EACH - 1 - turn).to_string()]);
    }

    /// Asserts that everything is here that the source has, and marked what it has not.
    async fn assert_repaired(&self) {
        let database = &self.service.database;
        let withdrawn = format!(
            "select count(*) from nyc311.service_request
             where (withdrawn_at is not null) <> (unique_key >= {})",
            FIRST_KEY + 2 * EACH - self.spoilt
        );
        assert_eq!(database.number(&withdrawn).await, 0, "rows are marked that are there, or the other way");
        assert_eq!(database.count("service_request").await, i64::try_from(2 * EACH).unwrap());
        assert_eq!(database.count("reconciliation_key").await, 0);
        self.service.assert_recounts().await;
    }

    fn url(&self) -> String {
        format!("http://{}/v1/reconciliations", self.service.settings.http.listen)
    }

    /// Asks for the reconciliation of a key; none while nobody answers.
    async fn asked(&self, key: &str) -> Option<Value> {
        let request = http_client().post(self.url()).header("Idempotency-Key", key);
        let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// Asks until it has succeeded; one that was cancelled or has failed begins again.
    async fn succeeds(&self, key: &str) -> Value {
        self.service
            .wait_for("the reconciliation succeeds", async || {
                self.asked(key).await.filter(|found| found["state"] == "succeeded")
            })
            .await
    }
}

/// What else a run needs to come by a point: a fault before it.
fn way_to(point: &str) -> &'static str {
    // It must not end before somebody cancels it.
    if point.contains(":cancel:") { ",poller:fetch:before=error:throttled;count=1000000" } else { "" }
}

#[tokio::test]
async fn crash_at_each_step_of_a_reconciliation_repeats_it_and_withdraws_nothing_that_is_there() {
    let mut world = World::polled().await;
    assert_eq!(world.service.terminate().await, 0);
    let points = POINTS.iter().map(|point| point.name()).filter(|name| name.starts_with("reconciliation:"));
    for point in points {
        world.spoil().await;
        let faults = format!("{point}=abort{}", way_to(point));
        let armed = [("NYC311_FAULTS__ENABLED", "true"), ("NYC311_FAULTS__AT_START", faults.as_str())];
        world.service.spawn(&["run"], &armed);
        let code = nyc311_testkit::eventually(&format!("the process dies at {point}"), async || {
            if let Some(code) = world.service.has_ended() {
                return Some(code);
            }
            let found = world.asked(point).await?;
            if point.contains(":cancel:") {
                let id = found["id"].as_str()?;
                // The process may die of it.
                let _ = http_client().delete(format!("{}/{id}", world.url())).send().await;
            }
            None
        })
        .await;
        let log = world.service.log();
        assert_eq!(code, -1, "{point}: {log}");
        assert!(log.contains("fault point reached"), "{point}: {log}");

        world.service.start().await;
        let found = world.succeeds(point).await;
        let withdrawn = found["withdrawn"].as_i64().unwrap();
        assert!(withdrawn <= 1, "{point}: {found:#}");
        world.assert_repaired().await;
        assert_eq!(world.service.terminate().await, 0, "{point}: {}", world.service.log());
    }
}

#[tokio::test]
async fn a_reconciliation_whose_process_is_killed_is_taken_over_by_another() {
    let mut world = World::polled().await;
    assert_eq!(world.service.terminate().await, 0);
    world.spoil().await;
    world.service.spawn(&["run", "--roles", "enricher,writer"], &[]);
    world.service.ready().await;
    // It stands still behind a page of keys, and is not heard of again.
    let faults =
        [("NYC311_FAULTS__ENABLED", "true"), ("NYC311_FAULTS__AT_START", "reconciliation:keys:after=hang@2")];
    let one = world.service.process("one", "control", &faults);
    world.service.ask(&one);
    let asked = world.service.wait_for("it is asked for", async || world.asked("k").await).await;
    let sql = "select count(*) from nyc311.reconciliation where walk_row_id is not null";
    world
        .service
        .wait_for("a page of keys is recorded", async || {
            (world.service.database.number(sql).await == 1 && one.log().contains("fault point reached"))
                .then_some(())
        })
        .await;
    one.kill();
    let two = world.service.process("two", "control", &[]);
    world.service.ask(&two);
    let found = world.succeeds("k").await;
    assert_eq!((&found["id"], &found["withdrawn"]), (&asked["id"], &serde_json::json!(1)), "{}", two.log());
    world.assert_repaired().await;
}

#[tokio::test]
async fn sigterm_ends_a_process_in_the_middle_of_a_reconciliation_which_goes_on_after_the_restart() {
    let mut world = World::polled().await;
    world.spoil().await;
    world.simulator.inject("slow,delay=60s,skip=1,count=1".parse().unwrap());
    let asked = world.service.wait_for("it is asked for", async || world.asked("k").await).await;
    world
        .service
        .wait_for("the second look waits for its answer", async || {
            world.service.log().contains("reconciliation runs").then_some(())
        })
        .await;
    assert_eq!(world.service.terminate().await, 0, "{}", world.service.log());
    world.simulator.clear_faults();
    world.service.start().await;
    let found = world.succeeds("k").await;
    assert_eq!(found["id"], asked["id"]);
    world.assert_repaired().await;
}
