//! What somebody meets who uses the program for the first time: help, settings, a simulator, and things that
//! are not set up yet.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use nyc311::config::sections::definitions;
use nyc311_simulator::{SimulatorOptions, serve};
use nyc311_testkit::topics::bootstrap_servers;
use nyc311_testkit::{Ended, Endpoint, TestDatabase, Topics};
use serde_json::json;

use crate::PROGRAM;

const COMMANDS: [&str; 11] = [
    "run", "migrate", "poll", "status", "replay", "rewind", "drift", "simulate", "health", "check",
    "settings",
];

#[actix_rt::test]
async fn commands_on_a_database_that_is_not_migrated_end_with_78() {
    let topics = Topics::create(&[]).await;
    let empty = TestDatabase::create_empty().await;
    let older = TestDatabase::create().await;
    older.execute("delete from nyc311.migration where version > 3").await;
    for (database, expected) in [(&empty, "has no tables of nyc311 yet"), (&older, "is at version 3")] {
        let binary = PROGRAM.wired(&topics, database);
        for command in [
            &["drift"][..],
            &["replay"],
            &["replay", "--dry-run"],
            &["rewind", "--topic", "enriched", "--to", "start"],
        ] {
            let ended = binary.run(command).await;
            assert_eq!((ended.code, ended.stdout.as_str()), (78, ""), "{command:?}: {ended:?}");
            assert!(ended.stderr.contains(expected) && ended.stderr.contains("nyc311 migrate"), "{ended:?}");
        }
    }
    topics.delete().await;
}

#[actix_rt::test]
async fn commands_without_their_topics_end_with_78() {
    let database = TestDatabase::create().await;
    database.keep_dead_letter(r#"{"unique_key":"1"}"#, "enricher", 2).await;
    database.keep_dead_letter(r#"{"unique_key":2}"#, "writer", 2).await;
    let binary = PROGRAM
        .on(&database)
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &bootstrap_servers())
        .with("NYC311_KAFKA__RAW_TOPIC", "nowhere.raw")
        .with("NYC311_KAFKA__ENRICHED_TOPIC", "nowhere.enriched");
    for (command, topic) in [
        (&["replay", "--stage", "enricher"][..], "raw"),
        (&["replay", "--stage", "writer"], "enriched"),
        (&["rewind", "--topic", "raw", "--to", "start"], "raw"),
        (&["rewind", "--topic", "enriched", "--to", "start"], "enriched"),
    ] {
        let ended = binary.run(command).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (78, ""), "{command:?}: {ended:?}");
        for expected in
            [&format!("no topic nowhere.{topic}"), &format!("kafka.{topic}_topic"), "`nyc311 run` creates it"]
        {
            assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
        }
    }
    assert_eq!(database.number("select count(*) from nyc311.dead_letter where state = 'open'").await, 2);
}

