//! What durable places say of Kafka's logs: ids, marks, losses that are noted once, statements that may be
//! repeated.

use std::time::Duration;

use jiff::Timestamp;
use nyc311::config::{DatabaseSettings, Secret};
use nyc311::kafka::{Acknowledged, Mark};
use nyc311::store::polls::{
    LeaseError, NewPoll, PageRecord, PollState, Submitted, Trigger, Window, WindowOn,
};
use nyc311::store::{Claim, DeadLetter, FoundLogs, LogLoss, LostPlace, RawStart, Store, TakenUp};
use nyc311_testkit::batches::{CLUSTER, TOPIC, advance, batch, dead_letter};
use nyc311_testkit::logs::{SOURCE, claim, commit, logs};
use nyc311_testkit::{Cut, Proxy, TestDatabase};
use serde_json::json;
use uuid::Uuid;

fn page(number: u64, raw_topic_id: &str, offsets: std::ops::Range<i64>) -> PageRecord {
    let reached: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let rows = u64::try_from(offsets.end - offsets.start).unwrap();
    PageRecord {
        page: number,
        rows,
        published: rows,
        cursor: Some((reached, format!("row-{number}"))),
        published_updated_at: Some(reached),
        source: SOURCE.to_owned(),
        cluster_id: CLUSTER.to_owned(),
        raw_topic: "raw".to_owned(),
        raw_topic_id: Some(raw_topic_id.to_owned()),
        acknowledged: vec![Acknowledged {
            partition: 0,
            first_offset: offsets.start,
            end_offset: offsets.end,
            last_appended_at_ms: Some(1_000 + offsets.end),
        }],
        ..PageRecord::default()
    }
}

async fn running_poll(store: &Store) -> (Uuid, Uuid) {
    let new = NewPoll {
        idempotency_key: None,
        trigger: Trigger::Api,
        request: json!({}),
        window: Window { on: WindowOn::UpdatedAt, since: None, until: None },
    };
    assert!(matches!(store.submit_poll(&new, 9).await.unwrap(), Submitted::Created(_)));
    let leased = store.acquire_poll("a", Duration::from_secs(30)).await.unwrap().unwrap();
    (leased.poll.id, leased.token)
}

#[tokio::test]
async fn a_position_of_another_log_is_not_taken_for_one_of_this() {
    let database = TestDatabase::create().await;
    let claim = async |id: &str| database.claim_position(CLUSTER, TOPIC, Some(id), 0, "a", 0).await.unwrap();
    let Claim::Taken { position, last: None } = claim("one").await else { panic!("it is new") };
    let mut write = batch([]);
    write.advances = vec![advance(0, position.epoch, 0, 7)];
    write.advances[0].last = Some(Mark { offset: 6, appended_at_ms: 77 });
    database.write(&write).await.unwrap();
    // a batch without records moves the position, and leaves the record that was seen
    write.advances = vec![advance(0, position.epoch, 7, 9)];
    database.write(&write).await.unwrap();
    let Claim::Taken { position, last } = claim("one").await else { panic!("it is the same log") };
    assert_eq!((position.next_offset, position.epoch), (9, 2));
    assert_eq!(last, Some(Mark { offset: 6, appended_at_ms: 77 }));
    assert_eq!(claim("two").await, Claim::OtherLog);
    assert_eq!(database.positions(CLUSTER, &[TOPIC]).await.unwrap()[0].epoch, 2);

    assert_eq!(database.take_up_logs(&logs(Some("two"), false)).await.unwrap(), TakenUp::LossNoted);
    let Claim::Taken { position, last } = claim("two").await else { panic!("the loss is noted") };
    assert_eq!((position.next_offset, position.epoch, last), (0, 4, None));
    assert_eq!(database.take_up_logs(&logs(Some("two"), false)).await.unwrap(), TakenUp::Known);
}

#[tokio::test]
async fn another_raw_log_is_noted_once_and_what_was_committed_for_the_old_one_is_worthless() {
    let database = TestDatabase::create().await;
    let (poll, token) = running_poll(&database).await;
    database.record_page(poll, token, &page(1, "one", 0..10)).await.unwrap();
    assert_eq!(database.take_up_logs(&logs(Some("one"), false)).await.unwrap(), TakenUp::Known);

    let unasked = FoundLogs { committed: None, ..logs(Some("two"), false) };
    assert_eq!(database.take_up_logs(&unasked).await.unwrap(), TakenUp::AskForCommitted);
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts.fetched, 10);
    assert_eq!(database.take_up_logs(&logs(Some("two"), false)).await.unwrap(), TakenUp::LossNoted);
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts.fetched, 0);
    let known = database.raw_positions(CLUSTER, "raw").await.unwrap();
    let superseded = RawStart { start_offset: 0, superseded_commit: Some(commit(900).to_string()) };
    assert_eq!((&known[0].start, &known[0].acknowledged), (&superseded, &None));
    assert_eq!(known[1].start, RawStart::default());

    let leased = database.acquire_poll("a", Duration::from_secs(30)).await.unwrap().unwrap();
    database.record_page(poll, leased.token, &page(1, "two", 0..10)).await.unwrap();
    assert_eq!(database.take_up_logs(&unasked).await.unwrap(), TakenUp::Known);
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts.fetched, 10);
}

