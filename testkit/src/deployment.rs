//! Several processes of one deployment, which share the partitions of one service.

use std::time::Duration;

use nyc311_simulator::Simulator;

use crate::process::Process;
use crate::program::Program;
use crate::service::{Service, assert_counts_add_up};
use crate::source_rows::city;

/// The roles of a process that runs everything.
pub const ALL_ROLES: &str = "control,enricher,writer";

/// The names of the processes.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// A city whose pages are slow, so that rows flow all the time while a test breaks something; at its end it
/// is read as fast as ever.
pub fn slow_city(rows: u64, page: Duration) -> Simulator {
    let simulator = city(rows);
    simulator.inject(format!("slow,delay={}ms", page.as_millis()).parse().unwrap());
    simulator
}

/// Prepares the service that the processes share: small batches, and short leases.
pub async fn prepared(program: Program, simulator: &Simulator) -> Service {
    let overrides = [
        ("source.page_rows", "200"),
        ("write.max_rows", "500"),
        ("kafka.request_timeout", "3s"),
        ("database.connect_timeout", "1s"),
        ("poll.lease", "5s"),
    ];
    program.service(&simulator.resource_url(), &overrides).await
}

/// Returns how many partitions a process has opened so far.
pub fn opened(process: &Process) -> usize {
    process.log().matches("partition opened").count()
}

/// Starts three processes that run everything, and waits until each has partitions.
pub async fn three(service: &mut Service, of_first: &[(&str, &str)]) -> [Process; 3] {
    let more = |name| if name == NAMES[0] { of_first } else { &[] };
    let processes = NAMES.map(|name| service.process(name, ALL_ROLES, more(name)));
    for process in &processes {
        process.ready().await;
        process.wait_for("it has partitions", async || (opened(process) > 0).then_some(())).await;
    }
    service.ask(&processes[0]);
    processes
}

/// Returns how many rows are stored.
pub async fn stored(service: &Service) -> i64 {
    service.database.number("select count(*) from nyc311.service_request").await
}

/// Waits until so many rows more are stored.
pub async fn flows(service: &Service, rows: i64) {
    let before = stored(service).await;
    service.wait_for("rows flow", async || (stored(service).await >= before + rows).then_some(())).await;
}

/// Waits for the end of the poll, and holds everything against a run of the same source that nothing
/// disturbs.
pub async fn assert_whole(program: Program, service: &Service, simulator: &Simulator, id: &str) {
    simulator.clear_faults();
    let poll = service.finished(id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_counts_add_up(&poll);
    service.assert_recounts().await;
    let mut undisturbed = program.service(&simulator.resource_url(), &[]).await;
    undisturbed.start().await;
    undisturbed.poll().await;
    assert_eq!(service.tables().await, undisturbed.tables().await);
}