#[actix_rt::test]
async fn wrong_arguments_are_explained_in_words_of_the_user() {
    let binary = PROGRAM.bare();
    for (arguments, expected) in [
        (
            &["poll", "--timeout", "soon"][..],
            "is not a duration; write a number and its unit, as 100ms, 30s, 1h or 7d",
        ),
        (&["poll", "--timeout", "15"], "has no unit"),
        (&["simulate", "--clock-step", "3 fortnights"], "has the unit `fortnights`"),
        (&["simulate", "--visible-after", "x"], "is not a duration"),
        (&["simulate", "--fault", "slow,delay=x"], "is not a duration"),
        (&["simulate", "--clock", "yesterday"], "is not a time of RFC 3339"),
        (&["simulate", "--rows", "many"], "is not a number from 0"),
        (&["simulate", "--seed", "-"], "is not a number from 0"),
        (&["simulate", "--rows-per-day", "0"], "is not a number from 1"),
        (&["simulate", "--clock-rate", "fast"], "is not a number from 0"),
        (&["simulate", "--listen", "here"], "is not an IP address and a port"),
        (&["status", "--limit", "501"], "is not a number from 1 to 500"),
        (&["status", "7"], "is not the id of a poll"),
        (&["drift", "--limit", "some"], "is not a number from 1"),
        (&["replay", "--limit", "0"], "is not a number from 1"),
        (&["rewind", "--topic", "raw", "--to", "start", "--partition", "x"], "is not a number from 0"),
    ] {
        let ended = binary.run(arguments).await;
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
}

#[actix_rt::test]
async fn help_of_a_command_lists_its_own_flags_and_leads_to_the_settings() {
    let binary = PROGRAM.bare();
    for command in COMMANDS {
        for help in ["-h", "--help"] {
            let Ended { code, stdout, .. } = binary.run(&[command, help]).await;
            assert_eq!(code, 0);
            for definition in definitions() {
                let flag = format!("{} ", definition.flag());
                assert!(
                    !stdout.lines().any(|line| line.trim_start().starts_with(&flag)),
                    "{command}: {stdout}"
                );
            }
            let words: Vec<&str> = stdout.split_whitespace().collect();
            assert!(
                words.join(" ").contains("`nyc311 settings` lists them") && stdout.lines().count() < 60,
                "{command}: {stdout}"
            );
        }
    }
    let whole = binary.run(&["--help"]).await.stdout;
    let whole = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        whole.contains("NYC311_HTTP__TOKEN_FILE") && whole.contains("but for the two tokens, a flag"),
        "{whole}"
    );
    let simulate = binary.run(&["simulate", "--help"]).await.stdout;
    assert!(simulate.contains("three hours after the last row"), "{simulate}");
}

