//! Brings the database to the shape that this program knows, forward only.
//!
//! Each migration is one SQL file, embedded in the binary, applied in one transaction that also notes
//! it with its checksum. A transaction-level advisory lock makes programs that start together take
//! turns: it cannot outlive a stopped process, as a session-level one would.

use super::{Store, StoreError, drift};
use nyc311_domain::quality;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio_postgres::{Row, Transaction};

/// One embedded file of `migrations/`.
struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $name, ".sql")),
        }),*]
    };
}

const MIGRATIONS: &[Migration] = migrations![
    1 "0001_create_polls",
    2 "0002_create_service_request",
    3 "0003_create_rollups",
    4 "0004_create_rollup_quality_daily",
    5 "0005_mark_duplicates",
    6 "0006_create_source_term",
    8 "0008_name_kafka_logs",
    9 "0009_create_instance",
];

/// Any number that nothing else in the database uses as an advisory lock.
const LOCK: i64 = 0x6e79_6333_3131_0001;

/// A migration may rebuild a large table; the lock wait covers another program's migration.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

const CREATE_LEDGER: &str = "
    create schema if not exists nyc311;
    create table if not exists nyc311.migration (
        version     integer primary key,
        name        text not null,
        checksum    bytea not null,
        applied_at  timestamptz not null default now(),
        applied_by  text not null
    )";

const READ_LEDGER: &str = "select version, checksum from nyc311.migration order by version";

/// What [`Store::migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that were applied now, in order.
    pub applied: Vec<&'static str>,
    /// The version that the database has now.
    pub version: i32,
}

impl Store {
    /// Applies what is missing and fills the tables that mirror registries of the code.
    pub async fn migrate(&self) -> Result<Migrated, StoreError> {
        let mut applied = Vec::new();
        loop {
            match self.apply_next().await? {
                Some(migration) => {
                    tracing::info!(migration = migration.name, "migration applied");
                    applied.push(migration.name);
                }
                None => return Ok(Migrated { applied, version: known_version() }),
            }
        }
    }

    /// Compares the ledger with the migrations of this program, and changes nothing: the version that the database has, 0 before the
    /// first, and the one that this program needs.
    pub async fn schema_version(&self) -> Result<(i32, i32), StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let ledger = client.query_one("select to_regclass('nyc311.migration') is not null", &[]).await?;
            let rows = if ledger.get(0) { client.query(READ_LEDGER, &[]).await? } else { Vec::new() };
            missing(&rows)?;
            Ok((rows.last().map_or(0, |row| row.get(0)), known_version()))
        })
        .await
    }

    /// Applies the first missing migration, or returns none when there is none.
    async fn apply_next(&self) -> Result<Option<&'static Migration>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let wait = MIGRATION_TIMEOUT.as_millis();
        transaction
            .batch_execute(&format!(
                "set local statement_timeout = {wait}; set local lock_timeout = {wait}; \
                 set local idle_in_transaction_session_timeout = {wait}; \
                 select pg_advisory_xact_lock({LOCK})"
            ))
            .await?;
        transaction.batch_execute(CREATE_LEDGER).await?;

        let rows = transaction.query(READ_LEDGER, &[]).await?;
        let Some(migration) = missing(&rows)?.first() else {
            describe_quality_flags(&transaction).await?;
            drift::judge_terms(&transaction).await?;
            transaction.commit().await?;
            return Ok(None);
        };
        transaction.batch_execute(migration.sql).await.map_err(|error| match StoreError::from(error) {
            StoreError::Other { sqlstate, detail } => {
                StoreError::Other { sqlstate, detail: format!("{}: {detail}", migration.name) }
            }
            other => other,
        })?;
        transaction
            .execute(
                "insert into nyc311.migration (version, name, checksum, applied_by) values ($1, $2, $3, $4)",
                &[&migration.version, &migration.name, &migration.checksum(), &env!("CARGO_PKG_VERSION")],
            )
            .await?;
        transaction.commit().await?;
        Ok(Some(migration))
    }
}

/// Returns the migrations that the ledger lacks, or why the database is not one of this program's.
fn missing(ledger: &[Row]) -> Result<&'static [Migration], StoreError> {
    for (index, row) in ledger.iter().enumerate() {
        let (version, checksum): (i32, Vec<u8>) = (row.get(0), row.get(1));
        match MIGRATIONS.get(index) {
            Some(known) if known.version == version => {
                if known.checksum() != checksum {
                    return Err(StoreError::ChangedMigration { version, name: known.name.to_owned() });
                }
            }
            _ => return Err(StoreError::NewerDatabase { found: version, known: known_version() }),
        }
    }
    Ok(MIGRATIONS.get(ledger.len()..).unwrap_or_default())
}

/// Mirrors the registry of flags, whose texts may change without a migration.
async fn describe_quality_flags(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    for flag in quality::ALL {
        transaction
            .execute(
                "insert into nyc311.quality_flag as f (bit, name, kind, meaning, rule)
                 values ($1, $2, $3, $4, $5)
                 on conflict (bit) do update
                 set name = excluded.name, kind = excluded.kind, meaning = excluded.meaning,
                     rule = excluded.rule
                 where (f.name, f.kind, f.meaning, f.rule)
                    <> (excluded.name, excluded.kind, excluded.meaning, excluded.rule)",
                &[&i16::from(flag.bit), &flag.name, &flag.kind, &flag.meaning, &flag.rule],
            )
            .await?;
    }
    Ok(())
}

impl Migration {
    fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql.as_bytes()).to_vec()
    }
}

fn known_version() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_embedded_and_numbered_without_gaps() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let embedded: BTreeSet<String> = MIGRATIONS.iter().map(|m| format!("{}.sql", m.name)).collect();
        assert_eq!(files, embedded);
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, i32::try_from(index).unwrap() + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }
}
