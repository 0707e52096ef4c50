//! The topics: created as the contract says, and refused where they have another shape.

use nyc311::kafka::{Admin, KafkaError, topics};
use nyc311_testkit::topics::own_names;
use nyc311_testkit::{Topics, eventually};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};

#[tokio::test]
async fn topics_are_created_as_the_contract_says_and_only_once() {
    let topics = Topics::create(&[]).await;
    let kafka = &topics.settings.kafka;
    assert!(topics::ensure(&topics.admin, kafka).await.unwrap().is_empty());
    let found = topics.admin.topics().await.unwrap();
    for name in [&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic] {
        assert_eq!(found.get(name), Some(&5));
    }
    topics.delete().await;
}

#[tokio::test]
async fn a_topic_of_another_shape_is_a_clear_error() {
    let settings = own_names(&[]);
    let admin = Admin::new(&settings.kafka).unwrap();
    let raw = settings.kafka.raw_topic.as_str();
    let wrong = [NewTopic::new(raw, 3, TopicReplication::Fixed(1))];
    admin.client().create_topics(&wrong, &AdminOptions::new()).await.unwrap();
    eventually("the topic is there", async || admin.topics().await.ok()?.contains_key(raw).then_some(()))
        .await;
    let Err(KafkaError::Mismatch { detail: text, .. }) = topics::ensure(&admin, &settings.kafka).await else {
        panic!("a topic with three partitions was accepted");
    };
    assert!(text.contains(raw) && text.contains("3 partitions") && text.contains("needs 5"), "{text}");
    admin.client().delete_topics(&[raw], &AdminOptions::new()).await.unwrap();

    let settings = own_names(&[]);
    let raw = settings.kafka.raw_topic.as_str();
    let wrong =
        [NewTopic::new(raw, 5, TopicReplication::Fixed(1)).set("message.timestamp.type", "CreateTime")];
    admin.client().create_topics(&wrong, &AdminOptions::new()).await.unwrap();
    eventually("the topic is there", async || admin.topics().await.ok()?.contains_key(raw).then_some(()))
        .await;
    let Err(KafkaError::Mismatch { detail: text, .. }) = topics::ensure(&admin, &settings.kafka).await else {
        panic!("a topic with timestamps of its producers was accepted");
    };
    assert!(text.contains("CreateTime") && text.contains("LogAppendTime"), "{text}");
    let kafka = &settings.kafka;
    let names = [raw, kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()];
    admin.client().delete_topics(&names, &AdminOptions::new()).await.unwrap();
}

#[tokio::test]
async fn more_replicas_than_brokers_are_waited_for() {
    let settings = own_names(&[("kafka.replication_factor", "3")]);
    let admin = Admin::new(&settings.kafka).unwrap();
    let Err(KafkaError::Unavailable { detail: text, .. }) = topics::ensure(&admin, &settings.kafka).await
    else {
        panic!("brokers that may be starting are not waited for");
    };
    assert!(text.contains("kafka.replication_factor = 3") && text.contains("that are up, 1:"), "{text}");
}