#[actix_rt::test]
async fn settings_are_listed_even_where_one_is_wrong() {
    let binary = PROGRAM.bare().with("NYC311_POLL__LEASE", "15");
    let listed = binary.run(&["settings"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    for definition in definitions() {
        assert!(listed.stdout.contains(definition.meaning) && listed.stdout.contains(&definition.variable()));
        assert_eq!(listed.stdout.contains(&format!("  {}, ", definition.flag())), definition.has_flag());
    }
    let section = binary.run(&["settings", "kafka", "--output", "json"]).await.json();
    let settings = section["settings"].as_array().unwrap();
    assert!(settings.iter().all(|setting| setting["path"].as_str().unwrap().starts_with("kafka.")));
    let one = binary.run(&["settings", "http.token", "--output", "json"]).await.json();
    assert_eq!(one["settings"][0]["flag"], json!(null));
    assert_eq!(one["settings"][0]["file_variable"], "NYC311_HTTP__TOKEN_FILE");
    let unknown = binary.run(&["settings", "kafak"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("kafka, database"), "{unknown:?}");
}

#[actix_rt::test]
async fn every_setting_but_the_tokens_is_taken_as_a_flag_by_every_command() {
    let binary = PROGRAM.bare();
    let ended = binary
        .run(&["run", "--print-config", "--kafka-retention", "1d", "--poll-initial-since", "2026-01-01"])
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("retention = \"1d\"  # flag --kafka-retention"), "{}", ended.stdout);
    assert_eq!(binary.run(&["status", "--client-url", "http://127.0.0.1:1"]).await.code, 69);
    assert_eq!(binary.run(&["status", "--http-token", "0123456789abcdef"]).await.code, 2);
}

#[actix_rt::test]
async fn simulator_says_what_it_serves_and_how_to_poll_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.ndjson");
    std::fs::write(&file, "{\"unique_key\":\"1\",\"created_date\":\"2026-01-05T10:00:00.000\"}\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (&["--rows", "1000", "--seed", "7"][..], "a generated city of 1000 requests, seed 7"),
        (&["--file", file], file),
    ] {
        let binary = PROGRAM.bare();
        let mut command = binary
            .command(
                &[&["simulate", "--listen", "127.0.0.1:0", "--token", "secret-of-mine"], arguments].concat(),
            )
            .into_std();
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let origin = address.split("/resource").next().unwrap();
        let asked = binary.run(&["health", "--live", "--client-url", origin]).await;
        assert_eq!((asked.code, asked.stdout.trim()), (0, "alive"), "{asked:?}");
        assert!(
            std::process::Command::new("kill")
                .args(["-TERM", &process.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
        let mut said = String::new();
        process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(process.wait().unwrap().success());
        let to_set = format!("export NYC311_SOURCE__URL={}", address.trim());
        for expected in [
            expected,
            "versions of rows, published from 202",
            "the clock shows 2026-",
            " of them are published",
            &to_set,
            "NYC311_SOURCE__APP_TOKEN",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        assert!(
            !said.contains("actix") && !said.contains("workers") && !said.contains("secret-of-mine"),
            "{said}"
        );
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused =
        PROGRAM.bare().run(&["simulate", "--listen", &taken.to_string(), "--file", "nowhere.ndjson"]).await;
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.starts_with("nyc311: the simulator cannot start: nowhere.ndjson"), "{refused:?}");
}

#[actix_rt::test]
async fn poll_says_what_it_is_about_to_fetch() {
    let (database, first) = Endpoint::with_database().await;
    let said = async |endpoint: &Endpoint, more: &[&str]| {
        let ended = PROGRAM.asking(endpoint).run(&[&["poll", "--no-follow"], more].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.stderr
    };
    let whole = said(&first, &[]).await;
    assert!(
        whole.contains("the whole history")
            && whole.contains("22 million rows")
            && whole.contains("poll.initial_since"),
        "{whole}"
    );
    assert!(whole.contains(&format!("curl -X DELETE {}/v1/polls/", first.url)), "{whole}");
    assert_eq!(said(&first, &["--since", "2026-01-01"]).await.lines().count(), 1);
    let elsewhere = Endpoint::start(
        database.another_store(),
        None,
        &[("source.url", "http://127.0.0.1:1/resource/x.json")],
    );
    let everything = said(&elsewhere, &[]).await;
    assert!(
        everything.contains("the whole history that http://127.0.0.1:1/resource/x.json has:"),
        "{everything}"
    );
    let limited =
        Endpoint::start(database.another_store(), None, &[("poll.initial_since", "2026-01-01T00:00:00Z")]);
    let since = said(&limited, &[]).await;
    assert!(
        since.contains("since 2026-01-01T00:00:00.000Z") && since.contains("poll.initial_since"),
        "{since}"
    );
    database
        .execute("insert into nyc311.source_position (source, published_updated_at, moved_at) values ('erm2-nwe9', '2026-02-03T04:05:06Z', now())")
        .await;
    let cursor = said(&limited, &[]).await;
    assert!(cursor.contains("since 2026-02-03T04:05:06.000Z, the durable cursor"), "{cursor}");
}

#[actix_rt::test]
async fn check_names_the_cause_first_and_no_encoded_address() {
    let binary = PROGRAM
        .bare()
        .with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json")
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .with("NYC311_KAFKA__REQUEST_TIMEOUT", "2s")
        .with("NYC311_DATABASE__URL", "postgresql://x:hunter2@127.0.0.1:1/x");
    let found = binary.run(&["check"]).await.stdout;
    let lines: Vec<&str> = found.lines().collect();
    let expected = "source    fault  the source cannot be reached: Connection refused (os error 111) (http://127.0.0.1:1/resource/x.json)";
    assert_eq!(lines[0], expected);
    assert!(found.contains("kafka     fault  no broker answers; "), "{found}");
    assert!(!found.contains("%3A") && !found.contains("%20"), "{found}");
    let database = lines.iter().find(|line| line.starts_with("database ")).unwrap();
    assert!(
        database.starts_with("database  fault  database unavailable: ")
            && database.ends_with("(postgresql://x:***@127.0.0.1:1/x)"),
        "{found}"
    );
    // A source that is there, so that the finding of one that is not is none of the test's own.
    let simulator = serve(&SimulatorOptions { rows: 10, ..SimulatorOptions::default() }).unwrap();
    let found = binary.with("NYC311_SOURCE__URL", &simulator.resource_url()).run(&["check"]).await.stdout;
    assert!(found.contains("answers with rows"), "{found}");
}
