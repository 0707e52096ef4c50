//! What a write reads: what the batch touches, by an index, never what a table holds.

use std::time::Duration;

use nyc311::config::DatabaseSettings;
use nyc311::store::{IncomingRow, Store};
use nyc311_domain::QualityFlags;
use nyc311_testkit::batches::{batch, incoming, request};
use nyc311_testkit::{TestDatabase, eventually};
use serde_json::{Value, json};

const ROWS: i64 = 500;

/// A version of each of some keys. Every tenth second has two requests that are likely one.
fn versions(first_key: i64, version: i64) -> Vec<IncomingRow> {
    let keys = first_key..first_key + ROWS;
    keys.map(|key| {
        let mut request = request(key, version, 1);
        request.quality_flags = QualityFlags::default();
        let second = if key % 10 == 1 { key - 1 } else { key };
        let begin: jiff::Timestamp = "2026-04-12T05:18:41Z".parse().unwrap();
        request.created_at = begin + jiff::SignedDuration::from_secs(second);
        request.incident_zip = Some("10007".into());
        incoming(&request)
    })
    .collect()
}

/// Returns how many rows were read by scans of whole tables that grow with the source.
async fn scanned(database: &TestDatabase) -> Value {
    database
        .json(
            "select relname, seq_tup_read from pg_stat_user_tables
             where seq_tup_read > 0
               and (relname like 'service_request%' or relname = 'source_text' or relname in (select name from nyc311.rollup))",
        )
        .await
}

#[tokio::test]
async fn no_table_is_read_whole_for_a_batch_whatever_the_planner_believes_of_it() {
    let database = TestDatabase::create().await;
    // As between the beginning of a first poll and the first analyze, for ever.
    database
        .execute(
            "do $$ declare relation regclass; begin
                 for relation in select oid from pg_class where relnamespace = 'nyc311'::regnamespace and relkind = 'r'
                 loop execute format('alter table %s set (autovacuum_enabled = off)', relation); end loop;
             end $$",
        )
        .await;
    for version in [2, 1, 4, 4] {
        for first_key in (0..10).map(|index| index * ROWS) {
            database.write(&batch(versions(first_key, version))).await.unwrap();
        }
    }
    // Sessions tell of what they read when they are idle.
    eventually("all rows are counted", async || {
        let inserted = "select n_tup_ins from pg_stat_user_tables where relname = 'service_request_row'";
        (database.number(inserted).await == 10 * ROWS).then_some(())
    })
    .await;
    assert_eq!(scanned(&database).await, json!([]), "rows read by scans of whole tables");
    let marked = "select count(*) from nyc311.service_request where duplicate_of is not null";
    assert_eq!(database.number(marked).await, ROWS, "there was nothing to mark");
}

#[tokio::test]
async fn session_that_began_with_marks_joins_the_rows_of_a_large_update_as_any_other() {
    const MANY: i64 = 10_000;
    let database = TestDatabase::create().await;
    // A statement takes a twentieth of this, or longer where each row is compared with each.
    let settings =
        DatabaseSettings { statement_timeout: Duration::from_secs(8), ..database.settings.clone() };
    let store = Store::new(&settings).unwrap();
    // The first ones are likely one request, and so marked.
    let rows = |count: i64, revision| {
        batch((1..=count).map(|key| {
            let mut request = request(key, 0, revision);
            if key > 2 {
                (request.latitude, request.longitude) = (None, None);
            }
            (request.created_at, request.quality_flags) =
                ("2026-04-12T05:18:41Z".parse().unwrap(), QualityFlags::default());
            incoming(&request)
        }))
    };
    store.write(&rows(2, 1)).await.unwrap();
    let marked = "select count(*) from nyc311.service_request where duplicate_of is not null";
    assert_eq!(database.number(marked).await, 1);
    store.write(&rows(MANY, 1)).await.unwrap();
    assert_eq!(store.write(&rows(MANY, 2)).await.unwrap().reenriched, MANY as u64);
}
