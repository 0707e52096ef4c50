//! Completion of a poll: questions that a crash repeats.

use std::time::Duration;

use nyc311::kafka::Admin;
use nyc311::kafka::groups::enricher_group;
use serde_json::json;

use crate::crashed::{ALL_ROLES, assert_nothing_came_twice, died, service, spawn_faulty, whole};

#[tokio::test]
async fn crash_between_the_questions_of_a_completion_repeats_them() {
    let mut service = service(&[]).await;
    // Without a writer the poll comes as far as the question for the positions in PostgreSQL.
    service.spawn(&["run", "--roles", "control,enricher"], &[]);
    service.ready().await;
    let id = service.submit(json!({})).await;
    service.storing(&id).await;
    let kafka = &service.settings.kafka;
    let (admin, group) = (Admin::new(kafka).unwrap(), enricher_group(&service.settings.kafka));
    service
        .wait_for("the enrichers have committed the ends", async || {
            let ends = admin.log_ends(&kafka.raw_topic, 0..5).await.ok()?;
            let committed = admin
                .committed(&group, &kafka.raw_topic, &[0, 1, 2, 3, 4], Duration::from_secs(2))
                .await
                .ok()?;
            let position = |at: usize| committed[at].as_ref().map_or(0, |committed| committed.next_offset);
            ends.iter().enumerate().all(|(at, ends)| position(at) >= ends.high).then_some(())
        })
        .await;
    service.kill();
    service.start().await;
    let poll = whole(&service, &id).await;
    assert_nothing_came_twice(&poll);
}

#[tokio::test]
async fn crash_at_each_end_of_a_completion_repeats_the_questions() {
    let mut service = service(&[]).await;
    let mut submitted = None;
    for point in [
        "poller:begin_storing:before",
        "poller:begin_storing:after",
        "poller:finish:before",
        "poller:finish:after",
    ] {
        spawn_faulty(&mut service, ALL_ROLES, &format!("{point}=abort"), &[]);
        if submitted.is_none() {
            service.ready().await;
            submitted = Some(service.submit(json!({})).await);
        }
        died(&mut service).await;
        assert!(service.log().contains(point), "{}", service.log());
    }
    service.start().await;
    let poll = whole(&service, &submitted.unwrap()).await;
    assert_nothing_came_twice(&poll);
}
