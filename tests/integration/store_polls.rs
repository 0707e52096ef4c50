//! Polls and positions: queue, idempotency, leases, cursors, loss, epochs.

use std::time::Duration;

use jiff::Timestamp;
use nyc311::store::polls::{
    Cancel, Lease, LeaseError, LeasedPoll, NewPoll, PageRecord, Poll, PollError, PollState, Submitted,
    Trigger, Window, WindowOn,
};
use nyc311::store::{Store, StoreError};
use nyc311_testkit::TestDatabase;
use nyc311_testkit::logs::{SOURCE, claim, logs};
use serde_json::json;

const LEASE: Duration = Duration::from_secs(30);

fn new_poll(key: Option<&str>) -> NewPoll {
    NewPoll {
        idempotency_key: key.map(str::to_owned),
        trigger: Trigger::Api,
        request: json!({}),
        window: Window { on: WindowOn::UpdatedAt, since: None, until: None },
    }
}

async fn created(store: &Store) -> Poll {
    match store.submit_poll(&new_poll(None), 100).await.unwrap() {
        Submitted::Created(poll) => poll,
        other => panic!("{other:?}"),
    }
}

async fn acquired(store: &Store, owner: &str) -> LeasedPoll {
    store.acquire_poll(owner, LEASE).await.unwrap().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn page(number: u64, rows: u64, reached: &str) -> PageRecord {
    PageRecord {
        page: number,
        rows,
        published: rows,
        cursor: Some((time(reached), format!("row-{reached}"))),
        newest_updated_at: Some(time(reached)),
        newest_created_at: Some(time(reached)),
        published_updated_at: Some(time(reached)),
        source: SOURCE.to_owned(),
        cluster_id: "cluster".to_owned(),
        raw_topic: "raw".to_owned(),
        raw_topic_id: None,
        acknowledged: vec![],
        dead_letters: vec![],
        columns: None,
    }
}

/// Lets rows of a poll arrive in the tables.
async fn arrived(database: &TestDatabase, poll: uuid::Uuid, rows: u64) {
    let sql = format!(
        "insert into nyc311.poll_partition as n (poll_id, kafka_partition, stored) values ('{poll}', 0, {rows})
         on conflict (poll_id, kafka_partition) do update set stored = n.stored + excluded.stored"
    );
    database.execute(&sql).await;
}

fn failure() -> PollError {
    PollError {
        code: "source-refused".to_owned(),
        stage: "poller".to_owned(),
        detail: "no such column".to_owned(),
        http_status: Some(400),
        retryable: false,
    }
}

#[tokio::test]
async fn migrating_twice_and_at_the_same_time_applies_each_migration_once() {
    let database = TestDatabase::create_empty().await;
    let other = database.another_store();
    let (one, two) = tokio::join!(database.migrate(), other.migrate());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.version, two.version);
    assert_eq!(one.applied.len() + two.applied.len(), usize::try_from(one.version).unwrap());
    assert!(database.migrate().await.unwrap().applied.is_empty());
}

#[tokio::test]
async fn a_changed_and_a_newer_migration_are_refused() {
    let database = TestDatabase::create().await;
    let version = database.migrate().await.unwrap().version;
    database
        .execute(
            "insert into nyc311.migration (version, name, checksum, applied_by) values (9999, 'x', '', 'x')",
        )
        .await;
    match database.migrate().await {
        Err(StoreError::NewerDatabase { found: 9999, known }) => assert_eq!(known, version),
        other => panic!("{other:?}"),
    }
    database.execute("delete from nyc311.migration where version = 9999").await;
    database.execute("update nyc311.migration set checksum = 'x' where version = 1").await;
    assert!(matches!(database.migrate().await, Err(StoreError::ChangedMigration { version: 1, .. })));
}

#[tokio::test]
async fn the_idempotency_key_decides_what_a_repeated_request_means() {
    let database = TestDatabase::create().await;
    let request = new_poll(Some("dag-1"));
    let Submitted::Created(poll) = database.submit_poll(&request, 100).await.unwrap() else { panic!() };
    assert_eq!(poll.state, PollState::Queued);
    assert_eq!(poll.queue_position, Some(1));

    let Submitted::Existing(same) = database.submit_poll(&request, 100).await.unwrap() else { panic!() };
    assert_eq!(same, poll);

    let other_body = NewPoll { request: json!({"since": "2026-01-01"}), ..request.clone() };
    assert_eq!(database.submit_poll(&other_body, 100).await.unwrap(), Submitted::KeyConflict);

    let leased = acquired(&database, "a").await;
    database.record_page(poll.id, leased.token, &page(1, 10, "2026-01-02T00:00:00Z")).await.unwrap();
    database.fail_poll(poll.id, leased.token, &failure()).await.unwrap();
    let failed = database.poll(poll.id).await.unwrap().unwrap();
    assert_eq!(failed.error, Some(failure()));
    assert_eq!(failed.counts.fetched, 10);

    let Submitted::Resumed(resumed) = database.submit_poll(&request, 100).await.unwrap() else { panic!() };
    assert_eq!((resumed.id, resumed.attempt, resumed.state), (poll.id, 2, PollState::Queued));
    assert_eq!(resumed.cursor, failed.cursor);
    assert_eq!((resumed.counts.fetched, &resumed.error), (10, &None));

    let leased = acquired(&database, "a").await;
    database.begin_storing(poll.id, leased.token, None, &[]).await.unwrap();
    arrived(&database, poll.id, 10).await;
    database.finish_poll(poll.id, leased.token, SOURCE).await.unwrap();
    let Submitted::Existing(done) = database.submit_poll(&request, 100).await.unwrap() else { panic!() };
    assert_eq!(done.state, PollState::Succeeded);
}

