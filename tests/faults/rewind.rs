//! What is read again: positions that are set back, and `nyc311 rewind` of a topic whose group has members.

use std::time::Duration;

use nyc311::kafka::Admin;
use nyc311_testkit::source_rows::city;
use nyc311_testkit::topics::own_slot;
use nyc311_testkit::{TestDatabase, Topics, eventually};

use crate::PROGRAM;

const LEASE: Duration = Duration::from_secs(30);

#[actix_rt::test]
async fn rewind_of_the_raw_topic_is_refused_while_somebody_reads_it() {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let (database, topics) = (TestDatabase::create().await, Topics::create(&[]).await);
    let binary = PROGRAM.wired(&topics, &database);
    let kafka = &topics.settings.kafka;
    let group = format!("{}-enricher", kafka.group_prefix);
    let reader: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &group)
        .create()
        .unwrap();
    reader.subscribe(&[&kafka.raw_topic]).unwrap();
    eventually("the reader joined its group", async || {
        let _ = reader.poll(Duration::from_millis(50));
        (topics.admin.group_members(&group).await.unwrap() == 1).then_some(())
    })
    .await;
    let refused = binary.run(&["rewind", "--topic", "raw", "--to", "start"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains(&group) && refused.stderr.contains("role enricher"),
        "{}",
        refused.stderr
    );

    reader.unsubscribe();
    drop(reader);
    eventually("the reader left its group", async || {
        (topics.admin.group_members(&group).await.unwrap() == 0).then_some(())
    })
    .await;
    let ended = binary.run(&["rewind", "--topic", "raw", "--to", "start"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let committed = topics.admin.committed(&group, &kafka.raw_topic, &[0, 1, 2, 3, 4], LEASE).await.unwrap();
    let committed: Vec<_> = committed.into_iter().map(|committed| committed.unwrap().next_offset).collect();
    assert_eq!(committed, [0; 5]);

    let row = |borough: &str| nyc311::kafka::RawRow {
        value: format!(r#"{{"unique_key":"1","borough":"{borough}"}}"#).into(),
        borough: None,
        partition: 3,
    };
    let producer = nyc311::kafka::raw_producer::RawProducer::new(kafka).unwrap();
    producer.publish(&[row("BRONX"), row("BRONX")], &nyc311::kafka::HeaderList::default()).await.unwrap();
    let forward = binary.run(&["rewind", "--topic", "raw", "--to", "2", "--partition", "3"]).await;
    assert!(forward.code == 0 && forward.stderr.contains("partition 3 stays at 0"), "{forward:?}");
    let committed = topics.admin.committed(&group, &kafka.raw_topic, &[3], LEASE).await.unwrap();
    assert_eq!(committed[0].as_ref().unwrap().next_offset, 0);
    topics.delete().await;
}

#[actix_rt::test]
async fn rewind_of_the_raw_topic_waits_for_a_process_that_was_stopped_a_moment_ago() {
    use nyc311::kafka::consumer::{ConsumerThread, Event, InFlightLimit};
    let (database, topics) = (TestDatabase::create().await, Topics::create(&[]).await);
    let kafka = &topics.settings.kafka;
    let group = format!("{}-enricher", kafka.group_prefix);
    let limit = InFlightLimit {
        batch_rows: 1,
        batch_bytes: 1,
        batches_per_partition: 1,
        bytes: 1,
        linger: Duration::from_millis(1),
    };
    let slot = own_slot();
    let topic = (std::sync::Arc::from(kafka.raw_topic.as_str()), Vec::new());
    let (thread, mut events) = ConsumerThread::start(&slot, &topics.settings, &group, topic, limit).unwrap();
    while !matches!(events.recv().await.unwrap(), Event::Assigned(..)) {}
    drop(thread);
    while events.recv().await.is_some() {}
    assert_eq!(
        topics.admin.group_members(&group).await.unwrap(),
        1,
        "the member left, and nothing is waited for"
    );
    let ended = PROGRAM.wired(&topics, &database).run(&["rewind", "--topic", "raw", "--to", "start"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains(&group) && ended.stderr.contains("waiting up to 10 s"), "{}", ended.stderr);
    topics.delete().await;
}

#[tokio::test]
async fn a_rewind_changes_nothing_and_better_rules_reach_old_rows() {
    let simulator = city(3_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    let fresh = service.tables().await;
    let (store, kafka) = (service.database.another_store(), service.settings.kafka.clone());
    let admin = Admin::new(&kafka).unwrap();
    let cluster = admin.cluster_id().await.unwrap();
    let rewind = async || {
        for topic in [&kafka.enriched_topic, &kafka.dead_letter_topic] {
            for partition in 0..5 {
                store.rewind_position(&cluster, topic, partition, 0, 0).await.unwrap();
            }
        }
        service
            .wait_for("everything is read again", async || {
                let status = service.get("/v1/pipeline").await?;
                let partitions = status["partitions"].as_array()?;
                partitions.iter().all(|partition| partition["lag"] == 0).then_some(())
            })
            .await;
    };
    rewind().await;
    assert_eq!(service.tables().await, fresh);

    // As if the rows had been written under older rules, with another outcome.
    service
        .database
        .execute("update nyc311.service_request set rules_revision = 0, agency = 'OLD', borough = null")
        .await;
    service.assert_recounts().await;
    rewind().await;
    assert_eq!(service.tables().await, fresh);
    service.assert_recounts().await;
}
