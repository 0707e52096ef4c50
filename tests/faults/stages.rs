//! A stage that fails is built again, and its neighbours live on.

use nyc311_testkit::assert_counts_add_up;
use nyc311_testkit::source_rows::city;
use serde_json::json;

use crate::PROGRAM;
use crate::crashed::{ALL_ROLES, service, spawn_faulty, whole};

#[tokio::test]
async fn panic_at_each_effect_is_mended_inside_the_process() {
    let faults = [
        "raw_publisher:publish:before=panic@2",
        "poller:record_page:before=panic@3",
        "enriched_publisher:commit:before=panic",
        "enriched_publisher:commit:after=panic@3",
        "writer:write:before=panic",
        "writer:commit:before=panic@3",
        "writer:commit:after=panic@4",
        "poller:finish:before=panic",
    ];
    let mut service = service(&[("supervision.backoff_max", "200ms")]).await;
    spawn_faulty(&mut service, ALL_ROLES, &faults.join(","), &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    whole(&service, &id).await;
    let log = service.log();
    let struck = log.matches("fault point reached").count();
    assert_eq!(struck, faults.len(), "{log}");
    assert_eq!(service.terminate().await, 0, "{}", service.log());
}

#[tokio::test]
async fn what_no_restart_mends_is_counted_and_ends_the_process() {
    let simulator = city(500);
    let overrides = [
        ("supervision.max_restarts", "1"),
        ("supervision.backoff_initial", "50ms"),
        ("supervision.backoff_max", "100ms"),
    ];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    service.start().await;
    service.database.execute("alter table nyc311.service_request_history rename to elsewhere").await;
    let id = service.submit(json!({})).await;
    assert_eq!(service.ended().await, 70, "{}", service.log());
    assert!(service.log().contains("too many failures"), "{}", service.log());
    service.database.execute("alter table nyc311.elsewhere rename to service_request_history").await;
    service.start().await;
    let poll = service.finished(&id).await;
    assert_eq!(
        (&poll["state"], &poll["counts"]["stored"]),
        (&json!("succeeded"), &poll["counts"]["fetched"])
    );
    assert_counts_add_up(&poll);
}