#[tokio::test]
async fn a_key_sent_by_many_at_once_makes_one_poll() {
    let database = TestDatabase::create().await;
    let request = new_poll(Some("retried"));
    let answers = futures_util::future::join_all((0..8).map(|_| database.submit_poll(&request, 100))).await;
    let created =
        answers.iter().filter(|answer| matches!(answer.as_ref().unwrap(), Submitted::Created(_))).count();
    assert_eq!(created, 1);
    assert_eq!(database.number("select count(*) from nyc311.poll").await, 1);
}

#[tokio::test]
async fn a_full_queue_takes_no_more() {
    let database = TestDatabase::create().await;
    for position in 1..=2 {
        assert_eq!(created(&database).await.queue_position, Some(position));
    }
    assert_eq!(database.submit_poll(&new_poll(None), 2).await.unwrap(), Submitted::QueueFull);
}

#[tokio::test]
async fn polls_are_listed_newest_first_by_state_and_page() {
    let database = TestDatabase::create().await;
    let mut ids = vec![];
    for _ in 0..3 {
        ids.push(created(&database).await.id);
    }
    database.cancel_poll(ids[1]).await.unwrap();
    let listed = |polls: Vec<Poll>| polls.iter().map(|poll| poll.id).collect::<Vec<_>>();
    let all = listed(database.list_polls(&[], 10, None).await.unwrap());
    assert_eq!(all, [ids[2], ids[1], ids[0]]);
    let queued = listed(database.list_polls(&[PollState::Queued], 10, None).await.unwrap());
    assert_eq!(queued, [ids[2], ids[0]]);
    let next = listed(database.list_polls(&[], 1, Some(ids[2])).await.unwrap());
    assert_eq!(next, [ids[1]]);
}

#[tokio::test]
async fn one_poll_runs_at_a_time_however_many_ask() {
    let database = TestDatabase::create().await;
    let first = created(&database).await;
    created(&database).await;
    let others: Vec<Store> = (0..6).map(|_| database.another_store()).collect();
    let owners: Vec<String> = (0..6).map(|index| format!("owner-{index}")).collect();
    let asked = others.iter().zip(&owners).map(|(store, owner)| store.acquire_poll(owner, LEASE));
    let leases: Vec<LeasedPoll> =
        futures_util::future::join_all(asked).await.into_iter().filter_map(|lease| lease.unwrap()).collect();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].poll.id, first.id);
    assert_eq!(leases[0].poll.state, PollState::Running);
}

#[tokio::test]
async fn a_restarted_owner_takes_its_poll_back_at_once_and_its_old_token_is_worthless() {
    let database = TestDatabase::create().await;
    let poll = created(&database).await;
    let before = acquired(&database, "a").await;
    assert!(database.acquire_poll("b", LEASE).await.unwrap().is_none());
    let after = acquired(&database, "a").await;
    assert_eq!(after.poll.id, poll.id);
    assert_eq!(database.renew_lease(poll.id, before.token, LEASE).await.unwrap(), Lease::Lost);
    let refused = database.record_page(poll.id, before.token, &page(1, 1, "2026-01-01T00:00:00Z")).await;
    assert!(matches!(refused, Err(LeaseError::Lost)));
    assert_eq!(database.source_position(SOURCE).await.unwrap(), None);
    let held = database.renew_lease(poll.id, after.token, LEASE).await.unwrap();
    assert_eq!(held, Lease::Held { cancel_requested: false });
}

