//! The write transaction: promise 6 (the tables are a function of the set of versions), promise 7 (rollups
//! equal a recount), fencing, refused rows, counts.

use std::time::Duration;

use bytes::Bytes;
use nyc311::config::DatabaseSettings;
use nyc311::store::polls::{NewPoll, Submitted, Trigger, Window, WindowOn};
use nyc311::store::{DeadLetter, IncomingRow, Store, StoreError, WriteError};
use nyc311_domain::{QualityFlags, ServiceRequest};
use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{CLUSTER, TOPIC, advance, batch, dead_letter, incoming, outcome, request};
use nyc311_testkit::logs::claim;
use nyc311_testkit::oracle::{Tables, assert_recounts, tables};
use serde_json::{Value, json};
use uuid::Uuid;

/// Some versions of some keys, some of them under two revisions of the rules.
fn versions(draw: &mut fastrand::Rng) -> Vec<IncomingRow> {
    let mut rows = vec![];
    for key in 1..=60 {
        for version in 0..draw.i64(1..6) {
            rows.push(incoming(&request(key, version, 1)));
            if draw.u8(0..4) == 0 {
                rows.push(incoming(&request(key, version, 2)));
            }
        }
    }
    rows
}

/// The rows in another order, some of them again, cut into batches anywhere.
fn deliveries(rows: &[IncomingRow], draw: &mut fastrand::Rng) -> Vec<Vec<IncomingRow>> {
    let mut rows = rows.to_vec();
    for _ in 0..rows.len() / 2 {
        rows.push(rows[draw.usize(0..rows.len())].clone());
    }
    draw.shuffle(&mut rows);
    let mut batches = vec![];
    while !rows.is_empty() {
        let size = draw.usize(1..=rows.len().min(90));
        batches.push(rows.split_off(rows.len() - size));
    }
    batches
}

