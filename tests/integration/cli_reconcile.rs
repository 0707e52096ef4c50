//! `nyc311 reconcile`: what it prints where, and the code it ends with.

use std::time::Duration;

use nyc311::reconciliation::{Month, MonthAction, MonthState};
use nyc311::store::polls::PollError;
use nyc311::store::reconciliations::{Found, LeasedReconciliation, ReconciledMonth, Step};
use nyc311_testkit::{Endpoint, TestDatabase, eventually};
use serde_json::json;

use crate::PROGRAM;

async fn leased(database: &TestDatabase) -> LeasedReconciliation {
    let lease = Duration::from_secs(30);
    eventually("a reconciliation was submitted", async || {
        database.acquire_reconciliation("test", lease).await.unwrap()
    })
    .await
}

fn found() -> Found {
    let month = |word: &str, count, action, state| ReconciledMonth {
        month: Month::from_word(word).unwrap(),
        source_count: 1_200,
        our_count: count,
        dead_lettered: 3,
        source_newest: Some("2026-04-02T01:35:00Z".parse().unwrap()),
        our_newest: None,
        action,
        state,
        keys_missing: None,
        keys_changed: None,
    };
    let months = vec![
        month("2026-03", 1_200, MonthAction::Nothing, MonthState::Agrees),
        month("2026-04", 1_190, MonthAction::Poll, MonthState::Differs),
    ];
    Found { months, missing: 7, surplus: 0, stale: 0 }
}

#[actix_rt::test]
async fn reconciliation_is_followed_to_its_success() {
    let (database, endpoint) = Endpoint::with_database().await;
    let runner = async {
        let LeasedReconciliation { reconciliation, token } = leased(&database).await;
        database.record_comparison(reconciliation.id, token, &found(), &Step::Succeeded).await.unwrap();
        reconciliation
    };
    let binary = PROGRAM.asking(&endpoint);
    let arguments = ["reconcile", "--since", "2026-01-15", "--until", "2026-05-01", "--output", "json"];
    let (ended, reconciliation) = tokio::join!(binary.run(&arguments), runner);
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = ended.json();
    assert_eq!((&shown["id"], &shown["state"]), (&json!(reconciliation.id), &json!("succeeded")));
    assert_eq!(
        (&shown["since"], &shown["until"]),
        (&json!("2026-01-01T05:00:00.000Z"), &json!("2026-05-01T04:00:00.000Z"))
    );
    assert_eq!(shown["months"].as_array().unwrap().len(), 2);
    assert!(ended.stderr.contains("queued") && ended.stderr.contains("succeeded"), "{}", ended.stderr);
}

#[actix_rt::test]
async fn a_difference_that_stays_ends_with_1_and_a_table_of_what_differs() {
    let (database, endpoint) = Endpoint::with_database().await;
    let runner = async {
        let LeasedReconciliation { reconciliation, token } = leased(&database).await;
        let error = PollError {
            code: "difference_stays".into(),
            stage: "poller".into(),
            detail: "2026-04: the source has 1200 rows".into(),
            http_status: None,
            retryable: false,
        };
        let step = Step::Failed(error);
        database.record_comparison(reconciliation.id, token, &found(), &step).await.unwrap();
    };
    let binary = PROGRAM.asking(&endpoint);
    let (ended, ()) = tokio::join!(binary.run(&["reconcile"]), runner);
    assert_eq!(ended.code, 1, "{ended:?}");
    for expected in ["difference_stays: 2026-04", "1 of 2", "1,190", "poll", "differs"] {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("2026-03"), "a month that agrees is not told: {}", ended.stdout);
}

#[actix_rt::test]
async fn it_can_be_left_alone_timed_out_and_asked_for_wrongly() {
    let (database, endpoint) = Endpoint::with_database().await;
    let binary = PROGRAM.asking(&endpoint);
    let ended = binary.run(&["reconcile", "--detach", "--idempotency-key", "k", "--output", "json"]).await;
    assert_eq!((ended.code, &ended.json()["state"]), (0, &json!("queued")), "{ended:?}");
    let again = binary.run(&["reconcile", "--timeout", "2s", "--idempotency-key", "k"]).await;
    assert_eq!(again.code, 75, "{again:?}");
    assert!(again.stderr.contains("the reconciliation goes on"), "{}", again.stderr);
    assert_eq!(database.count("reconciliation where state = 'queued'").await, 1, "the same one");
    for wrong in [
        &["reconcile", "--since", "2026-05-01", "--until", "2026-05-01"][..],
        &["reconcile", "--since", "may"],
        &["reconcile", "--detach", "--timeout", "1s"],
    ] {
        assert_eq!(binary.run(wrong).await.code, 2, "{wrong:?}");
    }
    let away = PROGRAM.bare().with("NYC311_CLIENT__URL", "http://127.0.0.1:1").run(&["reconcile"]).await;
    assert_eq!((away.code, away.stdout.as_str()), (69, ""), "{away:?}");
}
