//! Reconciliations in the database: keys, leases, counts of months, and the mark of a row that is gone.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use nyc311::reconciliation::{Month, ReconciliationState};
use nyc311::store::IncomingRow;
use nyc311::store::reconciliations::{
    Cancel, Found, Gone, KeyPage, Lease, LeaseError, LeasedReconciliation, NewReconciliation, Step, Submitted,
};
use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{batch, incoming, outcome, request};
use nyc311_testkit::oracle::assert_recounts;
use serde_json::json;

const LEASE: Duration = Duration::from_secs(30);

fn new(key: Option<&str>) -> NewReconciliation {
    NewReconciliation {
        idempotency_key: key.map(str::to_owned),
        request: json!({}),
        since: None,
        until: None,
    }
}

async fn running(database: &TestDatabase, owner: &str) -> LeasedReconciliation {
    let Submitted::Created(_) = database.submit_reconciliation(&new(None), 9).await.unwrap() else {
        panic!()
    };
    database.acquire_reconciliation(owner, LEASE).await.unwrap().unwrap()
}

fn on(state: ReconciliationState) -> Step {
    Step::On(state, 1)
}

#[tokio::test]
async fn one_is_under_way_and_its_key_is_known() {
    let database = TestDatabase::create().await;
    let Submitted::Created(first) = database.submit_reconciliation(&new(Some("k")), 2).await.unwrap() else {
        panic!()
    };
    let Submitted::Existing(same) = database.submit_reconciliation(&new(Some("k")), 2).await.unwrap() else {
        panic!()
    };
    assert_eq!(first, same);
    let other = NewReconciliation { request: json!({"since": "2026-01-01"}), ..new(Some("k")) };
    assert_eq!(database.submit_reconciliation(&other, 2).await.unwrap(), Submitted::KeyConflict);
    database.submit_reconciliation(&new(None), 2).await.unwrap();
    assert_eq!(database.submit_reconciliation(&new(None), 2).await.unwrap(), Submitted::QueueFull);

    let taken = database.acquire_reconciliation("a", LEASE).await.unwrap().unwrap();
    assert_eq!(
        (taken.reconciliation.id, taken.reconciliation.state),
        (first.id, ReconciliationState::Comparing)
    );
    assert_eq!(database.acquire_reconciliation("b", LEASE).await.unwrap(), None, "one at a time");
    let cancel = database.cancel_reconciliation(first.id).await.unwrap();
    assert!(matches!(cancel, Cancel::Requested(_)), "{cancel:?}");
    let held = database.renew_reconciliation(first.id, taken.token, LEASE).await.unwrap();
    assert_eq!(held, Lease::Held { cancel_requested: true });
    database.step_reconciliation(first.id, taken.token, &Step::Cancelled).await.unwrap();
    let Submitted::Resumed(again) = database.submit_reconciliation(&new(Some("k")), 2).await.unwrap() else {
        panic!()
    };
    assert_eq!((again.id, again.attempt, again.state), (first.id, 2, ReconciliationState::Queued));
    assert!(database.acquire_reconciliation("b", LEASE).await.unwrap().is_some(), "the one that waited");
}

