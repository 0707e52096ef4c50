//! Gives each test a PostgreSQL database of its own; the next run drops it.

use std::ops::Deref;
use std::time::Duration;

use nyc311::config::{DatabaseSettings, Secret};
use nyc311::store::Store;
use nyc311::store::polls::LeasedPoll;

use crate::waiting::eventually;

/// How the databases of tests are called, before the id of the process that made them.
const PREFIX: &str = "nyc311_test_";

/// A migrated database of a test's own.
pub struct TestDatabase {
    store: Store,
    name: String,
    /// Where it is.
    pub settings: DatabaseSettings,
}

impl TestDatabase {
    /// Creates a database and migrates it.
    pub async fn create() -> Self {
        let database = Self::create_empty().await;
        database.migrate().await.unwrap();
        database
    }

    /// Creates a database without any table.
    pub async fn create_empty() -> Self {
        Self::create_with("").await
    }

    /// Creates a database without any table, by `create database NAME` and these options.
    pub async fn create_with(options: &str) -> Self {
        let admin = server_url();
        drop_leftovers(&admin).await;
        let name = format!("{PREFIX}{}_{}", std::process::id(), uuid::Uuid::new_v4().simple());
        run_sql(&admin, &format!("create database {name} {options}")).await;
        let mut url = admin;
        let database = url.rfind('/').filter(|slash| *slash > url.find("//").map_or(0, |at| at + 1));
        url.truncate(database.unwrap_or(url.len()));
        url.push('/');
        url.push_str(&name);
        let settings = DatabaseSettings { url: Secret::new(url), ..DatabaseSettings::default() };
        Self { store: Store::new(&settings).unwrap(), name, settings }
    }

    /// Makes another store on the same database, as another process would have.
    pub fn another_store(&self) -> Store {
        Store::new(&self.settings).unwrap()
    }

    /// Changes the database itself: `alter database NAME` and this. Connections that are made afterwards see
    /// it.
    pub async fn alter(&self, change: &str) {
        run_sql(&server_url(), &format!("alter database {} {change}", self.name)).await;
    }

    /// Runs statements by hand.
    pub async fn execute(&self, sql: &str) {
        self.client().await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// Returns a query's rows as JSON.
    pub async fn json(&self, query: &str) -> serde_json::Value {
        let sql = format!("select coalesce(jsonb_agg(to_jsonb(q)), '[]') from ({query}) q");
        self.client().await.unwrap().query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Returns the one number that a query gives.
    pub async fn number(&self, query: &str) -> i64 {
        let sql = format!("select ({query})::bigint");
        self.client().await.unwrap().query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Returns how many rows a table of the schema has.
    pub async fn count(&self, table: &str) -> i64 {
        self.number(&format!("select count(*) from nyc311.{table}")).await
    }

    /// Takes the next poll as the poller would, when there is one.
    pub async fn lease(&self) -> LeasedPoll {
        let lease = Duration::from_secs(30);
        eventually("a poll was submitted", async || self.acquire_poll("test", lease).await.unwrap()).await
    }

    /// Keeps a dead letter as the writer would have kept it.
    pub async fn keep_dead_letter(&self, payload: &str, stage: &str, partition: i32) {
        let sql = format!(
            "insert into nyc311.dead_letter (payload_sha256, payload, stage, reason, rejected_by, first_seen_at, kafka_partition)
             values (sha256(convert_to('{payload}', 'UTF8')), convert_to('{payload}', 'UTF8'), '{stage}', 'bad_created_date', '0', now(), {partition})"
        );
        self.execute(&sql).await;
    }
}

impl Deref for TestDatabase {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Drops the databases of test runs that have ended, once in a run. A database is not dropped at the end of
/// its test: that waits for every session of the server, and a process that another test has stopped keeps
/// its own busy.
async fn drop_leftovers(server: &str) {
    static ONCE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let dropped = ONCE.get_or_init(async || {
        let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let found =
            client.query("select datname from pg_database where starts_with(datname, $1)", &[&PREFIX]);
        for row in found.await.unwrap() {
            let name: String = row.get(0);
            let process = name[PREFIX.len()..].split('_').next().unwrap_or_default();
            if !std::path::Path::new("/proc").join(process).exists() {
                // Another run may be at it too.
                let _ = client.batch_execute(&format!("drop database if exists {name} with (force)")).await;
            }
        }
        drop(client);
        connection.await.unwrap().unwrap();
    });
    dropped.await;
}

fn server_url() -> String {
    std::env::var("NYC311_DATABASE__URL").expect(
        "NYC311_DATABASE__URL is not set: run `make services` and export what it prints, or run `make test`",
    )
}

async fn run_sql(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("cannot connect to NYC311_DATABASE__URL");
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}
