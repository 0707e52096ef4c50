//! The commands that ask a running service: what each prints where, and the code it ends with.

use std::time::Duration;

use nyc311::store::polls::PollError;
use nyc311::supervision::StageState;
use nyc311_testkit::{Ended, Endpoint, TestDatabase, eventually, stage};
use serde_json::json;

use crate::PROGRAM;
use crate::answering::answering;

const TOKEN: &str = "correct-horse-battery-staple";

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
    let ended = PROGRAM.asking(&endpoint).run(&["poll", "--timeout", "2s", "--output", "json"]).await;
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

/// Whether a process has a handler for SIGINT.
fn catches_sigint(process_id: &str) -> bool {
    const SIGINT: u64 = 2;
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (SIGINT - 1)) != 0
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
        let ended = PROGRAM.bare().with("NYC311_CLIENT__URL", &url).run(&["poll"]).await;
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
    // The command says which poll it follows before it follows it and listens for the signal.
    eventually("the command listens for SIGINT", async || catches_sigint(&id).then_some(())).await;
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