#[tokio::test]
async fn any_order_batching_and_repetition_end_in_the_same_tables() {
    let mut draw = fastrand::Rng::with_seed(311);
    let rows = versions(&mut draw);
    let mut expected: Option<Tables> = None;
    for round in 0..6 {
        let database = TestDatabase::create().await;
        let mut total = 0;
        let mut delivered = 0;
        if round == 0 {
            database.write(&batch(rows.clone())).await.unwrap();
        } else {
            for rows in deliveries(&rows, &mut draw) {
                delivered += rows.len() as u64;
                let summary = database.write(&batch(rows)).await.unwrap();
                total += summary.stored + summary.duplicate + summary.reenriched;
                assert_recounts(&database).await;
            }
        }
        assert_eq!(total, delivered);
        let found = tables(&database).await;
        assert_eq!(database.count("service_request").await, 60);
        match &expected {
            None => expected = Some(found),
            Some(expected) => assert_eq!(&found, expected, "round {round}"),
        }
    }
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let mut draw = fastrand::Rng::with_seed(7);
    let rows = versions(&mut draw);
    let alone = TestDatabase::create().await;
    alone.write(&batch(rows.clone())).await.unwrap();

    let database = TestDatabase::create().await;
    let mut writers = vec![];
    for seed in 0..4 {
        let store = database.another_store();
        let batches = deliveries(&rows, &mut fastrand::Rng::with_seed(seed));
        writers.push(tokio::spawn(async move {
            for rows in batches {
                store.write(&batch(rows)).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_recounts(&database).await;
    assert_eq!(tables(&database).await, tables(&alone).await);
}

#[tokio::test]
async fn a_late_version_goes_to_history() {
    let database = TestDatabase::create().await;
    database.write(&batch([incoming(&request(1, 4, 1))])).await.unwrap();
    let current = database.json("select * from nyc311.service_request").await;
    let summary = database.write(&batch([incoming(&request(1, 2, 1))])).await.unwrap();
    assert_eq!(outcome(&summary), (1, 0, 0, 0));
    assert_eq!(database.json("select * from nyc311.service_request").await, current);
    assert_eq!(database.count("service_request_history").await, 1);
}

#[tokio::test]
async fn versions_of_one_time_are_ordered_by_the_bytes_of_their_version() {
    let database = TestDatabase::create().await;
    // in most languages' order ä comes before b
    database.write(&batch([incoming(&request(1, 1, 1)), incoming(&request(1, 0, 1))])).await.unwrap();
    let version = database.json("select source_version from nyc311.service_request").await;
    assert_eq!(version, json!([{ "source_version": "rv-Ä" }]));
}

#[tokio::test]
async fn a_known_version_changes_nothing() {
    let database = TestDatabase::create().await;
    let rows = || (0..4).map(|version| incoming(&request(1, version, 1)));
    let summary = database.write(&batch(rows())).await.unwrap();
    assert_eq!(outcome(&summary), (4, 0, 0, 0));
    let before = database.json("select * from nyc311.service_request").await;
    let summary = database.write(&batch(rows())).await.unwrap();
    assert_eq!(outcome(&summary), (0, 4, 0, 0));
    // our clocks included
    assert_eq!(database.json("select * from nyc311.service_request").await, before);
    assert_eq!(database.count("service_request_history").await, 3);
}

#[tokio::test]
async fn a_higher_revision_replaces_in_place_without_history() {
    let database = TestDatabase::create().await;
    let rows = |revision| (0..3).map(move |version| incoming(&request(1, version, revision)));
    database.write(&batch(rows(1))).await.unwrap();
    let summary = database.write(&batch(rows(2))).await.unwrap();
    assert_eq!(outcome(&summary), (0, 0, 3, 0));
    assert_eq!(database.count("service_request_history where rules_revision = 2").await, 2);
    assert_eq!(database.count("service_request where rules_revision = 2").await, 1);
    let summary = database.write(&batch(rows(1))).await.unwrap();
    assert_eq!(outcome(&summary), (0, 3, 0, 0));
    assert_eq!(database.count("service_request_history").await, 2);
    assert_recounts(&database).await;
}

#[tokio::test]
async fn a_version_that_a_batch_brings_again_with_its_successor_is_a_duplicate() {
    let database = TestDatabase::create().await;
    database.write(&batch([incoming(&request(1, 0, 1))])).await.unwrap();
    let both = [incoming(&request(1, 0, 1)), incoming(&request(1, 2, 1))];
    let summary = database.write(&batch(both)).await.unwrap();
    assert_eq!(outcome(&summary), (1, 1, 0, 0));
    let both = [incoming(&request(1, 2, 2)), incoming(&request(1, 4, 1))];
    let summary = database.write(&batch(both)).await.unwrap();
    assert_eq!(outcome(&summary), (1, 0, 1, 0));
    assert_eq!(database.count("service_request_history").await, 2);
}

#[tokio::test]
async fn rows_changed_by_hand_keep_the_rollups_right() {
    let database = TestDatabase::create().await;
    database.write(&batch((1..=40).map(|key| incoming(&request(key, 0, 1))))).await.unwrap();
    for statement in [
        "delete from nyc311.service_request where unique_key % 3 = 0",
        "update nyc311.service_request set borough = 'STATEN ISLAND' where unique_key % 4 = 0",
        "update nyc311.service_request set withdrawn_at = now() where unique_key % 5 = 0",
        "update nyc311.service_request set is_open = true, response_hours = null where unique_key % 7 = 0",
        "insert into nyc311.service_request (unique_key, source_updated_at, rules_revision, created_at, state,
             is_open, agency, complaint_type) values (99, now(), 1, now(), 'open', true, 'X', 'Y')",
        "begin; delete from nyc311.service_request where unique_key = 1; rollback",
        "begin; delete from nyc311.service_request where unique_key = 2;
         delete from nyc311.service_request where unique_key = 4; commit",
    ] {
        database.execute(statement).await;
        assert_recounts(&database).await;
    }
    database.write(&batch((1..=40).map(|key| incoming(&request(key, 2, 1))))).await.unwrap();
    assert_recounts(&database).await;
    assert_eq!(
        database.number("select count(*) from nyc311.service_request where withdrawn_at is not null").await,
        0
    );
    database.execute("truncate nyc311.service_request_row").await;
    assert_eq!(database.count("rollup_daily").await, 0);
    assert_eq!(database.count("rollup_response_monthly").await, 0);
}

type Change<'a> = &'a dyn Fn(&mut ServiceRequest<'static>);

/// The marks, as pairs of key and first key.
async fn duplicates(database: &TestDatabase) -> Value {
    database
        .json(
            "select jsonb_build_array(unique_key, duplicate_of) as pair from nyc311.service_request
             where duplicate_of is not null order by unique_key",
        )
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["pair"].clone())
        .collect()
}

#[tokio::test]
async fn likely_duplicates_are_marked_by_the_least_key_whenever_they_come() {
    let database = TestDatabase::create().await;
    let twin = |key: i64, version: i64, change: Change| {
        let mut twin = request(key, version, 1);
        twin.created_at = "2026-04-12T05:18:41Z".parse().unwrap();
        twin.quality_flags = QualityFlags::default();
        change(&mut twin);
        batch([incoming(&twin)])
    };
    let same = |_: &mut ServiceRequest<'static>| {};
    database.write(&twin(50, 0, &same)).await.unwrap();
    assert_eq!(duplicates(&database).await, json!([]));
    database.write(&twin(70, 0, &same)).await.unwrap();
    assert_eq!(duplicates(&database).await, json!([[70, 50]]));
    // The least key comes last.
    database.write(&twin(30, 0, &same)).await.unwrap();
    assert_eq!(duplicates(&database).await, json!([[50, 30], [70, 30]]));

    // Another second, thing or place, only a day, or an unknown place: none of them is a twin.
    let others: [(i64, Change); 6] = [
        (10, &|row| row.created_at += jiff::SignedDuration::from_secs(1)),
        (11, &|row| row.descriptor = Some("Other".into())),
        (12, &|row| row.latitude = Some(40.6)),
        (13, &|row| row.quality_flags = QualityFlags::CREATED_AT_MIDNIGHT),
        (14, &|row| (row.latitude, row.longitude) = (None, None)),
        (17, &|row| row.quality_flags = QualityFlags::POINT_OUTSIDE_CITY),
    ];
    for (key, change) in others {
        database.write(&twin(key, 0, change)).await.unwrap();
    }
    assert_eq!(duplicates(&database).await, json!([[50, 30], [70, 30]]));
    // Where no point is known, the words tell the place.
    for key in [15, 16] {
        let words = |row: &mut ServiceRequest<'static>| {
            (row.latitude, row.incident_address) = (None, Some("5 MAIN STREET".into()));
        };
        database.write(&twin(key, 0, &words)).await.unwrap();
    }
    assert_eq!(duplicates(&database).await, json!([[16, 15], [50, 30], [70, 30]]));

    // A newer version says that the first one was about something else.
    database.write(&twin(30, 2, &|row| row.complaint_type = "Rodent".into())).await.unwrap();
    assert_eq!(duplicates(&database).await, json!([[16, 15], [70, 50]]));
    database.execute("update nyc311.service_request set withdrawn_at = now() where unique_key = 50").await;
    assert_eq!(duplicates(&database).await, json!([[16, 15]]));
    database.execute("update nyc311.service_request set withdrawn_at = null where unique_key = 50").await;
    database.execute("delete from nyc311.service_request where unique_key = 15").await;
    assert_eq!(duplicates(&database).await, json!([[70, 50]]));
    assert_recounts(&database).await;
}

#[tokio::test]
async fn a_deleted_row_comes_back_by_a_replay() {
    let database = TestDatabase::create().await;
    let rows = || (0..4).map(|version| incoming(&request(1, version, 1)));
    database.write(&batch(rows())).await.unwrap();
    let before = tables(&database).await;
    database.execute("delete from nyc311.service_request").await;
    for row in rows() {
        database.write(&batch([row])).await.unwrap();
    }
    assert_eq!(tables(&database).await, before);
}

#[tokio::test]
async fn positions_move_with_the_rows_and_a_stale_epoch_or_a_gap_changes_nothing() {
    let database = TestDatabase::create().await;
    let old = claim(&database, (CLUSTER, TOPIC, 0), "a", 10).await;
    claim(&database, (CLUSTER, TOPIC, 1), "a", 0).await;
    let mut first = batch([incoming(&request(1, 0, 1))]);
    first.advances = vec![advance(1, 1, 0, 5), advance(0, old.epoch, 10, 12)];
    database.write(&first).await.unwrap();
    let next: Vec<i64> =
        database.positions(CLUSTER, &[TOPIC]).await.unwrap().iter().map(|row| row.next_offset).collect();
    assert_eq!(next, [12, 5]);

    let mut gap = batch([incoming(&request(2, 0, 1))]);
    gap.advances = vec![advance(0, old.epoch, 13, 20)];
    match database.write(&gap).await {
        Err(WriteError::Fenced { expected, found, .. }) => {
            assert_eq!((expected, found), ((old.epoch, 13), Some((old.epoch, 12))));
        }
        other => panic!("{other:?}"),
    }
    // the same batch once more, as after a connection lost during its commit
    assert!(matches!(database.write(&first).await, Err(WriteError::Fenced { .. })));

    claim(&database, (CLUSTER, TOPIC, 0), "b", 0).await;
    let mut stale = batch([incoming(&request(2, 0, 1))]);
    stale.advances = vec![advance(0, old.epoch, 12, 20)];
    assert!(matches!(database.write(&stale).await, Err(WriteError::Fenced { .. })));

    let mut unknown = batch([incoming(&request(2, 0, 1))]);
    unknown.advances = vec![advance(4, 1, 0, 1)];
    assert!(matches!(database.write(&unknown).await, Err(WriteError::Fenced { found: None, .. })));
    assert_eq!(database.count("service_request").await, 1);
}

#[tokio::test]
async fn positions_move_without_rows_too() {
    let database = TestDatabase::create().await;
    let position = claim(&database, (CLUSTER, TOPIC, 0), "a", 0).await;
    let mut empty = batch([]);
    empty.advances = vec![advance(0, position.epoch, 0, 2)];
    assert_eq!(outcome(&database.write(&empty).await.unwrap()), (0, 0, 0, 0));
    assert_eq!(database.positions(CLUSTER, &[TOPIC]).await.unwrap()[0].next_offset, 2);
}

#[tokio::test]
async fn refused_rows_become_dead_letters_and_the_rest_is_stored() {
    let database = TestDatabase::create().await;
    let position = claim(&database, (CLUSTER, TOPIC, 0), "a", 0).await;
    let mut rows: Vec<IncomingRow> = (1..=200).map(|key| incoming(&request(key, 0, 1))).collect();
    let mut bad = request(77, 4, 1);
    bad.state = "no such state".into();
    rows.push(incoming(&bad));
    let mut long = request(150, 0, 1);
    // too long for the key of a rollup
    long.complaint_type = (0..9000).map(|_| fastrand::alphanumeric()).collect::<String>().into();
    rows[149] = incoming(&long);
    let mut nul = request(9, 0, 1);
    nul.city = Some("a\0b".into());
    rows[8] = incoming(&nul);
    let mut write = batch(rows);
    write.advances = vec![advance(0, position.epoch, 0, 500)];

    let summary = database.write(&write).await.unwrap();
    assert_eq!(outcome(&summary), (198, 0, 0, 3));
    assert_eq!(summary.refused, 3);
    assert_recounts(&database).await;
    let letters = database
        .json("select unique_key, stage, reason, left(detail, 5) as code from nyc311.dead_letter order by 1")
        .await;
    let letter = |key: i64, code: &str| json!({"unique_key": key, "stage": "writer", "reason": "refused_by_database", "code": code});
    assert_eq!(letters, json!([letter(9, "22021"), letter(77, "23514"), letter(150, "54000")]));
    // the version that the refused one would have superseded is current
    assert_eq!(database.count("service_request where unique_key = 77").await, 1);
    assert_eq!(database.positions(CLUSTER, &[TOPIC]).await.unwrap()[0].next_offset, 500);

    write.advances = vec![];
    assert_eq!(outcome(&database.write(&write).await.unwrap()), (0, 198, 0, 3));
    assert_eq!(database.count("dead_letter").await, 3);
}

#[tokio::test]
async fn a_value_that_cannot_be_read_becomes_a_dead_letter() {
    let database = TestDatabase::create().await;
    let mut row = incoming(&request(1, 0, 1));
    row.value = Bytes::from_static(b"{\"unique_key\":1,\"created_at\":\"yesterday\"}");
    row.offset = 12;
    let summary = database.write(&batch([row, incoming(&request(2, 0, 1))])).await.unwrap();
    assert_eq!(outcome(&summary), (1, 0, 0, 1));
    let letters =
        database.json("select stage, reason, topic, kafka_offset, state from nyc311.dead_letter").await;
    let expected = json!([{"stage": "aggregator", "reason": "enriched_unreadable", "topic": TOPIC,
        "kafka_offset": 12, "state": "open"}]);
    assert_eq!(letters, expected);
}

#[tokio::test]
async fn the_same_bytes_are_one_dead_letter_with_its_first_origin() {
    let database = TestDatabase::create().await;
    let mut write = batch([]);
    write.dead_letters = vec![dead_letter(b"[]"), DeadLetter { offset: Some(9), ..dead_letter(b"[]") }];
    assert_eq!(outcome(&database.write(&write).await.unwrap()), (0, 0, 0, 2));
    write.dead_letters = vec![DeadLetter { offset: Some(11), ..dead_letter(b"[]") }];
    database.write(&write).await.unwrap();
    let letters = database.json("select kafka_offset, state from nyc311.dead_letter").await;
    assert_eq!(letters, json!([{"kafka_offset": 7, "state": "open"}]));
}

async fn running_poll(store: &Store) -> (Uuid, Uuid) {
    let new = NewPoll {
        idempotency_key: None,
        trigger: Trigger::Cli,
        request: json!({}),
        window: Window { on: WindowOn::UpdatedAt, since: None, until: None },
    };
    assert!(matches!(store.submit_poll(&new, 9).await.unwrap(), Submitted::Created(_)));
    let leased = store.acquire_poll("a", Duration::from_secs(30)).await.unwrap().unwrap();
    (leased.poll.id, leased.token)
}

#[tokio::test]
async fn counts_of_a_poll_are_live_until_it_ends_and_frozen_then() {
    let database = TestDatabase::create().await;
    let (poll, token) = running_poll(&database).await;
    let of_poll = |row: IncomingRow| IncomingRow { poll_id: Some(poll), ..row };
    let rows = || (1..=10).map(|key| of_poll(incoming(&request(key, 0, 1))));
    let page = nyc311::store::polls::PageRecord { page: 1, rows: 12, published: 12, ..Default::default() };
    database.record_page(poll, token, &page).await.unwrap();

    let mut write = batch(rows().chain([of_poll(incoming(&request(1, 0, 1)))]));
    write.dead_letters = vec![DeadLetter { poll_id: Some(poll), ..dead_letter(b"1") }];
    write.rows.push(IncomingRow { poll_id: Some(Uuid::now_v7()), ..incoming(&request(11, 0, 1)) });
    database.write(&write).await.unwrap();
    let counts = database.poll(poll).await.unwrap().unwrap().counts;
    assert_eq!((counts.stored, counts.duplicate, counts.dead_lettered, counts.republished), (10, 1, 1, 0));

    database.write(&batch(rows().take(3))).await.unwrap();
    database.begin_storing(poll, token, None, &[(0, 15)]).await.unwrap();
    database.finish_poll(poll, token, "source").await.unwrap();
    let ended = database.poll(poll).await.unwrap().unwrap().counts;
    assert_eq!((ended.fetched, ended.republished, ended.duplicate), (12, 3, 4));
    assert_eq!(ended.fetched + ended.republished, ended.stored + ended.duplicate + ended.dead_lettered);

    // a rewind brings its rows once more
    database.write(&batch(rows())).await.unwrap();
    assert_eq!(database.poll(poll).await.unwrap().unwrap().counts, ended);
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_a_timeout_and_leaves_nothing() {
    let database = TestDatabase::create().await;
    database.write(&batch([incoming(&request(1, 0, 1))])).await.unwrap();
    let impatient = Store::new(&DatabaseSettings {
        lock_timeout: Duration::from_millis(100),
        ..database.settings.clone()
    })
    .unwrap();
    let mut client = database.client().await.unwrap();
    let holder = client.transaction().await.unwrap();
    holder.execute("select from nyc311.service_request for update", &[]).await.unwrap();
    let refused = impatient.write(&batch([incoming(&request(1, 2, 1))])).await;
    assert!(matches!(refused, Err(WriteError::Store(StoreError::Timeout { .. }))), "{refused:?}");
    holder.rollback().await.unwrap();
    impatient.write(&batch([incoming(&request(1, 2, 1))])).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_back_at_once() {
    let database = TestDatabase::create().await;
    database.ping().await.unwrap();
    database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    let nowhere = DatabaseSettings {
        url: nyc311::config::Secret::new("postgres://postgres@127.0.0.1:1/none"),
        ..DatabaseSettings::default()
    };
    let error = Store::new(&nowhere).unwrap().ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    database.write(&batch([incoming(&request(1, 0, 1))])).await.unwrap();
}
