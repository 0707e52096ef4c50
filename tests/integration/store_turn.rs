//! Batches of one process: the later one is prepared beside the earlier one, and written behind it.

use std::time::Duration;

use nyc311::store::Turn;
use nyc311_testkit::batches::{batch, incoming, outcome, request};
use nyc311_testkit::{TestDatabase, eventually};

/// Sessions of the database that are in the middle of a transaction and do nothing.
const PREPARED: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and state = 'idle in transaction'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_waits_for_its_turn_with_its_rows_copied_but_not_for_long() {
    let database = TestDatabase::create().await;
    let (ended, mut turn) = Turn::after();
    let store = database.another_store();
    let later = tokio::spawn(async move {
        store.write_after(&mut turn, &batch([incoming(&request(2, 0, 1))])).await.unwrap()
    });
    eventually("the later batch is copied", async || (database.number(PREPARED).await == 1).then_some(()))
        .await;
    // The earlier one is not in its way, nor it in the earlier one's.
    database.write(&batch([incoming(&request(1, 0, 1))])).await.unwrap();
    let stored = "select count(*) from nyc311.service_request";
    assert_eq!(database.number(stored).await, 1);
    // An open transaction would hold back what others clean up, and the server ends it after a while.
    eventually("the transaction was given back", async || {
        (database.number(PREPARED).await == 0).then_some(())
    })
    .await;
    assert_eq!(database.number(stored).await, 1);
    drop(ended);
    let summary = later.await.unwrap();
    assert_eq!(outcome(&summary), (1, 0, 0, 0));
    assert!(summary.duration < Duration::from_secs(5), "the wait is no part of it: {:?}", summary.duration);
    assert_eq!(database.number(stored).await, 2);
}
