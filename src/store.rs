//! Keeps everything durable that is not Kafka's: facts, positions, polls, dead letters.
//!
//! A [`Store`] is a handle to a pool of PostgreSQL connections. The connections live on a small
//! runtime of the store's own: a stage that is torn down takes none of its neighbours' connections
//! with it, and a stage that hangs holds up nobody else's traffic.

mod connections;
mod dead_letters;
mod drift;
mod error;
mod error_kind;
mod fitness;
mod instances;
mod logs;
mod migrations;
pub mod polls;
mod positions;
mod queue;
pub mod reconciliations;
mod replays;
mod tls;
mod write;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Pool};

pub use self::dead_letters::DeadLetter;
pub use self::drift::{NamedColumns, Term};
pub use self::error::StoreError;
pub use self::error_kind::StoreErrorKind;
pub use self::instances::{InstanceClaim, InstanceHold, InstanceOwner, InstanceRun};
pub use self::logs::{FoundLog, FoundLogs, LogLoss, LostPlace, RawPosition, RawStart, TakenUp};
pub use self::migrations::Migrated;
pub use self::positions::{Claim, Position, PositionRow};
pub use self::replays::{LetterKey, LetterSelection, StoredLetter};
pub use self::write::{Ended, IncomingRow, PositionAdvance, Turn, WriteBatch, WriteError, WriteSummary};
use crate::config::DatabaseSettings;
use crate::fault_point;
use crate::supervision::Watchdog;

/// A handle to the database; clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    doubt: connections::Doubt,
    limits: Limits,
    remembered: drift::Remembered,
    // the last handle ends the connections' runtime
    runtime: Arc<connections::ConnectionRuntime>,
}

/// Bounds on time that the store itself watches.
#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    statement: Duration,
    copy: Duration,
}

impl Store {
    /// Makes a store; connects only when first used.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let runtime = connections::ConnectionRuntime::start()?;
        let doubt = connections::Doubt::default();
        let pool = connections::pool(settings, runtime.handle(), doubt.clone())?;
        let limits = Limits {
            connect: settings.connect_timeout,
            statement: settings.statement_timeout,
            copy: settings.copy_timeout,
        };
        Ok(Self { pool, doubt, limits, remembered: drift::Remembered::default(), runtime: Arc::new(runtime) })
    }

    /// Has the watchdog watch the thread that carries the traffic of all connections: while it stands still,
    /// nothing of the database arrives, and no client of it can tell why.
    pub fn watch_thread(&self, watchdog: &Watchdog) {
        if let Some(runtime) = self.runtime.handle() {
            runtime.spawn(watchdog.clone().keep_turning(watchdog.watch("store")));
        }
    }

    /// Takes a connection from the pool.
    pub async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// Asks the database for a sign of life, and waits no longer for it than for a connection: a server that
    /// stands still is away, and so is one that takes no writes, a standby or a database that was set
    /// read-only.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let answer = async {
            fault_point!("environment:ping:before");
            let client = self.client().await?;
            let rows = client.simple_query(fitness::READ_ONLY).await?;
            fault_point!("environment:ping:after");
            if fitness::is_read_only(&rows) {
                return Err(StoreError::unavailable(fitness::WRITES_REFUSED));
            }
            Ok(())
        };
        self.answered_within(self.limits.connect, answer).await
    }

    /// Tells whether a database that answers lacks the tables that were migrated: it was dropped and made
    /// anew.
    pub async fn has_lost_its_tables(&self) -> Result<bool, StoreError> {
        let answer = async {
            let client = self.client().await?;
            let row = client.query_one("select to_regclass('nyc311.poll') is null", &[]).await?;
            Ok(row.get(0))
        };
        self.in_time(self.limits.connect, answer).await.unwrap_or(Ok(false))
    }

    /// Returns the pool's connections: open, and of those idle.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }

    /// Bounds work by a little more than the server's own statement timeout, for a server or a network
    /// that no longer answers at all.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = self.limits.statement + Duration::from_secs(5);
        let late = || Err(StoreError::timeout(format!("no answer within {limit:?}")));
        self.in_time(limit, work).await.unwrap_or_else(late)
    }

    /// Takes a database that gives no answer in time for one that is away.
    async fn answered_within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = || Err(StoreError::unavailable(format!("no answer within {limit:?}")));
        self.in_time(limit, work).await.unwrap_or_else(late)
    }

    /// Waits for work with the database for no longer than the limit; past it, nothing is returned and every
    /// connection is in doubt.
    async fn in_time<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let done = tokio::time::timeout(limit, work).await.ok();
        if done.is_none() {
            self.doubt.raise();
        }
        done
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("limits", &self.limits).finish_non_exhaustive()
    }
}