#[tokio::test]
async fn a_topic_that_is_missing_is_noted_before_it_is_created_and_then_taken_up_without_a_second_loss() {
    let database = TestDatabase::create().await;
    let (poll, token) = running_poll(&database).await;
    database.record_page(poll, token, &page(1, "one", 0..10)).await.unwrap();
    assert_eq!(database.take_up_logs(&logs(None, true)).await.unwrap(), TakenUp::LossNoted);
    let leased = database.acquire_poll("a", Duration::from_secs(30)).await.unwrap().unwrap();
    assert_eq!(database.take_up_logs(&logs(Some("two"), false)).await.unwrap(), TakenUp::Known);
    database.record_page(poll, leased.token, &page(1, "two", 0..10)).await.unwrap();
    assert_eq!(database.take_up_logs(&logs(Some("two"), false)).await.unwrap(), TakenUp::Known);
}

#[tokio::test]
async fn a_loss_that_an_offset_has_told_of_is_noted_only_while_the_offset_is_still_there() {
    let database = TestDatabase::create().await;
    let (poll, token) = running_poll(&database).await;
    database.record_page(poll, token, &page(1, "one", 0..10)).await.unwrap();
    let old = claim(&database, (CLUSTER, TOPIC, 0), "slow", 50).await;
    // The slow process stands still; another one takes the partition over.
    let new = claim(&database, (CLUSTER, TOPIC, 0), "quick", 0).await;
    let loss = |epoch| LogLoss {
        cluster_id: CLUSTER,
        source: SOURCE,
        topic: TOPIC,
        partition: 0,
        topic_id: None,
        detail: "the log ends at 40".to_owned(),
        place: LostPlace::Position { epoch, next_offset: 50, start_offset: 3 },
    };
    assert_eq!(database.note_log_loss(&loss(old.epoch)).await.unwrap(), None);
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts.fetched, 10);
    let moved = database.note_log_loss(&loss(new.epoch)).await.unwrap().unwrap();
    assert_eq!((moved.next_offset, moved.epoch), (3, new.epoch + 1));
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts.fetched, 0);
}

#[tokio::test]
async fn where_the_enrichers_go_on_after_a_loss_is_kept_so_that_no_start_notes_it_again() {
    let database = TestDatabase::create().await;
    let start = RawStart { start_offset: 40, superseded_commit: Some(commit(7).to_string()) };
    let loss = LogLoss {
        cluster_id: CLUSTER,
        source: SOURCE,
        topic: "raw",
        partition: 0,
        topic_id: Some("one"),
        detail: "the log begins at 40".to_owned(),
        place: LostPlace::Enrichers { found: RawStart::default(), start: start.clone() },
    };
    assert!(database.note_log_loss(&loss).await.unwrap().is_some());
    let (poll, _) = running_poll(&database).await;
    database.execute("update nyc311.poll set fetched = 5").await;
    assert_eq!(database.note_log_loss(&loss).await.unwrap(), None);
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts.fetched, 5);
    let known = database.raw_positions(CLUSTER, "raw").await.unwrap();
    assert_eq!((&known[0].start, known[0].start.position(Some(&commit(7)))), (&start, 40));
    database.forget_raw_starts(CLUSTER, "raw").await.unwrap();
    assert_eq!(database.raw_positions(CLUSTER, "raw").await.unwrap()[0].start, RawStart::default());
}

#[tokio::test]
async fn rows_acknowledged_where_older_ones_were_tell_of_a_log_that_was_set_back() {
    let database = TestDatabase::create().await;
    let (poll, token) = running_poll(&database).await;
    database.record_page(poll, token, &page(1, "one", 0..10)).await.unwrap();
    database.record_page(poll, token, &page(2, "one", 10..20)).await.unwrap();
    let known = database.raw_positions(CLUSTER, "raw").await.unwrap();
    assert_eq!(known[0].acknowledged, Some((20, Some(Mark { offset: 19, appended_at_ms: 1_020 }))));
    // The log was set back to 12 in between.
    let refused = database.record_page(poll, token, &page(3, "one", 12..22)).await;
    assert!(matches!(refused, Err(LeaseError::Lost)), "{refused:?}");
    let sent_back = database.poll(poll).await.unwrap().unwrap();
    assert_eq!((sent_back.state, sent_back.cursor, sent_back.counts.pages), (PollState::Running, None, 0));
    let position = database.source_position(SOURCE).await.unwrap().unwrap();
    assert_eq!(position.published_updated_at, None);
    let leased = database.acquire_poll("a", Duration::from_secs(30)).await.unwrap().unwrap();
    database.record_page(poll, leased.token, &page(1, "one", 22..32)).await.unwrap();
}