#[tokio::test]
async fn a_lease_that_has_passed_is_taken_over_also_while_storing() {
    let database = TestDatabase::create().await;
    let poll = created(&database).await;
    let lost = database.acquire_poll("a", Duration::ZERO).await.unwrap().unwrap();
    database.begin_storing(poll.id, lost.token, None, &[(0, 5), (1, 7)]).await.unwrap();
    let taken = acquired(&database, "b").await;
    assert_eq!(taken.poll.state, PollState::Storing);
    let ends = database.raw_ends(poll.id).await.unwrap();
    assert_eq!(ends.iter().map(|end| (end.partition, end.end_offset)).collect::<Vec<_>>(), [(0, 5), (1, 7)]);
    assert!(matches!(database.finish_poll(poll.id, lost.token, SOURCE).await, Err(LeaseError::Lost)));
    database.finish_poll(poll.id, taken.token, SOURCE).await.unwrap();
}

#[tokio::test]
async fn cancelling_depends_on_the_state() {
    let database = TestDatabase::create().await;
    let running = created(&database).await;
    let queued = created(&database).await;
    let leased = acquired(&database, "a").await;

    let Cancel::Cancelled { cancelled, now: true } = database.cancel_poll(queued.id).await.unwrap() else {
        panic!()
    };
    let again = database.cancel_poll(queued.id).await.unwrap();
    assert!(matches!(again, Cancel::Cancelled { now: false, .. }));
    assert_eq!(cancelled.state, PollState::Cancelled);
    let Cancel::Requested(asked) = database.cancel_poll(running.id).await.unwrap() else { panic!() };
    assert_eq!(asked.state, PollState::Running);
    assert!(asked.cancel_requested_at.is_some());
    let held = database.renew_lease(running.id, leased.token, LEASE).await.unwrap();
    assert_eq!(held, Lease::Held { cancel_requested: true });
    database.finish_cancelled(running.id, leased.token).await.unwrap();
    assert!(matches!(database.cancel_poll(running.id).await.unwrap(), Cancel::Cancelled { .. }));

    let failed = created(&database).await;
    let leased = acquired(&database, "a").await;
    database.fail_poll(failed.id, leased.token, &failure()).await.unwrap();
    assert!(matches!(database.cancel_poll(failed.id).await.unwrap(), Cancel::Finished(_)));
    assert_eq!(database.cancel_poll(uuid::Uuid::now_v7()).await.unwrap(), Cancel::Unknown);
}

#[tokio::test]
async fn the_durable_cursor_never_goes_back_and_stored_follows_at_the_end() {
    let database = TestDatabase::create().await;
    let poll = created(&database).await;
    let leased = acquired(&database, "a").await;
    for (number, reached) in
        (1..).zip(["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"])
    {
        database.record_page(poll.id, leased.token, &page(number, 10, reached)).await.unwrap();
    }
    let position = database.source_position(SOURCE).await.unwrap().unwrap();
    assert_eq!(position.published_updated_at, Some(time("2026-01-03T00:00:00Z")));
    assert_eq!(position.stored_updated_at, None);
    assert_eq!(position.kafka_cluster_id.as_deref(), Some("cluster"));

    let without_cursor =
        PageRecord { cursor: None, published_updated_at: None, ..page(4, 1, "2026-01-01T00:00:00Z") };
    database.record_page(poll.id, leased.token, &without_cursor).await.unwrap();
    let running = database.poll(poll.id).await.unwrap().unwrap();
    assert_eq!(running.cursor.unwrap().0, time("2026-01-01T00:00:00Z"));
    assert_eq!((running.counts.pages, running.counts.fetched), (4, 31));

    database.begin_storing(poll.id, leased.token, None, &[(0, 31)]).await.unwrap();
    arrived(&database, poll.id, 31).await;
    database.finish_poll(poll.id, leased.token, SOURCE).await.unwrap();
    let position = database.source_position(SOURCE).await.unwrap().unwrap();
    assert_eq!(position.stored_updated_at, position.published_updated_at);
}

