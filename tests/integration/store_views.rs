//! Dead letters, the timeline, quality flags and percentiles.

use nyc311::store::{IncomingRow, LetterSelection};
use nyc311_domain::quality;
use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{batch, dead_letter, incoming, request};
use serde_json::json;

async fn states(database: &TestDatabase) -> serde_json::Value {
    let query = "select convert_from(payload, 'UTF8') as payload, state from nyc311.dead_letter";
    let rows = database.json(query).await;
    let state = |row: &serde_json::Value| (row["payload"].as_str().unwrap().to_owned(), row["state"].clone());
    rows.as_array().unwrap().iter().map(state).collect()
}

#[tokio::test]
async fn a_replayed_dead_letter_is_resolved_by_its_row_or_opened_by_its_next_failure() {
    let database = TestDatabase::create().await;
    let mut write = batch([]);
    write.dead_letters = vec![dead_letter(b"good"), dead_letter(b"bad"), dead_letter(b"late")];
    database.write(&write).await.unwrap();
    assert_eq!(database.open_dead_letters().await.unwrap(), 3);

    let letters = database.dead_letters(&LetterSelection::default(), None, 10).await.unwrap();
    let keys: Vec<_> = letters.iter().map(|letter| letter.key).collect();
    database.replay(&keys, false, async |keys| Ok::<_, ()>(keys)).await.unwrap().unwrap();
    assert_eq!(database.open_dead_letters().await.unwrap(), 0);

    let good = dead_letter(b"good").payload_sha256();
    let mut write = batch([IncomingRow { replay_of: Some(good), ..incoming(&request(1, 0, 1)) }]);
    write.dead_letters = vec![dead_letter(b"bad")];
    database.write(&write).await.unwrap();
    let expected = json!({"good": "resolved", "bad": "open", "late": "replayed"});
    assert_eq!(states(&database).await, expected);
}

#[tokio::test]
async fn a_replay_leaves_alone_what_was_decided_while_it_waited() {
    let database = TestDatabase::create().await;
    let mut write = batch([]);
    write.dead_letters =
        ["kept", "discarded", "replayed", "resolved"].map(|text| dead_letter(text.as_bytes())).into();
    database.write(&write).await.unwrap();
    let letters = database.dead_letters(&LetterSelection::default(), None, 10).await.unwrap();
    let keys: Vec<_> = letters.iter().map(|letter| letter.key).collect();
    let decide =
        "update nyc311.dead_letter set state = convert_from(payload, 'UTF8') where payload <> 'kept'";
    for (again, expected) in [(false, vec!["kept"]), (true, vec!["kept", "replayed"])] {
        database.execute("update nyc311.dead_letter set state = 'open', replay_count = 0").await;
        let mut other = database.client().await.unwrap();
        let transaction = other.transaction().await.unwrap();
        transaction.batch_execute(decide).await.unwrap();
        let store = database.another_store();
        let mut sent = Vec::new();
        let replay = store.replay(&keys, again, async |keys| {
            sent.clone_from(&keys);
            Ok::<_, ()>(keys)
        });
        let decision = async {
            let waiting = "select count(*) from pg_stat_activity
                           where datname = current_database() and wait_event_type = 'Lock'";
            while database.number(waiting).await == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            transaction.commit().await.unwrap();
        };
        let (replayed, ()) = tokio::join!(replay, decision);
        assert_eq!(replayed.unwrap().unwrap().len(), expected.len());
        let mut texts: Vec<_> = letters
            .iter()
            .filter(|letter| sent.contains(&letter.key))
            .map(|letter| letter.payload.clone())
            .collect();
        texts.sort();
        assert_eq!(texts, expected);
        let left = json!({"kept": "replayed", "discarded": "discarded", "replayed": "replayed", "resolved": "resolved"});
        assert_eq!(states(&database).await, left);
        let counted = "select count(*) from nyc311.dead_letter where replay_count = 1";
        assert_eq!(database.number(counted).await, i64::try_from(expected.len()).unwrap());
    }
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page() {
    let database = TestDatabase::create().await;
    let mut write = batch([]);
    write.dead_letters = vec![dead_letter(b"1"), dead_letter(b"2"), dead_letter(b"3")];
    database.write(&write).await.unwrap();
    let mut seen = vec![];
    let mut after = None;
    loop {
        let page = database.dead_letters(&LetterSelection::default(), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.first_seen_at, last.key));
        seen.extend(page.into_iter().map(|letter| letter.payload));
    }
    seen.sort();
    assert_eq!(seen, ["1", "2", "3"]);
}

#[tokio::test]
async fn the_timeline_has_one_row_for_each_change() {
    let database = TestDatabase::create().await;
    let mut rows = vec![];
    for (version, state) in [(0, "open"), (2, "open"), (4, "in_progress"), (6, "closed"), (8, "closed")] {
        let mut request = request(1, version, 1);
        request.state = state.into();
        request.status = None;
        request.agency = "NYPD".into();
        request.borough = None;
        request.closed_at = None;
        rows.push(incoming(&request));
    }
    for index in [3, 0, 4, 2, 1] {
        database.write(&batch([rows[index].clone()])).await.unwrap();
    }
    let timeline = database
        .json(
            "select version_no, state, previous_state, valid_from = timestamptz '2026-02-27T22:00:00Z' as first,
                    valid_until is null as last, is_current
             from nyc311.service_request_timeline order by version_no",
        )
        .await;
    let stretch = |number: i64, state: &str, previous: Option<&str>| {
        json!({"version_no": number, "state": state, "previous_state": previous, "first": number == 1,
            "last": number == 3, "is_current": number == 3})
    };
    let expected = json!([
        stretch(1, "open", None),
        stretch(2, "in_progress", Some("open")),
        stretch(3, "closed", Some("in_progress"))
    ]);
    assert_eq!(timeline, expected);
}

