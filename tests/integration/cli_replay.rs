//! `nyc311 replay` and `nyc311 rewind`: what is read again, and from where.

use nyc311_testkit::logs::claim;
use nyc311_testkit::topics::bootstrap_servers;
use nyc311_testkit::{TestDatabase, Topics};
use serde_json::json;

use crate::PROGRAM;

#[actix_rt::test]
async fn replay_sends_letters_again_and_marks_them() {
    let (database, topics) = (TestDatabase::create().await, Topics::create(&[]).await);
    let binary = PROGRAM.wired(&topics, &database);
    let none = binary.run(&["replay"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (0, "no dead letters to replay\n"));

    database.keep_dead_letter(r#"{"unique_key":"1","borough":"QUEENS"}"#, "enricher", 2).await;
    database.keep_dead_letter(r#"{"unique_key":2,"borough":"BRONX"}"#, "writer", 4).await;
    let listed = binary.run(&["replay", "--dry-run", "--output", "json"]).await.json();
    assert_eq!(listed["dead_letters"].as_array().unwrap().len(), 2);
    assert_eq!(database.number("select count(*) from nyc311.dead_letter where state = 'open'").await, 2);

    let ended = binary.run(&["replay", "--reason", "bad_created_date", "--output", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let replayed = "select count(*) from nyc311.dead_letter where state = 'replayed' and replay_count = 1 and replayed_at is not null";
    assert_eq!(database.number(replayed).await, 2);
    let kafka = &topics.settings.kafka;
    let high =
        |ends: Vec<nyc311::kafka::admin::LogEnds>| ends.iter().map(|ends| ends.high).collect::<Vec<_>>();
    assert_eq!(high(topics.admin.log_ends(&kafka.raw_topic, 0..5).await.unwrap()), [0, 0, 1, 0, 0]);
    // What the database refused is enriched already, and stays in its partition.
    assert_eq!(high(topics.admin.log_ends(&kafka.enriched_topic, 0..5).await.unwrap()), [0, 0, 0, 0, 1]);

    assert_eq!(binary.run(&["replay"]).await.stdout, "no dead letters to replay\n");
    let again = binary
        .run(&["replay", "--again", "--stage", "enricher", "--limit", "5", "--output", "json"])
        .await
        .json();
    assert_eq!(again["dead_letters"].as_array().unwrap().len(), 1);
    topics.delete().await;
}

#[actix_rt::test]
async fn letters_stay_open_when_the_broker_is_away() {
    let database = TestDatabase::create().await;
    database.keep_dead_letter(r#"{"unique_key":"1"}"#, "enricher", 2).await;
    let binary = PROGRAM
        .on(&database)
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .with("NYC311_KAFKA__REQUEST_TIMEOUT", "1s");
    let ended = binary.run(&["replay"]).await;
    assert_eq!(ended.code, 69, "{ended:?}");
    assert_eq!(
        database
            .number("select count(*) from nyc311.dead_letter where state = 'open' and replay_count = 0")
            .await,
        1
    );
}

#[actix_rt::test]
async fn rewind_of_the_enriched_topic_begins_a_new_epoch() {
    let (database, topics) = (TestDatabase::create().await, Topics::create(&[]).await);
    let binary = PROGRAM.wired(&topics, &database);
    database.keep_dead_letter(r#"{"unique_key":"1","borough":"BRONX"}"#, "writer", 3).await;
    assert_eq!(binary.run(&["replay"]).await.code, 0);
    let (cluster, topic) = (topics.admin.cluster_id().await.unwrap(), &topics.settings.kafka.enriched_topic);
    let claimed = claim(&database, (&cluster, topic, 3), "writer", 1).await;

    let one = ["rewind", "--topic", "enriched", "--to", "1", "--partition", "3", "--output", "json"];
    assert_eq!(binary.run(&one).await.json()["positions"], json!([{"partition": 3, "next_offset": 1}]));
    let ended = binary.run(&["rewind", "--topic", "enriched", "--to", "start", "--output", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["positions"][3], json!({"partition": 3, "next_offset": 0}));
    let stored = database.positions(&cluster, &[topic]).await.unwrap();
    assert_eq!(stored.len(), 5);
    assert_eq!((stored[3].next_offset, stored[3].epoch), (0, claimed.epoch + 2));

    // The record at 0 has not been written again yet: what lies before the target is not passed over.
    let forward = binary.run(&one).await;
    assert_eq!(forward.json()["positions"], json!([{"partition": 3, "next_offset": 0}]));
    assert!(forward.stderr.contains("partition 3 stays at 0"), "{}", forward.stderr);
    let outside = binary.run(&["rewind", "--topic", "enriched", "--to", "7"]).await;
    assert_eq!(outside.code, 1, "{outside:?}");
    assert!(outside.stderr.contains("0 to 0"), "{}", outside.stderr);
    let nowhere = binary.run(&["rewind", "--topic", "enriched", "--to", "0", "--partition", "9"]).await;
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    let by_time =
        binary.run(&["rewind", "--topic", "enriched", "--to", "2020-01-01", "--output", "json"]).await;
    assert_eq!(by_time.json()["positions"][3]["next_offset"], 0);
    topics.delete().await;
}

#[actix_rt::test]
async fn rewind_of_a_topic_that_is_not_there_or_not_ours_says_so() {
    let binary = PROGRAM
        .bare()
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &bootstrap_servers())
        .with("NYC311_KAFKA__RAW_TOPIC", "nowhere.raw")
        .with("NYC311_KAFKA__ENRICHED_TOPIC", "nowhere.enriched");
    for topic in ["raw", "enriched"] {
        let ended = binary.run(&["rewind", "--topic", topic, "--to", "start"]).await;
        assert_eq!(ended.code, 78, "{ended:?}");
        for expected in
            [&format!("nowhere.{topic}"), &format!("kafka.{topic}_topic"), "`nyc311 run` creates it"]
        {
            assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        }
    }
    let topics = Topics::create(&[]).await;
    let ended = binary
        .with("NYC311_KAFKA__RAW_TOPIC", &topics.settings.kafka.raw_topic)
        .with("NYC311_KAFKA__PARTITIONS_PER_BOROUGH", "2")
        .run(&["rewind", "--topic", "raw", "--to", "start"])
        .await;
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.stderr.contains("set kafka.partitions_per_borough to 1"), "{}", ended.stderr);
    topics.delete().await;
}

#[actix_rt::test]
async fn negative_offset_is_called_so() {
    let ended = PROGRAM.bare().run(&["rewind", "--topic", "raw", "--to", "-1"]).await;
    assert!(ended.stderr.contains("an offset is not negative"), "{}", ended.stderr);
}
