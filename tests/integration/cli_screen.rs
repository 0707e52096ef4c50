//! What others say and a terminal would obey: shown as escapes by every command, and exact in JSON.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use nyc311_testkit::{Endpoint, TestDatabase};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::PROGRAM;
use crate::answering::answering;

/// Sets a title, clears the screen, comes in one byte, reverses what follows, and begins a line.
const HOSTILE: &str =
    "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2J\u{202e}\u{2066}\u{200b}\u{2028}\u{7f}\nstate  succeeded";
/// The same inside a text of JSON.
const HOSTILE_JSON: &str =
    r"x\u001b]0;owned\u0007\u001b[2J\u009b2J\u202e\u2066\u200b\u2028\u007f\nstate  succeeded";

fn assert_harmless(text: &str) {
    let harmful = |c: &char| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert_eq!(text.chars().find(harmful), None, "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("state  succeeded")), "{text:?}");
    assert!(text.contains("owned"), "{text:?}");
}

#[actix_rt::test]
async fn words_of_the_source_and_dead_letters_are_shown_as_escapes() {
    let database = TestDatabase::create().await;
    let client = database.client().await.unwrap();
    let sql = "insert into nyc311.source_term (kind, value, known) values ('status', $1, false)";
    client.execute(sql, &[&HOSTILE]).await.unwrap();
    database.keep_dead_letter("{}", "enricher", 0).await;
    client.execute("update nyc311.dead_letter set reason = $1", &[&HOSTILE]).await.unwrap();
    let binary = PROGRAM.on(&database);
    for command in [&["drift"][..], &["replay", "--dry-run"]] {
        assert_harmless(&binary.run(command).await.stdout);
    }
    for (command, place) in
        [(&["drift"][..], "/drift/0/value"), (&["replay", "--dry-run"], "/dead_letters/0/reason")]
    {
        let ended = binary.run(&[command, &["--output", "json"]].concat()).await;
        assert_harmless(&ended.stdout);
        assert_eq!(ended.json().pointer(place).unwrap(), HOSTILE);
    }
}

#[actix_rt::test]
async fn polls_and_stages_are_shown_as_escapes() {
    let (database, endpoint) = Endpoint::with_database().await;
    let id = PROGRAM.asking(&endpoint).run(&["poll", "--no-follow", "--output", "json"]).await.json()["id"]
        .clone();
    let id = id.as_str().unwrap();
    let failed = "update nyc311.poll set state = 'failed', error_code = 'x', error_stage = 'poller', error_detail = $1,
                  error_retryable = false, finished_at = now()";
    database.client().await.unwrap().execute(failed, &[&HOSTILE]).await.unwrap();
    let binary = PROGRAM.asking(&endpoint);
    assert_harmless(&binary.run(&["status", id]).await.stdout);
    let shown = binary.run(&["status", id, "--output", "json"]).await;
    assert_harmless(&shown.stdout);
    assert_eq!(shown.json()["error"]["detail"], HOSTILE);

    let body = json!({"ready": false, "missing": [HOSTILE], "stages": {HOSTILE: "failed"}, "stalled": [{"stage": HOSTILE, "topic": HOSTILE, "partition": 1}], "type": "about:blank", "detail": HOSTILE});
    let body: &'static str = body.to_string().leak();
    for (head, command) in [
        ("200 OK", &["health"][..]),
        ("422 Unprocessable Content", &["poll", "--no-follow"]),
        ("500 Internal Server Error", &["poll", "--no-follow"]),
    ] {
        let (head, body) = if head.starts_with("200") {
            (head, body)
        } else {
            (head, Box::leak(body.replace("\"ready\":false", "\"ready\":1").into_boxed_str()) as &'static str)
        };
        let ended =
            PROGRAM.bare().with("NYC311_CLIENT__URL", &answering(head, body).await).run(command).await;
        assert_harmless(&format!("{}{}", ended.stdout, ended.stderr));
    }
    // The documents that the command that follows a poll asks for, in one: it says more on stderr than an id.
    let document = json!({
        "id": id, "state": "failed", "attempt": 1, "trigger": "api", "idempotency_key": HOSTILE,
        "queue_position": null, "window": {"on": "updated_at", "since": null, "until": null},
        "cursor": {"updated_at": null, "row_id": HOSTILE},
        "newest": {"source_updated_at": null, "created_at": null},
        "counts": {"pages": 0, "fetched": 0, "published": 0, "republished": 0, "stored": 0, "duplicate": 0,
                   "reenriched": 0, "dead_lettered": 0},
        "error": {"code": HOSTILE, "stage": HOSTILE, "detail": HOSTILE, "http_status": null, "retryable": false},
        "created_at": "2026-01-01T00:00:00.000Z", "started_at": null, "storing_at": null,
        "finished_at": null, "cancel_requested_at": null,
        "ready": true, "stages": [], "partitions": [], "stalled": [], "drift": [],
        "source": {"name": HOSTILE, "url": HOSTILE, "published_updated_at": null, "stored_updated_at": null,
                   "initial_since": null},
    });
    let document = document.to_string();
    let url = answering("202 Accepted", document.leak()).await;
    let ended = PROGRAM.bare().with("NYC311_CLIENT__URL", &url).run(&["poll"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_harmless(&ended.stdout);
    assert_harmless(&ended.stderr);
    let stranger = answering("502 Bad Gateway", HOSTILE).await;
    let ended = PROGRAM.bare().with("NYC311_CLIENT__URL", &stranger).run(&["status"]).await;
    assert_harmless(&ended.stderr);
}

#[actix_rt::test]
async fn what_check_hears_is_shown_as_escapes() {
    let refusal = format!(r#"{{"code": "x", "error": true, "message": "{HOSTILE_JSON}"}}"#).leak();
    let binary = PROGRAM
        .bare()
        .with(
            "NYC311_SOURCE__URL",
            &format!("{}/resource/x.json", answering("400 Bad Request", refusal).await),
        )
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .with("NYC311_KAFKA__REQUEST_TIMEOUT", "1s")
        .with("NYC311_DATABASE__URL", &hostile_database("28000").await);
    let table = binary.run(&["check"]).await;
    assert_harmless(&table.stdout);
    assert_eq!(table.stdout.matches("owned").count(), 2, "{}", table.stdout);
    let found = binary.finding("source").await;
    assert!(found["detail"].as_str().unwrap().contains(HOSTILE), "{found}");
    let migrate = binary.run(&["migrate"]).await;
    assert_eq!(migrate.code, 78, "{migrate:?}");
    assert_harmless(&migrate.stderr);
}

#[actix_rt::test]
async fn settings_and_arguments_are_shown_as_escapes() {
    let binary = PROGRAM.bare().with("NYC311_KAFKA__BOOTSTRAP_SERVERS", HOSTILE);
    let printed = binary.run(&["run", "--print-config"]).await;
    assert_harmless(&printed.stdout);
    let again: toml::Table = toml::from_str(&printed.stdout).unwrap();
    assert_eq!(again["kafka"]["bootstrap_servers"].as_str(), Some(HOSTILE));
    let wrong = PROGRAM.bare().with("NYC311_LOG__FORMAT", HOSTILE).run(&["status"]).await;
    assert_eq!(wrong.code, 78);
    assert_harmless(&wrong.stderr);
    let unknown = PROGRAM.bare();
    std::fs::write(unknown.folder.path().join("nyc311.toml"), format!("\"{HOSTILE_JSON}\" = 1\n")).unwrap();
    assert_harmless(&unknown.run(&["status"]).await.stderr);
    for arguments in [&["status", HOSTILE][..], &[HOSTILE], &["poll", "--since", HOSTILE]] {
        let ended = PROGRAM.bare().run(arguments).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert_harmless(&ended.stderr);
    }
}

/// A server that speaks PostgreSQL as far as to refuse everybody, in hostile words.
async fn hostile_database(sqlstate: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    actix_rt::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let fields = format!("SFATAL\0VFATAL\0C{sqlstate}\0M{HOSTILE}\0\0");
            let mut answer = vec![b'E'];
            answer.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
            answer.extend(fields.as_bytes());
            let _ = stream.write_all(&answer).await;
        }
    });
    // A question for TLS comes first otherwise.
    format!("postgresql://x@{address}/x?sslmode=disable")
}

#[actix_rt::test]
async fn lines_of_the_log_are_escaped_in_both_formats() {
    let url = hostile_database("57P03").await;
    for format in ["text", "json"] {
        let binary = PROGRAM
            .bare()
            .with("NYC311_DATABASE__URL", &url)
            .with("NYC311_LOG__FORMAT", format)
            .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
            .with("NYC311_KAFKA__REQUEST_TIMEOUT", "1s")
            .with("NYC311_HTTP__LISTEN", "127.0.0.1:0");
        let mut command = binary.command(&["run"]).into_std();
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let found = actix_rt::task::spawn_blocking(move || {
            lines.map_while(Result::ok).find(|line| line.contains("owned"))
        });
        let line = found.await.unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        let line = line.unwrap();
        assert_harmless(&line);
        if format == "json" {
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(entry["detail"].as_str().unwrap().contains(HOSTILE), "{entry}");
        }
    }
}
