//! The real binary: what each command prints where, and the code it ends with.

use std::time::Duration;

use nyc311::{store::polls::PollError, supervision::StageState};
use nyc311_simulator::{SimulatorOptions, serve};
use nyc311_testkit::{
    Ended, Endpoint, TestDatabase, Topics, eventually,
    logs::claim,
    stage,
    topics::{bootstrap_servers, own_slot},
};
use serde_json::json;

use crate::{PROGRAM, answering::answering};

const TOKEN: &str = "correct-horse-battery-staple";
const LEASE: Duration = Duration::from_secs(30);

#[actix_rt::test]
async fn wrong_settings_end_with_78_and_are_all_named() {
    let binary = PROGRAM
        .bare()
        .with("NYC311_SORCE__URL", "x")
        .with("NYC311_HTTP__LISTEN", "0.0.0.0:8311")
        .with("NYC311_DATABASE__URL", "mysql://hunter2@h/d");
    for command in [&["run"][..], &["status"], &["migrate"], &["simulate", "--rows", "1"]] {
        let ended = binary.run(command).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (78, ""), "{ended:?}");
        for expected in [
            "NYC311_SOURCE__URL",
            "http.listen = \"0.0.0.0:8311\"",
            "NYC311_HTTP__TOKEN",
            "database.url = \"***\"",
        ] {
            assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("hunter2"));
    }
    let missing = PROGRAM.bare().run(&["status", "--config", "nowhere.toml"]).await;
    assert_eq!(missing.code, 78);
    assert!(missing.stderr.contains("nowhere.toml"), "{}", missing.stderr);
}

#[actix_rt::test]
async fn usage_errors_end_with_2() {
    let binary = PROGRAM.bare();
    for wrong in [
        &["fly"][..],
        &["poll", "--since", "yesterday"],
        &["poll", "--since", "2026-01-02", "--until", "2026-01-01"],
        &["poll", "--on", "created_date"],
        &["poll", "--on", "closed_date"],
        &["poll", "--timeout", "soon"],
        &["poll", "--idempotency-key", ""],
        &["poll", "--idempotency-key", "a\nb"],
        &["poll", "--idempotency-key", "caf\u{e9}"],
        &["poll", "--idempotency-key", &"k".repeat(513)],
        &["run", "--roles", "cook"],
        &["rewind", "--topic", "raw", "--to", "end"],
        &["rewind", "--topic", "raw", "--to", "-1"],
        &["rewind", "--topic", "cooked", "--to", "start"],
        &["replay", "--sha256", "abc"],
        &["status", "not-a-poll"],
    ] {
        let ended = binary.run(wrong).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{wrong:?}: {ended:?}");
    }
}

#[actix_rt::test]
async fn printed_settings_name_their_sources_and_hide_secrets() {
    let binary = PROGRAM
        .bare()
        .with("NYC311_HTTP__TOKEN", TOKEN)
        .with("NYC311_DATABASE__URL", "postgresql://nyc:hunter2@db/nyc311");
    std::fs::write(binary.folder.path().join("nyc311.toml"), "[write]\nmax_rows = 500\n").unwrap();
    let ended = binary
        .run(&["run", "--print-config", "--source-page-rows", "77", "--kafka-replication-factor", "-1"])
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for expected in [
        "page_rows = 77  # flag --source-page-rows",
        "max_rows = 500  # file nyc311.toml",
        "token = \"***\"  # environment variable NYC311_HTTP__TOKEN",
        "url = \"postgresql://nyc:***@db/nyc311\"",
        "listen = \"127.0.0.1:8311\"  # default",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains(TOKEN) && !ended.stdout.contains("hunter2"));
}

#[actix_rt::test]
async fn properties_that_librdkafka_refuses_are_named_without_their_values() {
    let binary = PROGRAM
        .bare()
        .with("NYC311_KAFKA__PROPERTIES", r#"{"sasl.passwort":"hunter2"}"#)
        .with("NYC311_HTTP__LISTEN", "127.0.0.1:0")
        .with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json")
        .with("NYC311_DATABASE__URL", "postgresql://x@127.0.0.1:1/x");
    for (command, code) in [
        (&["run"][..], 78),
        (&["rewind", "--topic", "raw", "--to", "start"], 78),
        (&["rewind", "--topic", "enriched", "--to", "start"], 78),
        (&["check"], 1),
        (&["run", "--print-config"], 0),
    ] {
        let ended = binary.run(command).await;
        assert_eq!(ended.code, code, "{command:?}: {ended:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("sasl.passwort"), "{command:?}: {said}");
        assert!(!said.contains("hunter2"), "{command:?}: {said}");
    }
}

#[actix_rt::test]
async fn service_that_is_away_ends_with_69() {
    let binary = PROGRAM.bare().with("NYC311_CLIENT__URL", "http://127.0.0.1:1");
    for command in [&["poll"][..], &["poll", "--no-follow"], &["status"], &["health"]] {
        let ended = binary.run(command).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (69, ""), "{ended:?}");
        assert!(ended.stderr.contains("client.url"), "{}", ended.stderr);
    }
}

#[actix_rt::test]
async fn refused_token_ends_with_77_and_the_right_one_is_sent() {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start(database.another_store(), Some(TOKEN), &[]);
    for token in ["", "another-token-of-16"] {
        for command in ["poll", "status"] {
            let ended = PROGRAM.asking(&endpoint).with("NYC311_HTTP__TOKEN", token).run(&[command]).await;
            assert_eq!(ended.code, 77, "{ended:?}");
        }
    }
    let token_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token_file.path(), format!("{TOKEN}\n")).unwrap();
    let binary =
        PROGRAM.asking(&endpoint).with("NYC311_HTTP__TOKEN_FILE", token_file.path().to_str().unwrap());
    assert_eq!(binary.run(&["status"]).await.code, 0);
}