#[tokio::test]
async fn quality_flags_are_listed_by_name() {
    let database = TestDatabase::create().await;
    assert_eq!(
        database.number("select count(*) from nyc311.quality_flag").await,
        i64::try_from(quality::ALL.len()).unwrap()
    );
    let mut flagged = request(1, 0, 1);
    flagged.quality_flags =
        nyc311_domain::QualityFlags::from_bits(1 << quality::ALL[0].bit | 1 << quality::ALL[1].bit);
    database.write(&batch([incoming(&flagged)])).await.unwrap();
    let expected = json!([{"name": quality::ALL[0].name}, {"name": quality::ALL[1].name}]);
    let query = "select name from nyc311.service_request_quality order by name";
    let mut names = database.json(query).await;
    assert_eq!(names.as_array_mut().unwrap().len(), 2);
    let sorted = |value: &serde_json::Value| {
        let mut names: Vec<String> =
            value.as_array().unwrap().iter().map(|row| row["name"].to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(sorted(&names), sorted(&expected));
    let daily = database.json("select name from nyc311.quality_flag_daily where requests = 1").await;
    assert_eq!(sorted(&daily), sorted(&expected));
}

#[tokio::test]
async fn percentiles_come_from_the_buckets() {
    let database = TestDatabase::create().await;
    let percentile = |p: &str, rows: &str| {
        format!(
            "select nyc311.response_percentile(bucket, n, {p}) as hours
             from (values {rows}) h (bucket, n)"
        )
    };
    let bucket = |hours: &str| format!("nyc311.response_bucket_of({hours})");
    // all of 1 to 1.25 hours: the median is in the middle
    let one = format!("({}, 10)", bucket("1.1"));
    assert_eq!(database.json(&percentile("0.5", &one)).await, json!([{"hours": 1.125}]));
    let two = format!("({}, 1), ({}, 9)", bucket("0"), bucket("24"));
    assert_eq!(database.json(&percentile("0.1", &two)).await, json!([{"hours": 1.0 / 60.0}]));
    let open_ended = format!("({}, 5)", bucket("99999"));
    assert_eq!(database.json(&percentile("0.9", &open_ended)).await, json!([{"hours": 24000}]));
    assert_eq!(database.json(&percentile("0.5", "(1, 0)")).await, json!([{"hours": null}]));
    assert_eq!(database.number("select count(*) from nyc311.response_bucket").await, 73);
    let nothing = "select nyc311.response_percentile(bucket, by_opened, 0.5) as hours
                   from nyc311.rollup_response_monthly";
    assert_eq!(database.json(nothing).await, json!([{"hours": null}]));
}

#[tokio::test]
async fn percentiles_of_sums_by_bucket_are_those_of_the_cells() {
    let database = TestDatabase::create().await;
    database.write(&batch((1..=400).map(|key| incoming(&request(key, 0, 1))))).await.unwrap();
    let by_agency = |histogram: &str| {
        format!(
            "select agency, nyc311.response_percentile(bucket, n, 0.5) as half,
                    nyc311.response_percentile(bucket, n, 0.9) as nine_in_ten
             from (select agency, bucket, {histogram}) h group by agency order by agency"
        )
    };
    let cells = by_agency("by_opened as n from nyc311.rollup_response_monthly");
    let sums = by_agency("sum(by_opened) as n from nyc311.rollup_response_monthly group by agency, bucket");
    let expected = database.json(&cells).await;
    assert_eq!(expected.as_array().unwrap().len(), 2, "{expected}");
    assert_eq!(database.json(&sums).await, expected);
}

#[tokio::test]
async fn placeholder_with_an_offset_counts_where_the_placeholder_does() {
    let tables = async |offset: &str| {
        let database = TestDatabase::create().await;
        let rows = ["created_date", "closed_date", "due_date"].into_iter().enumerate().map(|(key, field)| {
            let mut row = json!({
                "unique_key": (key + 1).to_string(),
                "created_date": "2026-05-10T10:15:30.000",
                "closed_date": "2026-05-10T12:45:30.000",
                "agency": "NYPD",
                "complaint_type": "Noise - Residential",
                "status": "Closed",
                "borough": "BRONX",
                ":version": "rv-1",
                ":updated_at": "2026-05-11T01:37:29.631Z",
            });
            row[field] = json!(format!("1900-01-01T00:00:00.000{offset}"));
            incoming(&nyc311_domain::enrich(row.to_string().as_bytes()).unwrap())
        });
        database.write(&batch(rows)).await.unwrap();
        let longest = database.number("select max(response_hours) * 2 from nyc311.service_request").await;
        assert_eq!(longest, 5, "hours of a request without a placeholder, doubled");
        assert_eq!(
            database.number("select count(*) from nyc311.rollup_daily where day < '1900-01-01'").await,
            0
        );
        [
            database.json("select * from nyc311.rollup_daily order by day, closed").await,
            database.json("select * from nyc311.rollup_response_monthly order by month, bucket").await,
            database.json("select * from nyc311.rollup_quality_daily order by day, bit").await,
        ]
    };
    let local = tables("").await;
    for offset in ["Z", "+00:00", "-05:00"] {
        assert_eq!(tables(offset).await, local, "{offset}");
    }
}
