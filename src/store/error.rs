//! Classifies what the database answers, by SQLSTATE, where the error is born.
//!
//! Callers decide by the kind: wait for a database that is away, retry a conflict, look for the row
//! that was refused, give up on the rest.

use crate::faults::Injected;
use deadpool_postgres::{PoolError, TimeoutType};
use std::error::Error as _;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, starting, stopping or full: the same call may succeed later.
    #[error("database unavailable: {detail}")]
    Unavailable { detail: String },
    /// Another transaction was in the way, again and again.
    #[error("transaction conflict ({sqlstate}): {detail}")]
    Conflict { sqlstate: String, detail: String },
    /// The database refuses the data itself; the same data will be refused again.
    #[error("data refused ({sqlstate}): {detail}")]
    Refused { sqlstate: String, detail: String },
    /// The database was migrated by a newer program than this one.
    #[error("database is at migration {found}, this program knows {known} only")]
    NewerDatabase { found: i32, known: i32 },
    /// A migration that was applied is not the one in this program.
    #[error("migration {version} ({name}) differs from the one that was applied")]
    ChangedMigration { version: i32, name: String },
    /// The database cannot keep what this program writes, as its server or its settings are.
    #[error("{detail}")]
    UnfitDatabase { detail: String },
    /// A bound on time was reached.
    #[error("timed out: {detail}")]
    Timeout { detail: String },
    /// Whatever else: a missing table, a wrong password, a bug.
    #[error("database error{}: {detail}", sqlstate.as_ref().map(|state| format!(" ({state})")).unwrap_or_default())]
    Other { sqlstate: Option<String>, detail: String },
}

impl StoreError {
    /// Tells whether waiting for the database is the right answer.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Tells whether the same call may succeed later without anybody changing anything: the database is away, answers
    /// too late, or another transaction is in the way. What is left is refused again however often it is repeated.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. } | Self::Conflict { .. })
    }

    /// Tells whether somebody has to name another database, or another program: waiting mends nothing.
    pub fn needs_another_database(&self) -> bool {
        matches!(
            self,
            Self::NewerDatabase { .. } | Self::ChangedMigration { .. } | Self::UnfitDatabase { .. }
        )
    }

    pub(crate) fn other(detail: impl Into<String>) -> Self {
        Self::Other { sqlstate: None, detail: detail.into() }
    }

    fn from_sqlstate(sqlstate: &str, detail: String) -> Self {
        let owned = sqlstate.to_owned();
        match sqlstate {
            "40001" | "40P01" => Self::Conflict { sqlstate: owned, detail },
            // lock_not_available, query_canceled
            "55P03" | "57014" => Self::Timeout { detail },
            // shutdowns, cannot_connect_now, and the timeouts that end a session
            "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Self::Unavailable { detail },
            // a standby or a database set read-only: an operator or a failover is at work
            "25006" => Self::Unavailable { detail },
            _ => match sqlstate.get(..2) {
                // connection, insufficient resources, system error
                Some("08" | "53" | "58") => Self::Unavailable { detail },
                // data, integrity, program limit (an index entry too long, a value nested too deep)
                Some("22" | "23" | "54") => Self::Refused { sqlstate: owned, detail },
                _ => Self::Other { sqlstate: Some(owned), detail },
            },
        }
    }
}

/// How the client's own complaints about an address begin; it has no other way to tell them apart.
const REFUSED_ADDRESS: [&str; 2] = ["invalid configuration", "authentication error"];

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let mut detail = db.message().to_owned();
            if let Some(more) = db.detail() {
                detail.push_str(": ");
                detail.push_str(more);
            }
            return Self::from_sqlstate(db.code().code(), detail);
        }
        let mut detail = error.to_string();
        if let Some(source) = error.source() {
            let text = source.to_string();
            if !detail.contains(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
        }
        let io = error.source().is_some_and(|source| source.is::<std::io::Error>());
        if io || error.is_closed() {
            Self::Unavailable { detail }
        } else if REFUSED_ADDRESS.iter().any(|kind| detail.starts_with(kind)) {
            // The client refuses what the server would by this code: a missing password, a way to sign in that it does not know.
            Self::Other { sqlstate: Some("28000".to_owned()), detail }
        } else {
            Self::other(detail)
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => {
                Self::Unavailable { detail: "no connection became free in time".to_owned() }
            }
            PoolError::Timeout(_) => Self::Unavailable { detail: "connecting took too long".to_owned() },
            PoolError::Closed => Self::Unavailable { detail: "the pool is closed".to_owned() },
            PoolError::NoRuntimeSpecified => Self::other("the pool has no runtime"),
            PoolError::PostCreateHook(error) => match error {
                deadpool_postgres::HookError::Backend(error) => error.into(),
                // The hook's own words, see `connections`.
                deadpool_postgres::HookError::Message(detail) => {
                    Self::UnfitDatabase { detail: detail.into_owned() }
                }
            },
        }
    }
}

impl From<Injected> for StoreError {
    fn from(fault: Injected) -> Self {
        Self::Unavailable { detail: fault.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sqlstate: &str) -> StoreError {
        StoreError::from_sqlstate(sqlstate, "text".to_owned())
    }

    #[test]
    fn shutdown_connection_loss_and_full_disk_are_unavailable() {
        for sqlstate in ["57P01", "57P02", "57P03", "08006", "53300", "53100", "25P03"] {
            assert!(kind(sqlstate).is_unavailable(), "{sqlstate}");
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_is_refused_for_good() {
        for sqlstate in ["57P01", "08006", "53300", "53100", "25006", "40001", "40P01", "55P03", "57014"] {
            assert!(kind(sqlstate).may_pass(), "{sqlstate}");
        }
        for sqlstate in ["22021", "23514", "42P01", "42703", "42501", "28P01", "3D000", "0A000", "XX000"] {
            assert!(!kind(sqlstate).may_pass(), "{sqlstate}");
        }
    }

    #[test]
    fn deadlock_and_serialization_failure_are_conflicts() {
        for sqlstate in ["40P01", "40001"] {
            assert!(matches!(kind(sqlstate), StoreError::Conflict { .. }), "{sqlstate}");
        }
    }

    #[test]
    fn bad_data_is_refused_and_a_missing_table_is_not() {
        for sqlstate in ["22021", "22003", "23514", "54000"] {
            assert!(matches!(kind(sqlstate), StoreError::Refused { .. }), "{sqlstate}");
        }
        assert!(matches!(kind("42P01"), StoreError::Other { .. }));
    }
}