#[actix_rt::test]
async fn poll_is_followed_to_its_success() {
    let (database, endpoint) = Endpoint::with_database().await;
    let poller = async {
        let leased = database.lease().await;
        database.begin_storing(leased.poll.id, leased.token, None, &[]).await.unwrap();
        database.finish_poll(leased.poll.id, leased.token, "erm2-nwe9").await.unwrap();
        leased.poll
    };
    let binary = PROGRAM.asking(&endpoint);
    let arguments = [
        "poll",
        "--since",
        "2026-01-01",
        "--until",
        "2026-01-02T00:00:00Z",
        "--on",
        "created_date",
        "--output",
        "json",
    ];
    let (ended, poll) = tokio::join!(binary.run(&arguments), poller);
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = ended.json();
    assert_eq!(shown["id"], poll.id.to_string());
    assert_eq!((&shown["state"], &shown["trigger"]), (&json!("succeeded"), &json!("cli")));
    assert_eq!(
        shown["window"],
        json!({"on": "created_date", "since": "2026-01-01T05:00:00.000Z", "until": "2026-01-02T00:00:00.000Z"})
    );
    // Without a terminal, progress is lines.
    assert!(
        ended.stderr.contains("queued at position 1") && ended.stderr.contains("succeeded:"),
        "{}",
        ended.stderr
    );
}

#[actix_rt::test]
async fn failed_poll_ends_with_1_and_says_why() {
    let (database, endpoint) = Endpoint::with_database().await;
    let poller = async {
        let leased = database.lease().await;
        let error = PollError {
            code: "source_rejected".into(),
            stage: "poller".into(),
            detail: "no such column".into(),
            http_status: Some(400),
            retryable: false,
        };
        database.fail_poll(leased.poll.id, leased.token, &error).await.unwrap();
    };
    let binary = PROGRAM.asking(&endpoint);
    let (ended, ()) = tokio::join!(binary.run(&["poll"]), poller);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("source_rejected in poller: no such column"), "{}", ended.stdout);
}

#[actix_rt::test]
async fn timeout_ends_with_75_and_the_poll_goes_on() {
    let (database, endpoint) = Endpoint::with_database().await;
    let ended = PROGRAM.asking(&endpoint).run(&["poll", "--timeout", "700ms", "--output", "json"]).await;
    assert_eq!(ended.code, 75, "{ended:?}");
    assert_eq!(ended.json()["state"], "queued");
    assert!(ended.stderr.contains("the poll goes on"), "{}", ended.stderr);
    assert_eq!(database.number("select count(*) from nyc311.poll where state = 'queued'").await, 1);
}

#[actix_rt::test]
async fn timeout_bounds_the_submission_too() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let began = std::time::Instant::now();
    let ended = PROGRAM.bare().with("NYC311_CLIENT__URL", &url).run(&["poll", "--timeout", "500ms"]).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(ended.code, 69, "{ended:?}");
    assert!(ended.stderr.contains("--timeout passed") && ended.stderr.contains(&url), "{}", ended.stderr);
}

#[actix_rt::test]
async fn timeout_that_no_clock_can_count_is_none() {
    let (database, endpoint) = Endpoint::with_database().await;
    let poller = async {
        let leased = database.lease().await;
        database.begin_storing(leased.poll.id, leased.token, None, &[]).await.unwrap();
        database.finish_poll(leased.poll.id, leased.token, "erm2-nwe9").await.unwrap();
    };
    let binary = PROGRAM.asking(&endpoint);
    let (ended, ()) = tokio::join!(binary.run(&["poll", "--timeout", "18446744073709551615s"]), poller);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("0, and 0 again after a restart"), "{}", ended.stdout);
}

#[actix_rt::test]
async fn service_that_answers_with_an_error_is_quoted_and_not_called_away() {
    for (head, body, expected) in [
        (
            "500 Internal Server Error",
            r#"{"type": "about:blank", "detail": "the service failed; its log says why"}"#,
            "answers 500: the service failed; its log says why",
        ),
        (
            "503 Service Unavailable",
            r#"{"type": "urn:nyc311:problem:dependency-unavailable", "detail": "the database does not answer"}"#,
            "answers 503: the database does not answer",
        ),
        ("502 Bad Gateway", "upstream is down\n", "answers 502: upstream is down"),
    ] {
        let url = answering(head, body).await;
        for command in [&["poll", "--no-follow"][..], &["status"]] {
            let ended = PROGRAM.bare().with("NYC311_CLIENT__URL", &url).run(command).await;
            assert_eq!(ended.code, 69, "{ended:?}");
            assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
            assert!(!ended.stderr.contains("is the service running"), "{}", ended.stderr);
        }
    }
}

