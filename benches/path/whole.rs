//! The whole path: from the trigger to success, the source and all stages at once.

use nyc311_testkit::{Program, Service, assert_counts_add_up};
use serde_json::{Value, json};

use crate::polling::{arrived, count, seconds, time, until};
use crate::report::{Leg, Report};
use crate::source::Source;
use crate::usage::{Meter, peak_mib};

/// Polls everything that the source shows, and returns the service with its tables and topics.
pub async fn measure(
    program: Program,
    meter: &Meter,
    source: &Source,
    rows: &str,
    report: &mut Report,
) -> Service {
    let mut service = program.service(&source.url, &[]).await;
    service.start().await;
    let processes = [service.process_id()];
    let before = meter.read(&processes, Some(source.process_id()));
    let poll = poll_all(&service).await;
    let used = meter.read(&processes, Some(source.process_id())).since(before);
    assert_counts_add_up(&poll);
    let triggered_at = time(&poll, "created_at");
    report.legs.push(Leg {
        name: format!("trigger to success, {rows}"),
        rows: arrived(&poll),
        seconds: seconds(triggered_at, time(&poll, "finished_at")),
        cpu: Some(used),
        peak_mib: Some(peak_mib(processes[0])),
    });
    report.legs.push(Leg {
        name: format!("trigger to raw topic, {rows}"),
        rows: count(&poll, "published"),
        seconds: seconds(triggered_at, time(&poll, "storing_at")),
        cpu: None,
        peak_mib: None,
    });
    // What memory still owes the disks is no matter of what is measured next.
    service.database.execute("checkpoint").await;
    service
}

/// Has the servers do once what is measured afterwards: a broker that has just started interprets its code,
/// at twice the cost.
pub async fn warm_up(program: Program, rows: u64) {
    let source = Source::city(program, rows).await;
    let mut service = program.service(&source.url, &[]).await;
    service.start().await;
    poll_all(&service).await;
}

async fn poll_all(service: &Service) -> Value {
    let id = service.submit(json!({})).await;
    until(service, &id, "succeeded").await
}
