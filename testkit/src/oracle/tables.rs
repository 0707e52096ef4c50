//! What the tables must say, whatever has happened: the one comparison of all tables, and the one of
//! everything that is kept with its recount.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use serde_json::Value;

use crate::database::TestDatabase;

/// The tables that are the program's own: positions, clocks, names of runs, and what the view
/// `service_request` is made of, which is compared in their stead. Every other one is compared.
const OWN_TABLES: [&str; 12] = [
    "consumer_position",
    "instance",
    "migration",
    "poll",
    "poll_partition",
    "raw_position",
    "reconciliation",
    "reconciliation_key",
    "reconciliation_month",
    "service_request_row",
    "source_text",
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

/// The rows of each table, by its name, in a fixed order.
pub type Tables = BTreeMap<String, Vec<Value>>;

async fn texts(client: &impl GenericClient, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Returns the names of the rollups, as the registry `nyc311.rollup` has them.
pub async fn rollups(client: &impl GenericClient) -> Vec<String> {
    texts(client, "select name from nyc311.rollup order by position").await
}

/// Returns the condition by which a row of a rollup is a cell of zeros, which equals no cell: every count of
/// it is 0.
pub async fn is_zero(client: &impl GenericClient, rollup: &str) -> String {
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

/// Returns everything that the tables say, without the program's own clocks and origins.
pub async fn tables(database: &TestDatabase) -> Tables {
    tables_of(&database.client().await.unwrap()).await
}

/// Returns the same of a connection, in the middle of its transaction.
pub async fn tables_of(client: &impl GenericClient) -> Tables {
    let own_columns = OWN_COLUMNS.map(|name| format!("'{name}'")).join(", ");
    let rollups = rollups(client).await;
    let mut all = Tables::new();
    for table in texts(
        client,
        "select table_name::text from information_schema.tables
         where table_schema = 'nyc311' and (table_type = 'BASE TABLE' or table_name = 'service_request') order by 1",
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

/// Returns where what is kept differs from its recount, one line for each difference.
pub async fn differences(client: &impl GenericClient) -> Vec<String> {
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

/// Asserts that everything that is kept equals its recount: each rollup of the registry, and the marks of
/// duplicates (promise 7).
pub async fn assert_recounts(database: &TestDatabase) {
    let found = differences(&database.client().await.unwrap()).await;
    assert!(found.is_empty(), "what is kept differs from its recount:\n{}", found.join("\n"));
}
