//! What the tables must say, whatever has happened: the one comparison of all tables, and the one of everything that is
//! kept with its recount.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use serde_json::Value;

use crate::store_database::TestDatabase;
use crate::store_rows::{batch, incoming, request};

/// The tables that are the program's own: positions, clocks and names of runs. Every other one is compared.
const OWN_TABLES: [&str; 7] = [
    "consumer_position",
    "instance",
    "migration",
    "poll",
    "poll_partition",
    "raw_position",
    "source_position",
];

/// The columns that are clocks and origins of the program's own (promise 6). Every other one is compared.
const OWN_COLUMNS: [&str; 12] = [
    "first_seen_at",
    "headers",
    "kafka_cluster_id",
    "kafka_offset",
    "kafka_partition",
    "last_changed_at",
    "poll_id",
    "rejected_by",
    "replay_count",
    "replayed_at",
    "topic",
    "vanished_at",
];

async fn texts(client: &impl GenericClient, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn rollups(client: &impl GenericClient) -> Vec<String> {
    texts(client, "select name from nyc311.rollup order by position").await
}

/// Returns the condition by which a row of a rollup is a cell of zeros, which equals no cell: every count of it is 0.
async fn is_zero(client: &impl GenericClient, rollup: &str) -> String {
    let counts = client
        .query(
            "select quote_ident(a.attname) from pg_attribute a
             where a.attrelid = ('nyc311.' || $1::text)::regclass and a.attnum > 0 and not a.attisdropped
               and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
               and not exists (select from pg_index i where i.indrelid = a.attrelid and i.indisprimary
                               and a.attnum = any (i.indkey))",
            &[&rollup],
        )
        .await
        .unwrap();
    assert!(!counts.is_empty(), "{rollup} counts nothing");
    counts.iter().map(|row| format!("{} = 0", row.get::<_, String>(0))).collect::<Vec<_>>().join(" and ")
}

async fn tables_of(client: &impl GenericClient) -> Tables {
    let own_columns = OWN_COLUMNS.map(|name| format!("'{name}'")).join(", ");
    let rollups = rollups(client).await;
    let mut all = Tables::new();
    for table in texts(
        client,
        "select table_name::text from information_schema.tables
         where table_schema = 'nyc311' and table_type = 'BASE TABLE' order by 1",
    )
    .await
    {
        if OWN_TABLES.contains(&table.as_str()) {
            continue;
        }
        let zero = if rollups.contains(&table) { is_zero(client, &table).await } else { "false".to_owned() };
        let rows = texts(
            client,
            &format!(
                "select (to_jsonb(t) - array[{own_columns}])::text from nyc311.{table} t
                 where not ({zero}) order by 1"
            ),
        )
        .await;
        let rows = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        all.insert(table, rows);
    }
    all
}

/// The rows of each table, by its name, in a fixed order.
pub type Tables = BTreeMap<String, Vec<Value>>;

/// Returns everything that the tables say, without the program's own clocks and origins.
pub async fn tables(database: &TestDatabase) -> Tables {
    tables_of(&database.client().await.unwrap()).await
}

async fn differences(client: &impl GenericClient) -> Vec<String> {
    let mut found = Vec::new();
    for rollup in rollups(client).await {
        let zero = is_zero(client, &rollup).await;
        let (kept, counted) = (format!("nyc311.{rollup}"), format!("nyc311.{rollup}_recount"));
        let sql = format!(
            "select kept || ' ' || to_jsonb(d)::text from (
                 (select 'kept' as kept, c.* from {kept} c except select 'kept', c.* from {counted} c)
                 union all
                 (select 'recounted', c.* from {counted} c except select 'recounted', c.* from {kept} c)) d
             where not ({zero}) order by 1"
        );
        found.extend(texts(client, &sql).await.into_iter().map(|cell| format!("{rollup}: {cell}")));
    }
    let marks = texts(
        client,
        "select 'duplicate_of of ' || unique_key || ': ' || coalesce(s.duplicate_of::text, 'none') || ', recounted '
                || coalesce(r.duplicate_of::text, 'none')
         from nyc311.service_request s full join nyc311.duplicate_of_recount r using (unique_key)
         where s.duplicate_of is distinct from r.duplicate_of order by 1",
    )
    .await;
    found.extend(marks);
    found.extend(
        texts(
            client,
            "select 'rollup_daily: opened is not closed and open together: ' || sum(opened - closed - closed_undated - still_open)
             from nyc311.rollup_daily having sum(opened - closed - closed_undated - still_open) <> 0",
        )
        .await,
    );
    found
}

/// Asserts that everything that is kept equals its recount: each rollup of the registry, and the marks of duplicates
/// (promise 7).
pub async fn assert_recounts(database: &TestDatabase) {
    let found = differences(&database.client().await.unwrap()).await;
    assert!(found.is_empty(), "what is kept differs from its recount:\n{}", found.join("\n"));
}

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
        ("service_request", "set resolution_description = 'by hand' where unique_key = 3"),
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
