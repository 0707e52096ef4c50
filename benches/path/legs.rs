//! The leg from the raw topic to the tables: all rows are in Kafka before the process that takes them on
//! begins.

use jiff::Timestamp;
use nyc311_testkit::{Program, Service};
use serde_json::json;

use crate::polling::{arrived, count, seconds, time, until, until_any_arrived};
use crate::report::{Leg, Report};
use crate::source::Source;
use crate::usage::{Meter, peak_mib};

/// The last change of a row comes 1,000 nights after its first day.
const ALL_CHANGES: &str = "1100days";

/// Measures it for rows that are new, then for those that change later.
pub async fn measure(program: Program, meter: &Meter, source: &Source, report: &mut Report) {
    let mut service = program.service(&source.url, &[]).await;
    leg(&mut service, meter, source, "new rows", report).await;
    source.move_clock(json!({ "advance": ALL_CHANGES })).await;
    leg(&mut service, meter, source, "updates", report).await;
}

async fn leg(service: &mut Service, meter: &Meter, source: &Source, rows: &str, report: &mut Report) {
    service.spawn(&["run", "--roles", "control"], &[]);
    service.ready().await;
    let control = service.process_id();
    let before = meter.read(&[control], Some(source.process_id()));
    let id = service.submit(json!({})).await;
    let poll = until(service, &id, "storing").await;
    let used = meter.read(&[control], Some(source.process_id())).since(before);
    let published = count(&poll, "published");
    report.legs.push(Leg {
        name: format!("source to raw topic, {rows}"),
        rows: published,
        seconds: seconds(time(&poll, "created_at"), time(&poll, "storing_at")),
        cpu: Some(used),
        peak_mib: Some(peak_mib(control)),
    });

    // Measured from its start: what it enriches before it says that it is ready would go uncounted otherwise.
    service.listen_elsewhere();
    let name = format!("{}-worker", service.settings.instance.id);
    let before = meter.read(&[control], None);
    let began = Timestamp::now();
    service.spawn(&["run", "--roles", "enricher,writer"], &[("NYC311_INSTANCE__ID", &name)]);
    service.ready().await;
    let ready_after = seconds(began, Timestamp::now());
    let processes = [control, service.process_id()];
    let first = until_any_arrived(service, &id).await;
    let first_at = Timestamp::now();
    let poll = until(service, &id, "succeeded").await;
    let used = meter.read(&processes, None).since(before);
    assert_eq!(arrived(&poll), published, "{poll:#}");
    eprintln!("path: {rows}: the process was ready {ready_after:.1} s after its start, which is counted");
    report.legs.push(Leg {
        name: format!("raw topic to tables, {rows}"),
        rows: published,
        seconds: seconds(began, time(&poll, "finished_at")),
        cpu: Some(used),
        peak_mib: Some(peak_mib(processes[1])),
    });
    // What a start costs is not paid again and again.
    report.legs.push(Leg {
        name: format!("of it, behind the first commit, {rows}"),
        rows: published - arrived(&first),
        seconds: seconds(first_at, time(&poll, "finished_at")),
        cpu: None,
        peak_mib: None,
    });
    for _ in processes {
        assert_eq!(service.terminate().await, 0, "{}", service.log());
    }
    service.database.execute("checkpoint").await;
}
