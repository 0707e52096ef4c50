//! The real binary: how it takes arguments and settings, and the code it ends with where they are wrong.

use std::fs::File;
use std::process::Stdio;

use nyc311_testkit::Ended;

use crate::PROGRAM;

const TOKEN: &str = "correct-horse-battery-staple";

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
async fn properties_that_cannot_work_together_end_the_start_with_78() {
    for (properties, named) in
        [(r#"{"retries":"0"}"#, "retries"), (r#"{"group.protocol":"consumer"}"#, "group.protocol")]
    {
        let binary = PROGRAM
            .bare()
            .with("NYC311_KAFKA__PROPERTIES", properties)
            .with("NYC311_HTTP__LISTEN", "127.0.0.1:0")
            .with("NYC311_SOURCE__URL", "http://127.0.0.1:1/resource/x.json")
            .with("NYC311_DATABASE__URL", "postgresql://x@127.0.0.1:1/x");
        for (command, code) in [("run", 78), ("check", 1)] {
            let ended = binary.run(&[command]).await;
            assert_eq!(ended.code, code, "{command}: {ended:?}");
            assert!(format!("{}{}", ended.stdout, ended.stderr).contains(named), "{command}: {ended:?}");
        }
    }
}

#[actix_rt::test]
async fn a_result_that_cannot_be_written_ends_with_1_and_one_that_nobody_reads_with_0() {
    let binary = PROGRAM.bare();
    let written_to = async |stdout: Stdio| {
        let mut command = binary.command(&["settings"]);
        Ended::from(
            command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().await.unwrap(),
        )
    };
    let full = written_to(File::options().write(true).open("/dev/full").unwrap().into()).await;
    assert_eq!(full.code, 1, "{full:?}");
    assert!(full.stderr.contains("could not be written to stdout: No space left"), "{}", full.stderr);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unread = written_to(writer.into()).await;
    assert_eq!((unread.code, unread.stderr.as_str()), (0, ""), "{unread:?}");
}