#[tokio::test]
async fn a_lease_that_was_taken_over_refuses_every_step_of_the_old_owner() {
    let database = TestDatabase::create().await;
    database.write(&batch([incoming(&request(7, 0, 1))])).await.unwrap();
    let old = running(&database, "a").await;
    let id = old.reconciliation.id;
    database.step_reconciliation(id, old.token, &on(ReconciliationState::Withdrawing)).await.unwrap();
    database.begin_key_walk(id, old.token, Month::from_word("2026-02").unwrap()).await.unwrap();
    // It has stood still for longer than its lease.
    database.renew_reconciliation(id, old.token, Duration::ZERO).await.unwrap();
    let new = database.acquire_reconciliation("b", LEASE).await.unwrap().unwrap();
    assert_eq!(new.reconciliation.id, id);
    assert_eq!(new.reconciliation.walk, Some((Month::from_word("2026-02").unwrap(), None)));

    let month = Month::from_word("2026-02").unwrap();
    let gone = database.rows_without_key(month, None, 9).await.unwrap();
    assert_eq!(gone.len(), 1);
    let lost = |done: Result<(), LeaseError>| assert!(matches!(done, Err(LeaseError::Lost)), "{done:?}");
    lost(database.step_reconciliation(id, old.token, &Step::Succeeded).await);
    lost(database.record_comparison(id, old.token, &Found::default(), &Step::Succeeded).await);
    lost(database.begin_key_walk(id, old.token, month).await);
    lost(database.record_keys(id, old.token, &KeyPage::default()).await);
    lost(database.withdraw(id, old.token, &gone, Timestamp::now()).await.map(drop));
    lost(database.end_key_walk(id, old.token, month).await);
    lost(database.step_reconciliation(id, old.token, &Step::Cancelled).await);
    assert_eq!(database.count("service_request where withdrawn_at is not null").await, 0);
    let renewed = database.renew_reconciliation(id, old.token, LEASE).await.unwrap();
    assert_eq!(renewed, Lease::Lost);

    database.withdraw(id, new.token, &gone, Timestamp::now()).await.unwrap();
    assert_eq!(database.count("service_request where withdrawn_at is not null").await, 1);
    assert_recounts(&database).await;
}

#[tokio::test]
async fn a_row_that_has_another_version_by_now_is_not_marked() {
    let database = TestDatabase::create().await;
    database.write(&batch((0..4).map(|key| incoming(&request(key, 0, 1))))).await.unwrap();
    let leased = running(&database, "a").await;
    let (id, token) = (leased.reconciliation.id, leased.token);
    database.step_reconciliation(id, token, &on(ReconciliationState::Withdrawing)).await.unwrap();
    let month = Month::from_word("2026-02").unwrap();
    let page = KeyPage { keys: vec![(0, None), (0, None)], last_row_id: Some("row-0".into()) };
    database.record_keys(id, token, &page).await.unwrap();
    database.record_keys(id, token, &page).await.unwrap();
    let gone: Vec<Gone> = database.rows_without_key(month, None, 9).await.unwrap();
    let read: Vec<i64> = gone.iter().map(|row| row.unique_key).collect();
    assert!(!read.contains(&0) && read.contains(&1), "{read:?}");
    database.write(&batch([incoming(&request(1, 3, 1))])).await.unwrap();
    let marked = database.withdraw(id, token, &gone, Timestamp::now()).await.unwrap();
    assert_eq!(marked, gone.len() as u64 - 1);
    assert_eq!(database.count("service_request where unique_key = 1 and withdrawn_at is null").await, 1);
    let counted = database.reconciliation(id).await.unwrap().unwrap();
    assert_eq!(counted.withdrawn, i64::try_from(marked).unwrap());
    assert_recounts(&database).await;
}

#[tokio::test]
async fn a_withdrawn_row_comes_back_by_a_page_that_arrived_later_and_by_no_older_one() {
    let database = TestDatabase::create().await;
    let gone_at: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
    let fetched = |version: i64, hours: i64| {
        let fetched_at = Some(gone_at + hours.hours());
        IncomingRow { fetched_at, ..incoming(&request(1, version, 1)) }
    };
    database.write(&batch([fetched(2, -9)])).await.unwrap();
    let withdraw = "update nyc311.service_request set withdrawn_at = '2026-05-01 00:00+00'";
    let withdrawn = "service_request where withdrawn_at is not null";
    for (row, stays) in [
        // A rewind reads what was fetched before, and an older version of it.
        (fetched(2, -9), 1),
        (fetched(0, -9), 1),
        (fetched(2, 0), 1),
        (fetched(2, 1), 0),
        // An older version that the source shows now tells as much.
        (fetched(0, 1), 0),
        (IncomingRow { fetched_at: None, ..fetched(2, 0) }, 1),
        // A newer version is news, whenever it was fetched.
        (fetched(4, -9), 0),
    ] {
        database.execute(withdraw).await;
        let (version, at) = (row.identity.source_updated_at, row.fetched_at);
        database.write(&batch([row])).await.unwrap();
        assert_eq!(database.count(withdrawn).await, stays, "{version} fetched at {at:?}");
        assert_recounts(&database).await;
    }
    // What comes back counts as what it is: a version that is known.
    database.execute(withdraw).await;
    let summary = database.write(&batch([fetched(4, 1)])).await.unwrap();
    assert_eq!(outcome(&summary), (0, 1, 0, 0));
}