#[actix_rt::test]
async fn answer_of_another_version_is_called_one() {
    for (body, expected) in [
        (r#"{"ready": true}"#, "missing field"),
        (
            r#"{"id": "0199e3a4-6c1e-7d03-9a51-3f8e1c9d2b77", "state": "pondering"}"#,
            "unknown variant `pondering`",
        ),
        ("[]", "is the service of another version"),
        ("It works!", "not as nyc311 does; does client.url name it?"),
    ] {
        let url = answering("200 OK", body).await;
        let ended = Binary::new().with("NYC311_CLIENT__URL", &url).run(&["poll"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (69, ""), "{ended:?}");
        assert!(
            ended.stderr.contains(expected) && ended.stderr.contains(&url),
            "{expected}: {}",
            ended.stderr
        );
        assert_eq!(ended.stderr.contains("another version"), body != "It works!", "{}", ended.stderr);
    }
}

#[actix_rt::test]
async fn interrupt_while_following_ends_with_130_and_the_poll_goes_on() {
    let (database, endpoint) = Endpoint::with_database().await;
    let binary = PROGRAM.asking(&endpoint);
    let mut command = binary.command(&["poll"]);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let id = child.id().unwrap().to_string();
    let leased = database.lease().await;
    // The command says which poll it follows before it follows it; give it the time to get there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ended = Ended::from(child.wait_with_output().await.unwrap());
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{ended:?}");
    assert!(ended.stderr.contains(&leased.poll.id.to_string()), "{}", ended.stderr);
    assert!(database.poll(leased.poll.id).await.unwrap().unwrap().cancel_requested_at.is_none());
}

#[actix_rt::test]
async fn submitting_only_ends_at_once_and_keys_are_the_contracts() {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start(database.another_store(), None, &[("poll.max_queued", "1")]);
    let binary = PROGRAM.asking(&endpoint);
    let submit = ["poll", "--no-follow", "--output", "json", "--idempotency-key", "k"];
    let (first, again) = (binary.run(&submit).await, binary.run(&submit).await);
    assert_eq!((first.code, again.code), (0, 0), "{first:?} {again:?}");
    assert_eq!(first.json()["id"], again.json()["id"]);
    let conflict =
        binary.run(&["poll", "--no-follow", "--idempotency-key", "k", "--since", "2026-01-01"]).await;
    assert_eq!(conflict.code, 1, "{conflict:?}");
    assert!(conflict.stderr.contains("Idempotency-Key"), "{}", conflict.stderr);
    let full = binary.run(&["poll", "--no-follow"]).await;
    assert_eq!(full.code, 1, "{full:?}");
    assert!(
        full.stderr.contains("poll.max_queued") && full.stderr.contains("in 30 s at the earliest"),
        "{}",
        full.stderr
    );
}

#[actix_rt::test]
async fn health_says_yes_or_no_and_why() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let binary = PROGRAM.asking(&endpoint);
    let ready = binary.run(&["health"]).await;
    assert_eq!((ready.code, ready.stdout.as_str()), (0, "ready\n"));
    *endpoint.view.missing.lock() = vec!["kafka".into()];
    *endpoint.view.stages.lock() = vec![stage("writer", None, StageState::Restarting)];
    let away = binary.run(&["health"]).await;
    assert_eq!((away.code, away.stdout.as_str()), (1, "not ready: waits for kafka, writer is restarting\n"));
    assert_eq!(binary.run(&["health", "--output", "json"]).await.json()["missing"], json!(["kafka"]));
    assert_eq!(binary.run(&["health", "--live"]).await.code, 0);
}

#[actix_rt::test]
async fn status_shows_pipeline_and_polls_or_one_poll() {
    let (_database, endpoint) = Endpoint::with_database().await;
    *endpoint.view.stages.lock() = vec![stage("enricher", Some("bronx"), StageState::Running)];
    let binary = PROGRAM.asking(&endpoint);
    let id = binary.run(&["poll", "--no-follow", "--output", "json"]).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let table = binary.run(&["status"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    for expected in ["ready", "enricher", "bronx", "nyc311.raw", &id, "queued"] {
        assert!(table.stdout.contains(expected), "{expected}: {}", table.stdout);
    }
    let all = binary.run(&["status", "--output", "json"]).await.json();
    assert_eq!(all["polls"][0]["id"], id);
    assert_eq!(all["pipeline"]["stages"][0]["borough"], "bronx");
    assert_eq!(binary.run(&["status", &id, "--output", "json"]).await.json()["id"], id);
    let unknown = binary.run(&["status", "0198c0de-0000-7000-8000-000000000000"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
}

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
    let binary = PROGRAM.on(&database).with("NYC311_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1");
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
    let topic = vec![std::sync::Arc::from(kafka.raw_topic.as_str())];
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
