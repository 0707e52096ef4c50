//! Brings the database to the shape that this program knows, forward only.
//!
//! Each migration is one SQL file, embedded in the binary. Those that are missing are applied in one
//! transaction, which also notes them with their checksums. A transaction-level advisory lock makes programs
//! that start together take turns: it cannot outlive a stopped process, as a session-level one would.

use std::time::Duration;

use nyc311_domain::quality;
use sha2::{Digest, Sha256};
use tokio_postgres::{Row, SimpleQueryMessage, Transaction};

use super::{Store, StoreError, drift};
use crate::fault_point;
use crate::hex::{from_hex, to_hex};

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
    7 "0007_create_has_flag",
    8 "0008_name_kafka_logs",
    9 "0009_create_instance",
    10 "0010_mark_duplicates_by_index",
    11 "0011_store_lean_rows",
    12 "0012_collect_changes_once",
    13 "0013_mark_duplicates_at_once",
    14 "0014_mark_duplicates_last",
    15 "0015_create_reconciliations",
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

/// Everything that a migrated database has of this program's, in one round trip.
const READ_ALL: &str = "
    select 'migration', version::text, encode(checksum, 'hex') from nyc311.migration
    order by migration.version;
    select 'flag', bit::text, name, kind, meaning, rule from nyc311.quality_flag;
    select 'term', kind, value, known::text from nyc311.source_term";

/// What [`Store::migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that were applied now, in order.
    pub applied: Vec<&'static str>,
    /// The version that the database has now.
    pub version: i32,
}

impl Store {
    /// Applies what is missing and fills the tables that mirror registries of the code. A database that lacks
    /// nothing is asked once: each message may take long.
    pub async fn migrate(&self) -> Result<Migrated, StoreError> {
        let version = known_version();
        if self.is_current().await? {
            return Ok(Migrated { applied: Vec::new(), version });
        }
        let applied = self.apply_missing().await?;
        for migration in &applied {
            tracing::info!(migration, "migration applied");
        }
        Ok(Migrated { applied, version })
    }

    /// Tells in one round trip whether everything is as this program wants it. A database of another
    /// program's is an error; anything else that is in the way is for the one who migrates to meet.
    async fn is_current(&self) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let Ok(answer) = client.simple_query(READ_ALL).await else { return Ok(false) };
        let (mut ledger, mut flags, mut terms_known) = (Vec::new(), Vec::new(), true);
        for message in &answer {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let text = |column| row.get(column).unwrap_or_default();
            match text(0) {
                "migration" => {
                    let checksum = from_hex(text(2)).unwrap_or_default().to_vec();
                    ledger.push((text(1).parse().unwrap_or(0), checksum));
                }
                "flag" => flags.push([text(1), text(2), text(3), text(4), text(5)].map(str::to_owned)),
                _ => terms_known &= drift::knows(text(1), text(2)) == (text(3) == "true"),
            }
        }
        let mut known_flags = quality::ALL.iter().map(|flag| {
            [&flag.bit.to_string(), flag.name, flag.kind, flag.meaning, flag.rule].map(str::to_owned)
        });
        Ok(missing(&ledger)?.is_empty() && terms_known && known_flags.all(|flag| flags.contains(&flag)))
    }

    /// Compares the ledger with the migrations of this program, and changes nothing: the version that the
    /// database has, 0 before the first, and the one that this program needs.
    pub async fn schema_version(&self) -> Result<(i32, i32), StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let ledger = client.query_one("select to_regclass('nyc311.migration') is not null", &[]).await?;
            let rows = if ledger.get(0) { client.query(READ_LEDGER, &[]).await? } else { Vec::new() };
            let ledger = read_ledger(&rows);
            missing(&ledger)?;
            Ok((ledger.last().map_or(0, |(version, _)| *version), known_version()))
        })
        .await
    }

    /// Applies the missing migrations in turn with other programs, all of them or none.
    async fn apply_missing(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let wait = MIGRATION_TIMEOUT.as_millis();
        transaction
            .batch_execute(&format!(
                "set local statement_timeout = {wait}; set local lock_timeout = {wait}; \
                 set local idle_in_transaction_session_timeout = {wait}; \
                 select pg_advisory_xact_lock({LOCK}); {CREATE_LEDGER}"
            ))
            .await?;
        let ledger = read_ledger(&transaction.query(READ_LEDGER, &[]).await?);
        let missing = missing(&ledger)?;
        for migration in missing {
            let Migration { version, name, sql } = migration;
            let checksum = to_hex(&migration.checksum());
            let note = format!(
                "insert into nyc311.migration (version, name, checksum, applied_by)
                 values ({version}, '{name}', decode('{checksum}', 'hex'), '{}')",
                env!("CARGO_PKG_VERSION")
            );
            transaction.batch_execute(&format!("{sql}\n;{note}")).await.map_err(|error| {
                match StoreError::from(error) {
                    StoreError::Other { sqlstate, detail, source } => {
                        StoreError::Other { sqlstate, detail: format!("{name}: {detail}"), source }
                    }
                    other => other,
                }
            })?;
        }
        describe_quality_flags(&transaction).await?;
        drift::judge_terms(&transaction).await?;
        fault_point!("environment:migrate:before");
        transaction.commit().await?;
        fault_point!("environment:migrate:after");
        Ok(missing.iter().map(|migration| migration.name).collect())
    }
}

/// Returns the migrations that the ledger lacks, or why the database is not one of this program's.
fn missing(ledger: &[(i32, Vec<u8>)]) -> Result<&'static [Migration], StoreError> {
    for (index, (version, checksum)) in ledger.iter().enumerate() {
        match MIGRATIONS.get(index) {
            Some(known) if known.version == *version => {
                if known.checksum() != *checksum {
                    return Err(StoreError::ChangedMigration {
                        version: *version,
                        name: known.name.to_owned(),
                    });
                }
            }
            _ => return Err(StoreError::NewerDatabase { found: *version, known: known_version() }),
        }
    }
    Ok(MIGRATIONS.get(ledger.len()..).unwrap_or_default())
}

fn read_ledger(rows: &[Row]) -> Vec<(i32, Vec<u8>)> {
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Mirrors the registry of flags, whose texts may change without a migration.
async fn describe_quality_flags(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let bits: Vec<i16> = quality::ALL.iter().map(|flag| i16::from(flag.bit)).collect();
    let texts =
        |text: fn(&quality::FlagInfo) -> &'static str| quality::ALL.iter().map(text).collect::<Vec<_>>();
    transaction
        .execute(
            "insert into nyc311.quality_flag as f (bit, name, kind, meaning, rule)
             select * from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[])
             on conflict (bit) do update
             set name = excluded.name, kind = excluded.kind, meaning = excluded.meaning,
                 rule = excluded.rule
             where (f.name, f.kind, f.meaning, f.rule)
                <> (excluded.name, excluded.kind, excluded.meaning, excluded.rule)",
            &[
                &bits,
                &texts(|flag| flag.name),
                &texts(|flag| flag.kind),
                &texts(|flag| flag.meaning),
                &texts(|flag| flag.rule),
            ],
        )
        .await?;
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
    use std::collections::BTreeSet;

    use super::*;

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
