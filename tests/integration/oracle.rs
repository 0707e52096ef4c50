//! The oracle itself: it must be able to fail.

use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{batch, incoming, request};
use nyc311_testkit::oracle::{assert_recounts, differences, is_zero, rollups, tables, tables_of};

/// A database with some requests in it.
async fn filled() -> TestDatabase {
    let database = TestDatabase::create().await;
    database.write(&batch((1..=20).map(|key| incoming(&request(key, 0, 1))))).await.unwrap();
    database
}

#[tokio::test]
async fn a_changed_cell_of_any_rollup_and_a_changed_mark_differ_from_the_recount() {
    let database = filled().await;
    assert_recounts(&database).await;
    let mut client = database.client().await.unwrap();
    let rollups = rollups(&client).await;
    assert!(rollups.len() >= 3, "{rollups:?}");
    for rollup in rollups {
        for change in ["set", "delete"] {
            let transaction = client.transaction().await.unwrap();
            transaction.batch_execute("set local session_replication_role = replica").await.unwrap();
            let zero = is_zero(&transaction, &rollup).await;
            let column = zero.split(' ').next().unwrap().to_owned();
            let one = format!("ctid = (select ctid from nyc311.{rollup} where not ({zero}) limit 1)");
            let sql = match change {
                "set" => format!("update nyc311.{rollup} set {column} = {column} + 1 where {one}"),
                _ => format!("delete from nyc311.{rollup} where {one}"),
            };
            assert_eq!(transaction.execute(&sql, &[]).await.unwrap(), 1, "{rollup}");
            let found = differences(&transaction).await;
            assert!(found.iter().any(|cell| cell.starts_with(&rollup)), "{rollup}, {change}: {found:?}");
            transaction.rollback().await.unwrap();
        }
    }
    let transaction = client.transaction().await.unwrap();
    transaction
        .batch_execute(
            "set local session_replication_role = replica;
             update nyc311.service_request set duplicate_of = 1 where unique_key = 7",
        )
        .await
        .unwrap();
    assert!(differences(&transaction).await.iter().any(|mark| mark.starts_with("duplicate_of of 7")));
}

#[tokio::test]
async fn a_changed_row_of_any_table_changes_what_the_tables_say() {
    let database = filled().await;
    let before = tables(&database).await;
    let mut client = database.client().await.unwrap();
    for (table, change) in [
        ("service_request", "set landmark = 'by hand' where unique_key = 3"),
        ("source_text", "set value = 'by hand'"),
        ("rollup_daily", "set opened = opened + 1 where opened > 0"),
        ("rollup_response_monthly", "set by_opened = by_opened + 1 where by_opened > 0"),
        ("rollup_quality_daily", "set requests = requests + 1"),
        ("source_term", "set known = not known"),
        ("quality_flag", "set meaning = 'another' where bit = 0"),
        ("response_bucket", "set to_hours = to_hours + 1 where bucket = 1"),
    ] {
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute("set local session_replication_role = replica").await.unwrap();
        let changed = transaction.execute(&format!("update nyc311.{table} {change}"), &[]).await.unwrap();
        assert!(changed > 0, "{table}");
        assert_ne!(tables_of(&transaction).await, before, "{table}");
        transaction.rollback().await.unwrap();
    }
    assert_eq!(tables(&database).await, before);
}
