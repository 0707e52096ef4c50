//! What Kafka says of its logs and committed offsets, by which a loss is known.

use std::time::Duration;

use nyc311::kafka::{Admin, KafkaError, Mark, OffsetNote, topics};
use nyc311_testkit::source_rows::city;
use nyc311_testkit::topics::{delete, delete_records, names, own_names};
use nyc311_testkit::{Proxy, Topics, eventually};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

use crate::PROGRAM;

#[tokio::test]
async fn topics_have_ids_that_tell_a_new_one_from_an_old_one_of_the_same_name() {
    let topics = Topics::create(&[]).await;
    let kafka = &topics.settings.kafka;
    let names = [kafka.raw_topic.as_str(), "no.such.topic", &kafka.enriched_topic];
    let described = topics.admin.describe(&names).await.unwrap();
    assert_eq!(described.len(), 2);
    let raw = &described[&kafka.raw_topic];
    assert_eq!(raw.partitions, 5);
    assert_eq!(raw.id.as_ref().unwrap().len(), 22, "{raw:?}");
    assert_ne!(raw.id, described[&kafka.enriched_topic].id);
    assert_eq!(topics.admin.describe(&names).await.unwrap(), described);
    assert!(topics.admin.describe(&[]).await.unwrap().is_empty());
    let refused = topics.admin.describe(&["a\0b"]).await;
    assert!(matches!(refused, Err(KafkaError::Mismatch { .. })), "{refused:?}");

    delete(&topics.admin, &[&kafka.raw_topic]).await;
    topics::ensure(&topics.admin, kafka).await.unwrap();
    let again = topics.admin.describe(&names).await.unwrap();
    assert_ne!(again[&kafka.raw_topic].id, raw.id);
    assert_eq!(again[&kafka.enriched_topic], described[&kafka.enriched_topic]);
    topics.delete().await;
}

#[tokio::test]
async fn a_question_about_topics_without_an_answer_ends() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = silent.local_addr().unwrap().to_string();
    let settings =
        own_names(&[("kafka.bootstrap_servers", servers.as_str()), ("kafka.request_timeout", "1s")]);
    let admin = Admin::new(&settings.kafka).unwrap();
    let began = std::time::Instant::now();
    let unanswered = admin.describe(&["t"]).await;
    assert!(matches!(unanswered, Err(KafkaError::Unavailable { .. })), "{unanswered:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_question_on_a_connection_that_is_forgotten_on_the_way_is_asked_on_another() {
    let topics = Topics::create(&[]).await;
    let kafka = &topics.settings.kafka;
    let (proxy, brokers) = Proxy::in_front_of_kafka(&kafka.bootstrap_servers).await;
    // Whoever waits for an answer on the old connection waits for minutes.
    let patient = [("kafka.bootstrap_servers", brokers.as_str()), ("kafka.request_timeout", "5m")];
    let admin = Admin::new(&own_names(&patient).kafka).unwrap();
    admin.log_ends(&kafka.raw_topic, 0..5).await.unwrap();
    let sent = proxy.sent();
    let questions = async {
        proxy.forget();
        admin.topics().await.unwrap();
        proxy.forget();
        admin.log_ends(&kafka.raw_topic, 0..5).await.unwrap();
        proxy.forget();
        admin.describe(&[&kafka.raw_topic]).await.ok();
        admin.describe(&[&kafka.raw_topic]).await.unwrap();
    };
    // librdkafka's own limit for a connection that gives no answer is a minute.
    tokio::time::timeout(Duration::from_secs(45), questions).await.unwrap();
    assert!(proxy.sent() > sent);
    topics.delete().await;
}

