//! Likely duplicates that come at the same time, by two writers: the marks equal a recount.

use nyc311::store::{IncomingRow, Store};
use nyc311_domain::QualityFlags;
use nyc311_testkit::batches::{batch, incoming, request};
use nyc311_testkit::oracle::assert_recounts;
use nyc311_testkit::{TestDatabase, eventually};

const ROUNDS: i64 = 40;
const SECONDS: i64 = 30;

/// One of the two requests of each second of a round.
fn twins(round: i64, which: i64) -> Vec<IncomingRow> {
    let seconds = round * SECONDS..(round + 1) * SECONDS;
    seconds
        .map(|second| {
            // the lesser key is now the one's, now the other's
            let mut twin = request(1 + 2 * second + (which + second) % 2, 0, 1);
            let begin: jiff::Timestamp = "2026-04-12T05:18:41Z".parse().unwrap();
            twin.created_at = begin + jiff::SignedDuration::from_secs(second);
            twin.quality_flags = QualityFlags::default();
            // no cell of a rollup in common, where one writer would wait for the other anyway
            twin.agency = ["NYPD", "DSNY"][which as usize].into();
            incoming(&twin)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_of_two_writers_at_the_same_time_are_marked_and_nobody_deadlocks() {
    let database = TestDatabase::create().await;
    let writers: [Store; 2] = [database.another_store(), database.another_store()];
    for round in 0..ROUNDS {
        let [one, other] = [0, 1].map(|which| {
            let store = writers[which as usize].clone();
            tokio::spawn(async move { store.write(&batch(twins(round, which))).await.unwrap() })
        });
        one.await.unwrap();
        other.await.unwrap();
    }
    assert_recounts(&database).await;
    let marked = "select count(*) from nyc311.service_request where duplicate_of is not null";
    assert_eq!(database.number(marked).await, ROUNDS * SECONDS);
    // Sessions tell of what they did when they end.
    drop(writers);
    eventually("all rows are counted", async || {
        let inserted = "select n_tup_ins from pg_stat_user_tables where relname = 'service_request_row'";
        (database.number(inserted).await == 2 * ROUNDS * SECONDS).then_some(())
    })
    .await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(database.number(deadlocks).await, 0);
}
