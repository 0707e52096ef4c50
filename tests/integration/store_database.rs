//! Gives each test a PostgreSQL database of its own, and drops it afterwards.

use nyc311::config::{DatabaseSettings, Secret};
use nyc311::store::Store;
use std::ops::Deref;

/// A migrated database that lives as long as this value.
pub struct TestDatabase {
    store: Store,
    name: String,
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
        let name = format!("nyc311_test_{}", uuid::Uuid::new_v4().simple());
        let admin = server_url();
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

    /// Changes the database itself: `alter database NAME` and this. Connections that are made afterwards see it.
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
}

impl Deref for TestDatabase {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop_database = format!("drop database if exists {} with (force)", self.name);
        // the test's runtime may be on its way out: drop on a thread of its own
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run_sql(&server_url(), &drop_database));
        });
        dropped.join().unwrap();
    }
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