#[tokio::test]
async fn a_log_tells_whether_it_still_holds_the_record_that_was_seen() {
    let topics = Topics::create(&[]).await;
    let (kafka, admin) = (&topics.settings.kafka, &topics.admin);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &kafka.bootstrap_servers).create().unwrap();
    for _ in 0..3 {
        producer.send(BaseRecord::<(), str>::to(&kafka.raw_topic).partition(1).payload("row")).ok().unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
    }
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &kafka.group_prefix)
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&kafka.raw_topic, 1, Offset::Beginning).unwrap();
    reader.assign(&from).unwrap();
    let mut seen = Vec::new();
    eventually("the records are read", async || {
        if let Some(message) = reader.poll(Duration::from_millis(50)) {
            use rdkafka::Message;
            let message = message.unwrap();
            let appended_at_ms = message.timestamp().to_millis().unwrap();
            seen.push(Mark { offset: message.offset(), appended_at_ms });
        }
        (seen.len() == 3).then_some(())
    })
    .await;
    let before_all = admin.offsets_at(&kafka.raw_topic, &[1], -2_208_988_800_000).await.unwrap();
    assert_eq!(before_all, [(1, 0)], "1900 is before the first record");
    let holds = async |mark| admin.holds(&kafka.raw_topic, 1, mark).await.unwrap();
    for mark in seen.iter().copied() {
        assert!(holds(mark).await, "{mark:?}");
        for other in [-60_000, -1, 1, 60_000] {
            let other = Mark { appended_at_ms: mark.appended_at_ms + other, ..mark };
            assert!(!holds(other).await, "{other:?} of {seen:?}");
        }
    }
    assert!(!holds(Mark { offset: 3, ..seen[2] }).await, "nothing was appended there yet");
    topics.delete().await;
}

#[tokio::test]
async fn a_committed_offset_is_withheld_while_a_transaction_holds_a_newer_one() {
    let topics = Topics::create(&[]).await;
    let (kafka, admin) = (&topics.settings.kafka, &topics.admin);
    let group = nyc311::kafka::groups::enricher_group(&topics.settings.kafka);
    let note = OffsetNote { topic_id: Some("an-id".into()), last: None };
    admin.commit(&group, &kafka.raw_topic, &[(0, 7)], &note).await.unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("transactional.id", &kafka.group_prefix)
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(20)).unwrap();
    producer.begin_transaction().unwrap();
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("group.id", &group)
        .create()
        .unwrap();
    let mut newer = TopicPartitionList::new();
    newer.add_partition_offset(&kafka.raw_topic, 0, Offset::Offset(9)).unwrap();
    let metadata = member.group_metadata().unwrap();
    producer.send_offsets_to_transaction(&newer, &metadata, Duration::from_secs(20)).unwrap();
    let patience = Duration::from_secs(2);
    let asked = admin.committed(&group, &kafka.raw_topic, &[0], patience).await;
    assert!(matches!(asked, Err(KafkaError::Unavailable { .. })), "{asked:?}");
    producer.abort_transaction(Duration::from_secs(20)).unwrap();
    let committed = eventually("the offset is told", async || {
        admin.committed(&group, &kafka.raw_topic, &[0], patience).await.ok()
    })
    .await;
    let committed = committed[0].as_ref().unwrap();
    assert_eq!((committed.next_offset, &committed.note), (7, &note));
    topics.delete().await;
}

#[tokio::test]
async fn a_poll_without_rows_ends_for_a_group_that_is_new_to_a_log_that_begins_above_0() {
    let simulator = city(200);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    let admin = Admin::new(&service.settings.kafka).unwrap();
    topics::ensure(&admin, &service.settings.kafka).await.unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &service.settings.kafka.bootstrap_servers)
        .create()
        .unwrap();
    for partition in 0..5 {
        let row =
            BaseRecord::<(), str>::to(names(&service.settings.kafka)[0]).partition(partition).payload("{}");
        producer.send(row).ok().unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    delete_records(&admin, names(&service.settings.kafka)[0]).await;
    service.start().await;
    let window = json!({"since": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00Z"});
    let empty = service.submit(window).await;
    assert_eq!(service.finished(&empty).await["state"], "succeeded", "{}", service.log());
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["stored"], 200);
}

#[tokio::test]
async fn a_note_travels_with_the_offset_of_a_transaction() {
    let simulator = city(500);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    service.poll().await;
    let admin = Admin::new(&service.settings.kafka).unwrap();
    let raw = names(&service.settings.kafka)[0];
    let id = admin.describe(&[raw]).await.unwrap()[raw].id.clone();
    let group = nyc311::kafka::groups::enricher_group(&service.settings.kafka);
    let committed = admin.committed(&group, raw, &[0, 1, 2, 3, 4], Duration::from_secs(10)).await.unwrap();
    for (partition, committed) in (0..).zip(committed) {
        let Some(committed) = committed else { continue };
        assert_eq!(committed.note.topic_id, id);
        let last = committed.note.last.unwrap();
        assert!(last.offset < committed.next_offset);
        assert!(admin.holds(raw, partition, last).await.unwrap());
    }
}