#[tokio::test]
async fn a_page_whose_commit_was_answered_into_the_void_counts_once() {
    let database = TestDatabase::create().await;
    let (proxy, url) = Proxy::in_front_of(database.settings.url.expose()).await;
    let settings = DatabaseSettings { url: Secret::new(url), ..database.settings.clone() };
    let store = Store::new(&settings).unwrap();
    let (poll, token) = running_poll(&store).await;
    let mut first = page(1, "one", 0..500);
    first.dead_letters = vec![DeadLetter { poll_id: Some(poll), ..dead_letter(b"too large") }];
    proxy.cut("COMMIT", Cut::Answer, 1);
    let lost = store.record_page(poll, token, &first).await;
    assert!(matches!(&lost, Err(LeaseError::Store(error)) if error.is_unavailable()), "{lost:?}");
    assert_eq!(proxy.cuts(), 1);
    store.record_page(poll, token, &first).await.unwrap();
    let counts = store.poll(poll).await.unwrap().unwrap().counts;
    assert_eq!((counts.pages, counts.fetched, counts.published, counts.dead_lettered), (1, 500, 500, 1));

    // Neither the page before nor one too far is taken for the next.
    store.record_page(poll, token, &page(2, "one", 500..600)).await.unwrap();
    for wrong in [1, 4] {
        let refused = store.record_page(poll, token, &page(wrong, "one", 600..700)).await;
        assert!(matches!(refused, Err(LeaseError::Lost)), "{refused:?}");
    }

    // As must everything else that may be asked for twice.
    proxy.cut("COMMIT", Cut::Answer, 1);
    assert!(store.begin_storing(poll, token, Some("one"), &[(0, 600)]).await.is_err());
    store.begin_storing(poll, token, Some("one"), &[(0, 600)]).await.unwrap();
    proxy.cut("COMMIT", Cut::Answer, 1);
    assert!(store.take_up_logs(&logs(Some("two"), false)).await.is_err());
    assert_eq!(store.take_up_logs(&logs(Some("two"), false)).await.unwrap(), TakenUp::Known);
    let resumed = NewPoll {
        idempotency_key: Some("k".to_owned()),
        trigger: Trigger::Api,
        request: json!({}),
        window: Window { on: WindowOn::UpdatedAt, since: None, until: None },
    };
    proxy.cut("COMMIT", Cut::Answer, 1);
    assert!(store.submit_poll(&resumed, 9).await.is_err());
    let Submitted::Existing(queued) = store.submit_poll(&resumed, 9).await.unwrap() else {
        panic!("made twice")
    };
    proxy.cut("COMMIT", Cut::Answer, 1);
    assert!(store.cancel_poll(queued.id).await.is_err());
    store.cancel_poll(queued.id).await.unwrap();
    proxy.cut("COMMIT", Cut::Answer, 1);
    assert!(store.submit_poll(&resumed, 9).await.is_err());
    let Submitted::Existing(again) = store.submit_poll(&resumed, 9).await.unwrap() else {
        panic!("made twice")
    };
    assert_eq!((again.id, again.attempt, again.state), (queued.id, 2, PollState::Queued));
}

#[tokio::test]
async fn a_poll_of_which_rows_are_missing_goes_back_to_the_source_and_fails_in_the_end() {
    let database = TestDatabase::create().await;
    let (poll, mut token) = running_poll(&database).await;
    let mut from = 0;
    for round in 1..=4 {
        database.record_page(poll, token, &page(1, "one", from..from + 10)).await.unwrap();
        from += 10;
        // In each round nine of ten rows arrive: the sum of all rounds must not make up for the missing ones.
        database
            .execute(&format!(
                "insert into nyc311.poll_partition as n (poll_id, kafka_partition, stored) values ('{poll}', 0, 9)
                 on conflict (poll_id, kafka_partition) do update set stored = n.stored + 9"
            ))
            .await;
        database.begin_storing(poll, token, Some("one"), &[(0, from)]).await.unwrap();
        let finished = database.finish_poll(poll, token, SOURCE).await;
        assert!(matches!(finished, Err(LeaseError::Lost)), "{finished:?}");
        let position = database.source_position(SOURCE).await.unwrap().unwrap();
        assert_eq!((position.published_updated_at, position.stored_updated_at), (None, None));
        let sent_back = database.poll(poll).await.unwrap().unwrap();
        if round < 4 {
            assert_eq!((sent_back.state, sent_back.counts.fetched), (PollState::Running, 0));
            token = database.acquire_poll("a", Duration::from_secs(30)).await.unwrap().unwrap().token;
        } else {
            let error = sent_back.error.unwrap();
            assert_eq!(
                (sent_back.state, error.code.as_str(), error.retryable),
                (PollState::Failed, "rows_missing", true)
            );
            assert!(error.detail.contains("1 rows"), "{}", error.detail);
            assert_eq!((sent_back.counts.fetched, sent_back.counts.stored), (10, 36));
        }
    }
}
