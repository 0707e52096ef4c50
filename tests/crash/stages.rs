//! A stage that fails is built again, and its neighbours live on.

use serde_json::json;

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