#[tokio::test]
async fn losing_kafka_sends_the_running_poll_and_the_cursor_back() {
    let database = TestDatabase::create().await;
    let first = created(&database).await;
    let leased = acquired(&database, "a").await;
    database.record_page(first.id, leased.token, &page(1, 10, "2026-01-02T00:00:00Z")).await.unwrap();
    database.begin_storing(first.id, leased.token, None, &[(0, 10)]).await.unwrap();
    arrived(&database, first.id, 10).await;
    database.finish_poll(first.id, leased.token, SOURCE).await.unwrap();

    let abandoned = match database.submit_poll(&new_poll(Some("k")), 100).await.unwrap() {
        Submitted::Created(poll) => poll,
        other => panic!("{other:?}"),
    };
    let leased = acquired(&database, "a").await;
    database.record_page(abandoned.id, leased.token, &page(1, 5, "2026-01-03T00:00:00Z")).await.unwrap();
    database.fail_poll(abandoned.id, leased.token, &failure()).await.unwrap();

    let running = created(&database).await;
    let leased = acquired(&database, "a").await;
    database.record_page(running.id, leased.token, &page(1, 7, "2026-01-04T00:00:00Z")).await.unwrap();
    database.begin_storing(running.id, leased.token, None, &[(0, 22)]).await.unwrap();

    database.take_up_logs(&logs(Some("one"), true)).await.unwrap();

    let position = database.source_position(SOURCE).await.unwrap().unwrap();
    assert_eq!(position.published_updated_at, Some(time("2026-01-02T00:00:00Z")));
    assert_eq!(position.stored_updated_at, position.published_updated_at);
    assert!(matches!(database.finish_poll(running.id, leased.token, SOURCE).await, Err(LeaseError::Lost)));
    let again = acquired(&database, "b").await;
    assert_eq!((again.poll.id, again.poll.state), (running.id, PollState::Running));
    assert_eq!((again.poll.cursor, again.poll.counts.fetched), (None, 0));
    assert_eq!(database.raw_ends(running.id).await.unwrap(), []);

    let ended = database.poll(abandoned.id).await.unwrap().unwrap();
    assert_eq!(ended.counts.fetched, 5);
    let Submitted::Resumed(resumed) = database.submit_poll(&new_poll(Some("k")), 100).await.unwrap() else {
        panic!()
    };
    assert_eq!((resumed.cursor, resumed.counts.fetched), (None, 0));
}

#[tokio::test]
async fn a_claim_keeps_the_position_and_begins_an_epoch_and_a_rewind_moves_it() {
    let database = TestDatabase::create().await;
    let first = claim(&database, ("c", "t", 0), "a", 42).await;
    assert_eq!((first.next_offset, first.epoch), (42, 1));
    let second = claim(&database, ("c", "t", 0), "b", 0).await;
    assert_eq!((second.next_offset, second.epoch), (42, 2));
    let rewound = database.rewind_position("c", "t", 0, 7, 0).await.unwrap();
    assert_eq!((rewound.next_offset, rewound.epoch), (7, 3));
    // Forward would pass over what was never written.
    let rewound = database.rewind_position("c", "t", 0, 40, 0).await.unwrap();
    assert_eq!((rewound.next_offset, rewound.epoch), (7, 4));
    let unseen = database.rewind_position("c", "unseen", 0, 40, 3).await.unwrap();
    assert_eq!((unseen.next_offset, unseen.epoch), (3, 1));
    claim(&database, ("c", "other", 1), "b", 0).await;
    let rows = database.positions("c", &["t"]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].next_offset, rows[0].epoch, rows[0].owner.as_deref()), (7, 4, None));
}

#[tokio::test]
async fn a_backfill_gives_way_to_a_poll_from_the_cursor_on_and_goes_on_before_other_backfills() {
    let database = TestDatabase::create().await;
    let backfill = |month: &str| NewPoll {
        window: Window { on: WindowOn::CreatedDate, since: Some(time(month)), until: None },
        ..new_poll(None)
    };
    let submit = async |new: NewPoll| match database.submit_poll(&new, 100).await.unwrap() {
        Submitted::Created(poll) => poll.id,
        other => panic!("{other:?}"),
    };
    let first = submit(backfill("2026-01-01T00:00:00Z")).await;
    let second = submit(backfill("2026-02-01T00:00:00Z")).await;
    let running = acquired(&database, "a").await;
    assert_eq!(running.poll.id, first);
    database.record_page(first, running.token, &page(1, 5, "2026-03-01T00:00:00Z")).await.unwrap();
    assert!(!database.incremental_poll_waits().await.unwrap());
    assert!(!database.give_way(first, running.token).await.unwrap(), "another backfill is no reason");

    let incremental = submit(new_poll(None)).await;
    let position = async |id| database.poll(id).await.unwrap().unwrap().queue_position;
    assert_eq!((position(incremental).await, position(second).await), (Some(1), Some(2)));
    assert!(database.incremental_poll_waits().await.unwrap());
    assert!(database.give_way(first, running.token).await.unwrap());
    let late = database.record_page(first, running.token, &page(2, 5, "2026-03-02T00:00:00Z")).await;
    assert!(matches!(late, Err(LeaseError::Lost)), "{late:?}");
    assert_eq!((position(incremental).await, position(first).await), (Some(1), Some(2)));

    let overtaking = acquired(&database, "a").await;
    assert_eq!(overtaking.poll.id, incremental);
    assert!(database.acquire_poll("b", LEASE).await.unwrap().is_none(), "one runs at a time");
    database.finish_cancelled(incremental, overtaking.token).await.unwrap();
    let goes_on = acquired(&database, "a").await;
    assert_eq!((goes_on.poll.id, goes_on.poll.attempt, goes_on.poll.counts.fetched), (first, 1, 5));
    assert_eq!(goes_on.poll.cursor.map(|cursor| cursor.0), Some(time("2026-03-01T00:00:00Z")));
}
