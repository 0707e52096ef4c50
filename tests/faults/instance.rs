//! A process that stands still under its `instance.id` while another one asks for the name.

use std::process::Command;
use std::time::Duration;

use nyc311_testkit::Proxy;
use nyc311_testkit::source_rows::city;
use serde_json::json;

use crate::PROGRAM;

#[tokio::test]
async fn a_process_that_stands_still_is_waited_for_taken_over_and_ends_when_it_wakes() {
    let simulator = city(100);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let stopped = service.process_id().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &stopped]).status().unwrap().success());
    signal("-STOP");
    service.listen_elsewhere();
    service.spawn(&["run"], &[]);
    service
        .wait_for("the name is missed", async || {
            let answer = service.get("/readyz").await?;
            (answer["missing"] == json!(["instance"])).then_some(())
        })
        .await;
    service.ready().await;
    signal("-CONT");
    assert_eq!(service.ended_first().await, 78);
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["stored"], 100);
}

#[tokio::test]
async fn a_name_whose_owner_is_gone_is_taken_over_though_the_database_takes_its_time() {
    let simulator = city(100);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.kill();
    // As after a restart of the server: that the owner's connection has ended says nothing.
    service.database.execute("update nyc311.instance set renewed_at = '2020-01-01T00:00:00Z'").await;
    let (proxy, through) = Proxy::in_front_of(service.database.settings.url.expose()).await;
    // A connection takes longer than the owner's next renewal would.
    proxy.delay(Duration::from_millis(200));
    service.spawn(&["run"], &[("NYC311_DATABASE__URL", &through)]);
    service.ready().await;
    assert!(service.log().contains("waiting whether that one still lives"), "{}", service.log());
}
