//! A service that breaks where it is told to, and what the same source gives where nothing does.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use nyc311_simulator::{Simulator, SimulatorOptions, serve};
pub use nyc311_testkit::deployment::ALL_ROLES;
use nyc311_testkit::oracle::Tables;
use nyc311_testkit::{Service, assert_counts_add_up};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::PROGRAM;

/// The rows of the city, in pages of so many.
pub const ROWS: i64 = 1_200;
pub const PAGE_ROWS: i64 = 300;

/// One source for all tests: the same rows for each.
static SOURCE: LazyLock<Simulator> = LazyLock::new(|| {
    let rows = u64::try_from(ROWS).unwrap();
    serve(&SimulatorOptions { rows, ..SimulatorOptions::default() }).unwrap()
});

/// Prepares a service for the source; nothing runs yet.
pub async fn service(more: &[(&str, &str)]) -> Service {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| PAGE_ROWS.to_string());
    // Batches smaller than the source, so that a crash finds some stored and some not.
    let mut overrides = vec![("source.page_rows", page.as_str()), ("write.max_rows", "200")];
    overrides.extend_from_slice(more);
    PROGRAM.service(&SOURCE.resource_url(), &overrides).await
}

/// Returns where the source serves its rows.
pub fn source_url() -> String {
    SOURCE.resource_url()
}

/// Returns the tables after a poll of the source that nothing disturbs.
async fn undisturbed() -> &'static Tables {
    static TABLES: OnceCell<Tables> = OnceCell::const_new();
    let run = async || {
        let mut service = service(&[]).await;
        service.start().await;
        service.poll().await;
        service.tables().await
    };
    TABLES.get_or_init(run).await
}

/// Starts a process that is to break.
pub fn spawn_faulty(service: &mut Service, roles: &str, faults: &str, more: &[(&str, &str)]) {
    let mut environment = vec![("NYC311_FAULTS__ENABLED", "true"), ("NYC311_FAULTS__AT_START", faults)];
    environment.extend_from_slice(more);
    service.spawn(&["run", "--roles", roles], &environment);
}

/// Waits until the process has ended as `abort` ends one.
pub async fn died(service: &mut Service) {
    // No exit code, but a signal.
    assert_eq!(service.ended().await, -1, "{}", service.log());
    let log = service.log();
    assert!(log.contains("fault point armed") && log.contains("fault point reached"), "{log}");
}

/// Begins a poll in a process that is to abort, starts the next, and returns the poll when it is whole.
pub async fn whole_after(faults: &str) -> (Service, Value) {
    let mut service = service(&[]).await;
    spawn_faulty(&mut service, ALL_ROLES, faults, &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    died(&mut service).await;
    service.start().await;
    let poll = whole(&service, &id).await;
    (service, poll)
}

/// Does the same with one role alone, in a process beside that of the `others`: what these do at the moment
/// of the crash is not cut short with it.
pub async fn whole_beside(others: &str, role: &str, faults: &str, more: &[(&str, &str)]) -> Value {
    let mut service = service(more).await;
    service.spawn(&["run", "--roles", others], &[]);
    service.ready().await;
    let name = format!("{}-{role}", service.settings.instance.id);
    let named = named(&name);
    spawn_faulty(&mut service, role, faults, &named);
    let id = service.submit(json!({})).await;
    died(&mut service).await;
    service.spawn(&["run", "--roles", role], &named);
    whole(&service, &id).await
}

/// What a second process of a service differs in.
fn named(instance: &str) -> [(&str, &str); 2] {
    [("NYC311_INSTANCE__ID", instance), ("NYC311_HTTP__LISTEN", "127.0.0.1:0")]
}

/// Waits for the end of the poll, and holds everything that is left against a run that nothing disturbed.
pub async fn whole(service: &Service, id: &str) -> Value {
    let poll = service.finished(id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}\n{}", service.log());
    assert_counts_add_up(&poll);
    assert_tables(service).await;
    poll
}

/// Asserts that the tables say what they say after a run that nothing disturbed, and that all else that is
/// kept is as promised.
pub async fn assert_tables(service: &Service) {
    assert_same_tables(service).await;
    service.assert_promises(&SOURCE).await;
}

/// Asserts the first half of it: where the raw topic is read again on purpose, its records are derived again.
pub async fn assert_same_tables(service: &Service) {
    assert_eq!(&service.tables().await, undisturbed().await, "{}", service.log());
}

/// Returns a count of the poll.
pub fn count(poll: &Value, name: &str) -> i64 {
    poll["counts"][name].as_i64().unwrap()
}

/// Asserts that every row came once.
pub fn assert_nothing_came_twice(poll: &Value) {
    let counts = ["fetched", "stored", "republished", "duplicate"].map(|name| count(poll, name));
    assert_eq!(counts, [ROWS, ROWS, 0, 0], "{poll:#}");
}

/// Waits until the process that was started last stands at its point.
pub async fn reached(service: &Service) {
    service
        .wait_for("the point is reached", async || {
            service.log().contains("fault point reached").then_some(())
        })
        .await;
}

/// A process that stands still in the middle of its work while another one takes its place.
pub struct OldOwner {
    process_id: u32,
    log: PathBuf,
}

impl OldOwner {
    /// Runs `role` in a process of its own beside `others`, stops it at a point in the middle of a poll, and
    /// gives its partitions to another; returns when the poll is whole.
    pub async fn replaced(role: &str, partitions: usize, others: &str, fault: &str) -> (Self, Service) {
        let mut service = service(&[]).await;
        service.spawn(&["run", "--roles", others], &[]);
        service.ready().await;
        let name = service.settings.instance.id.clone();
        let (old, new) = (format!("{name}-old"), format!("{name}-new"));
        spawn_faulty(&mut service, role, fault, &named(&old));
        let opened = || service.log().matches("partition opened").count();
        service.wait_for("all partitions are open", async || (opened() == partitions).then_some(())).await;
        let stopped = Self { process_id: service.process_id(), log: service.log_path() };
        let id = service.submit(json!({})).await;
        reached(&service).await;
        stopped.signal("-STOP");
        service.spawn(&["run", "--roles", role], &named(&new));
        let poll = whole(&service, &id).await;
        assert_nothing_came_twice(&poll);
        (stopped, service)
    }

    /// Lets it go on, and waits until it has said this.
    pub async fn wakes_up_and_says(&self, service: &Service, text: &str) {
        self.signal("-CONT");
        let said = async || std::fs::read_to_string(&self.log).unwrap().contains(text).then_some(());
        service.wait_for("the old owner says what it is to say", said).await;
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process_id.to_string()]).status().unwrap();
        assert!(sent.success());
    }
}
