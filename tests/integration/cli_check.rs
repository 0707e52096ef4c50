//! `nyc311 check` and `nyc311 migrate`: each fault with its remedy, before a row is written.

use nyc311_simulator::{SimulatorOptions, serve};
use nyc311_testkit::topics::bootstrap_servers;
use nyc311_testkit::{TestDatabase, Topics, eventually};

use crate::PROGRAM;

#[actix_rt::test]
async fn migrate_does_what_is_missing_once() {
    let database = TestDatabase::create_empty().await;
    let binary = PROGRAM.on(&database);
    let first = binary.run(&["migrate", "--output", "json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(first.json()["applied"][0], "0001_create_polls");
    let again = binary.run(&["migrate"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);

    database.execute("insert into nyc311.migration values (9999, 'later', '', now(), 'later')").await;
    let newer = binary.run(&["migrate"]).await;
    assert_eq!(newer.code, 78, "{newer:?}");
    assert!(newer.stderr.contains("9999"), "{}", newer.stderr);

    let away =
        PROGRAM.bare().with("NYC311_DATABASE__URL", "postgresql://x@127.0.0.1:1/x").run(&["migrate"]).await;
    assert_eq!(away.code, 69, "{away:?}");
    // The server of the tests asks for a password.
    let mut without = reqwest::Url::parse(database.settings.url.expose()).unwrap();
    without.set_password(None).unwrap();
    for command in ["migrate", "drift", "replay"] {
        let refused = PROGRAM.bare().with("NYC311_DATABASE__URL", without.as_str()).run(&[command]).await;
        assert_eq!(refused.code, 78, "{refused:?}");
        assert!(
            refused.stderr.contains("password missing") && refused.stderr.contains("mend database.url"),
            "{}",
            refused.stderr
        );
    }
    let nowhere = format!("{}_nowhere", database.settings.url.expose());
    let missing = PROGRAM.bare().with("NYC311_DATABASE__URL", &nowhere).run(&["migrate"]).await;
    assert_eq!(missing.code, 78, "{missing:?}");
}

#[actix_rt::test]
async fn check_names_every_fault_with_its_remedy() {
    let binary = PROGRAM
        .bare()
        .with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json")
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .with("NYC311_KAFKA__REQUEST_TIMEOUT", "2s")
        .with("NYC311_DATABASE__URL", "postgresql://x:hunter2@127.0.0.1:1/x");
    let table = binary.run(&["check"]).await;
    assert_eq!(table.code, 1, "{table:?}");
    for expected in ["source.url", "kafka.bootstrap_servers", "database.url"] {
        assert!(table.stdout.contains(expected), "{expected}: {}", table.stdout);
    }
    assert!(!table.stdout.contains("hunter2"));
    let checks = binary.run(&["check", "--output", "json"]).await.json();
    assert_eq!(checks["ok"], false);
    assert!(
        checks["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["ok"] == false && check["remedy"].is_string())
    );
}

#[actix_rt::test]
async fn check_finds_nothing_where_all_is_well() {
    let database = TestDatabase::create().await;
    let simulator = serve(&SimulatorOptions { rows: 10, ..SimulatorOptions::default() }).unwrap();
    let binary = PROGRAM
        .bare()
        .with("NYC311_SOURCE__URL", &simulator.resource_url())
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &bootstrap_servers())
        .with("NYC311_DATABASE__URL", database.settings.url.expose());
    let ended = binary.run(&["check"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[actix_rt::test]
async fn check_finds_the_topics_that_the_pipeline_would_refuse() {
    use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
    let (database, topics) = (TestDatabase::create().await, Topics::create(&[]).await);
    let binary =
        || PROGRAM.wired(&topics, &database).with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json");
    assert_eq!(binary().finding("kafka").await["ok"], true);
    for (name, value, expected) in [
        ("NYC311_KAFKA__RAW_MAX_RECORD_BYTES", "2MiB", "max.message.bytes"),
        ("NYC311_KAFKA__PARTITIONS_PER_BOROUGH", "2", "has 5 partitions"),
    ] {
        let fault = binary().with(name, value).finding("kafka").await;
        assert!(fault["ok"] == false && fault["remedy"].is_string(), "{fault}");
        assert!(fault["detail"].as_str().unwrap().contains(expected), "{fault}");
    }
    let raw = AlterConfig::new(ResourceSpecifier::Topic(&topics.settings.kafka.raw_topic))
        .set("message.timestamp.type", "CreateTime");
    topics.admin.client().alter_configs(&[raw], &AdminOptions::new()).await.unwrap();
    let fault = eventually("the altered topic is found", async || {
        Some(binary().finding("kafka").await).filter(|finding| finding["ok"] == false)
    })
    .await;
    assert!(fault["detail"].as_str().unwrap().contains("CreateTime"), "{fault}");
    topics.delete().await;
}

#[actix_rt::test]
async fn check_finds_the_databases_that_the_pipeline_would_refuse() {
    let database = TestDatabase::create().await;
    let binary = PROGRAM
        .bare()
        .with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json")
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &bootstrap_servers())
        .with("NYC311_DATABASE__URL", database.settings.url.expose());
    assert_eq!(binary.finding("database").await["ok"], true);
    for (change, back, expected) in [
        (
            "insert into nyc311.migration values (9999, 'later', '', now(), 'later')",
            "delete from nyc311.migration where version = 9999",
            "9999",
        ),
        ("update nyc311.migration set checksum = '' where version = 1", "", "0001_create_polls"),
    ] {
        database.execute(change).await;
        let fault = binary.finding("database").await;
        assert!(fault["ok"] == false && fault["detail"].as_str().unwrap().contains(expected), "{fault}");
        assert!(fault["remedy"].as_str().unwrap().contains("database.url"), "{fault}");
        assert_eq!(binary.run(&["migrate"]).await.code, 78);
        database.execute(back).await;
    }
    let older = TestDatabase::create().await;
    older.execute("delete from nyc311.migration where version > 3").await;
    let found = binary.with("NYC311_DATABASE__URL", older.settings.url.expose()).finding("database").await;
    assert!(
        found["ok"] == true && found["detail"].as_str().unwrap().contains("from version 3 to"),
        "{found}"
    );
}