#[tokio::test]
async fn months_are_counted_in_new_york_and_letters_by_what_their_bytes_say() {
    let database = TestDatabase::create().await;
    let mut rows = Vec::new();
    for (key, created) in [
        (1, "2026-03-01T04:59:59Z"),
        (2, "2026-03-01T05:00:00Z"),
        (3, "2026-04-01T03:59:59Z"),
        (4, "2026-04-01T04:00:00Z"),
        (5, "1900-01-01T12:00:00Z"),
    ] {
        let mut request = request(key, 0, 1);
        request.created_at = created.parse().unwrap();
        rows.push(incoming(&request));
    }
    database.write(&batch(rows)).await.unwrap();
    database.execute("update nyc311.service_request set withdrawn_at = now() where unique_key = 3").await;
    let month = |word: &str| Month::from_word(word).unwrap();
    let months = database.our_months(None, None).await.unwrap();
    assert_eq!(months, ["1900-01", "2026-02", "2026-03", "2026-04"].map(month));
    let (since, until) = month("2026-03").bounds().unwrap();
    assert_eq!(database.our_months(Some(since), Some(until)).await.unwrap(), [month("2026-03")]);
    for (word, count) in [("2026-02", 1), ("2026-03", 1), ("2026-04", 1), ("2026-05", 0), ("unknown", 0)] {
        assert_eq!(database.count_month(month(word)).await.unwrap().count, count, "{word}");
    }

    for (payload, key) in [
        // Not quite JSON, and a key that is in the tables in another month.
        ("{\"created_date\" : \"2026-03-07T01:00:00.000\", \"x\": NaN}", "null"),
        ("{\"unique_key\":\"1\",\"created_date\":\"2026-03-08\"}", "1"),
        // The same, twice, and one that is in the tables in this month.
        ("{\"unique_key\":\"9\",\"created_date\":\"2026-03-09\"}", "9"),
        ("{\"unique_key\":\"9\",\"created_date\":\"2026-03-10\"}", "9"),
        ("{\"unique_key\":\"2\",\"created_date\":\"2026-03-11\"}", "2"),
        // A text that only looks like it, and a month that is none.
        ("{\"descriptor\":\"\\\"created_date\\\":\\\"2026-03-12\\\"\"}", "null"),
        ("{\"created_date\":\"2026-13-12\"}", "null"),
    ] {
        database.keep_dead_letter(payload, "enricher", 0).await;
        let sql = format!(
            "update nyc311.dead_letter set unique_key = {key}
             where payload = convert_to('{payload}', 'UTF8')"
        );
        database.execute(&sql).await;
    }
    let letters = database.dead_letters_by_month().await.unwrap();
    assert_eq!(letters[&month("2026-03")], (3, 0), "one without a key, and those of 1 and 9");
    assert_eq!(letters[&month("2026-02")], (0, 1), "1 has moved to march, says a letter");
    assert_eq!(letters[&Month::Unknown], (2, 0));
    database.execute("update nyc311.dead_letter set state = 'resolved'").await;
    assert!(database.dead_letters_by_month().await.unwrap().is_empty());
}
