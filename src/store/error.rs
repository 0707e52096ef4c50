//! Classifies what the database answers, by SQLSTATE, where the error is born.
//!
//! Callers decide by the kind, whose policy says what follows
//! ([`StoreErrorKind::policy`](super::StoreErrorKind::policy)).

use std::error::Error;
use std::sync::Arc;

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::SqlState;

use super::error_kind::StoreErrorKind;
use super::tls;
use crate::causes::{self, Cause};
use crate::error_policy::{Directive, ErrorPolicy};
use crate::faults::{Failure, Injected};
use crate::tls::TlsRefusal;

/// Why the store could not do what it was asked. The text of its source stands in its own.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away, starting, stopping or full: the same call may succeed later.
    #[error("database unavailable: {detail}")]
    Unavailable { detail: String, source: Option<Cause> },
    /// Another transaction was in the way, again and again.
    #[error("transaction conflict ({}): {detail}", sqlstate.code())]
    Conflict { sqlstate: SqlState, detail: String, source: Option<Cause> },
    /// The database refuses the data itself; the same data will be refused again.
    #[error("data refused ({}): {detail}", sqlstate.code())]
    Refused { sqlstate: SqlState, detail: String, source: Option<Cause> },
    /// The database was migrated by a newer program than this one.
    #[error("database is at migration {found}, this program knows {known} only")]
    NewerDatabase { found: i32, known: i32 },
    /// A migration that was applied is not the one in this program.
    #[error("migration {version} ({name}) differs from the one that was applied")]
    ChangedMigration { version: i32, name: String },
    /// The database cannot keep what this program writes, as its server or its settings are.
    #[error("{detail}")]
    UnfitDatabase { detail: String },
    /// There is no connection of the kind that the address asks for: a certificate, a key or the server is
    /// not as it says. The text says what to do.
    #[error("no encrypted connection to the database: {detail}")]
    Tls { detail: String, source: Option<Cause> },
    /// A bound on time was reached.
    #[error("timed out: {detail}")]
    Timeout { detail: String, source: Option<Cause> },
    /// Whatever else: a missing table, a wrong password, a bug.
    #[error("database error{}: {detail}", in_brackets(sqlstate.as_ref()))]
    Other { sqlstate: Option<SqlState>, detail: String, source: Option<Cause> },
}

fn in_brackets(sqlstate: Option<&SqlState>) -> String {
    sqlstate.map(|sqlstate| format!(" ({})", sqlstate.code())).unwrap_or_default()
}

impl StoreError {
    /// Returns what kind of error it is.
    pub fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Unavailable { .. } => StoreErrorKind::Unavailable,
            Self::Timeout { .. } => StoreErrorKind::TimedOut,
            Self::Conflict { .. } => StoreErrorKind::Conflict,
            Self::Refused { .. } => StoreErrorKind::Refused,
            Self::NewerDatabase { .. } | Self::ChangedMigration { .. } => StoreErrorKind::ForeignDatabase,
            Self::UnfitDatabase { .. } => StoreErrorKind::UnfitDatabase,
            Self::Tls { .. } => StoreErrorKind::Tls,
            Self::Other { sqlstate: Some(sqlstate), .. } => StoreErrorKind::of_sqlstate(sqlstate),
            Self::Other { sqlstate: None, .. } => StoreErrorKind::Unknown,
        }
    }

    /// Says what to do about it.
    pub fn policy(&self) -> ErrorPolicy {
        self.kind().policy()
    }
}

impl StoreError {
    /// Tells whether the database is away, by its own word or by its silence.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Tells whether the same call may succeed later without anybody changing anything: the database is away,
    /// answers too late, or another transaction is in the way. What is left is refused again however often it
    /// is repeated.
    pub fn may_pass(&self) -> bool {
        self.policy().directive == Directive::Wait
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), source: None }
    }

    pub(crate) fn timeout(detail: impl Into<String>) -> Self {
        Self::Timeout { detail: detail.into(), source: None }
    }

    pub(crate) fn other(detail: impl Into<String>) -> Self {
        Self::Other { sqlstate: None, detail: detail.into(), source: None }
    }

    pub(super) fn tls(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Tls { detail: format!("database.url: {source}"), source: Some(Arc::new(source)) }
    }

    /// An error that says `doing` before what its source says.
    pub(crate) fn caused_by(doing: &str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Other { sqlstate: None, detail: format!("{doing}: {source}"), source: Some(Arc::new(source)) }
    }

    fn from_sqlstate(sqlstate: SqlState, detail: String, source: Option<Cause>) -> Self {
        match StoreErrorKind::of_sqlstate(&sqlstate) {
            StoreErrorKind::Conflict => Self::Conflict { sqlstate, detail, source },
            StoreErrorKind::TimedOut => Self::Timeout { detail, source },
            StoreErrorKind::Unavailable => Self::Unavailable { detail, source },
            StoreErrorKind::Refused => Self::Refused { sqlstate, detail, source },
            StoreErrorKind::ForeignDatabase
            | StoreErrorKind::UnfitDatabase
            | StoreErrorKind::Tls
            | StoreErrorKind::SignIn
            | StoreErrorKind::NoSuchDatabase
            | StoreErrorKind::NoSuchTable
            | StoreErrorKind::MissingPrivilege
            | StoreErrorKind::Unknown => Self::Other { sqlstate: Some(sqlstate), detail, source },
        }
    }
}

/// How the client's own complaints about an address begin. They carry no code, so their text is all that
/// tells them apart.
const REFUSED_ADDRESS: [&str; 2] = ["invalid configuration", "authentication error"];

/// Says what is wrong with the encryption, where that is what failed.
fn tls_fault(error: &tokio_postgres::Error) -> Option<String> {
    if let Some(refusal) = TlsRefusal::under(error, tls::NAMES) {
        return Some(refusal.to_string());
    }
    let source = error.source()?;
    if let Some(fault) = source.downcast_ref::<tls::TlsFault>() {
        return Some(format!("database.url: {fault}"));
    }
    if !error.to_string().starts_with(tls::HANDSHAKE) {
        return None;
    }
    // The client's words; a connection that ends in the middle of a handshake is one that is away.
    match source.to_string() {
        _ if source.is::<std::io::Error>() => None,
        words if words == NO_TLS => Some(format!("{words}; {MEND_NO_TLS}")),
        words => Some(format!("{words}; mend the parameters of TLS in database.url")),
    }
}

/// What the client says of a server that answers that it has none.
const NO_TLS: &str = "server does not support TLS";
const MEND_NO_TLS: &str =
    "set ssl = on in its postgresql.conf, or take sslmode=disable where nobody else can listen";

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let mut detail = db.message().to_owned();
            if let Some(more) = db.detail() {
                detail.push_str(": ");
                detail.push_str(more);
            }
            return Self::from_sqlstate(db.code().clone(), detail, Some(Arc::new(error)));
        }
        if let Some(detail) = tls_fault(&error) {
            return Self::Tls { detail, source: Some(Arc::new(error)) };
        }
        let detail = causes::with_source(&error);
        let io = error.source().is_some_and(|source| source.is::<std::io::Error>());
        let away = io || error.is_closed();
        let source: Option<Cause> = Some(Arc::new(error));
        if away {
            Self::Unavailable { detail, source }
        } else if REFUSED_ADDRESS.iter().any(|kind| detail.starts_with(kind)) {
            // The client refuses what the server would by this code: a missing password, a way to sign in
            // that it does not know.
            Self::Other { sqlstate: Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION), detail, source }
        } else {
            Self::Other { sqlstate: None, detail, source }
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => Self::unavailable("no connection became free in time"),
            PoolError::Timeout(_) => Self::unavailable("connecting took too long"),
            PoolError::Closed => Self::unavailable("the pool is closed"),
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
    /// Makes of an injected failure what the real one is made of: its code, or the loss of the connection.
    fn from(fault: Injected) -> Self {
        let sqlstate = match fault.failure {
            Failure::SerializationFailure => SqlState::T_R_SERIALIZATION_FAILURE,
            Failure::Deadlock => SqlState::T_R_DEADLOCK_DETECTED,
            Failure::LockTimeout => SqlState::LOCK_NOT_AVAILABLE,
            Failure::Timeout => SqlState::QUERY_CANCELED,
            Failure::DiskFull => SqlState::DISK_FULL,
            Failure::TooManyConnections => SqlState::TOO_MANY_CONNECTIONS,
            Failure::AdminShutdown => SqlState::ADMIN_SHUTDOWN,
            Failure::ReadOnly => SqlState::READ_ONLY_SQL_TRANSACTION,
            Failure::NotAuthorized => SqlState::INSUFFICIENT_PRIVILEGE,
            Failure::DataRefused => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            // A step whose owner is fenced has an answer of its own, see `WriteError` and `LeaseError`; the
            // others are of no call to a database.
            Failure::Refused
            | Failure::Cut
            | Failure::Fenced
            | Failure::Throttled
            | Failure::ServerError
            | Failure::Rejected
            | Failure::NotJson
            | Failure::NoLeader
            | Failure::NoCoordinator
            | Failure::TooFewReplicas
            | Failure::TooLarge
            | Failure::ClientFatal => {
                return Self::Unavailable { detail: fault.to_string(), source: Some(Arc::new(fault)) };
            }
        };
        Self::from_sqlstate(sqlstate, fault.to_string(), Some(Arc::new(fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Calls, Point};

    fn kind(sqlstate: &str) -> StoreError {
        StoreError::from_sqlstate(SqlState::from_code(sqlstate), "text".to_owned(), None)
    }

    #[test]
    fn what_the_client_reported_is_the_source_and_is_said_once() {
        let reported = std::io::Error::other("no threads left");
        let error = StoreError::caused_by("cannot start the connection thread", reported);
        assert_eq!(error.to_string(), "database error: cannot start the connection thread: no threads left");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no threads left"));
        assert_eq!(causes::with_source(&error), error.to_string());
    }

    #[test]
    fn an_injected_failure_is_answered_like_the_real_one() {
        use StoreErrorKind::{Conflict, MissingPrivilege, Refused, TimedOut, Unavailable};
        for failure in Calls::Database.failures() {
            let expected = match failure {
                Failure::SerializationFailure | Failure::Deadlock => Conflict,
                Failure::Timeout | Failure::LockTimeout => TimedOut,
                Failure::DataRefused => Refused,
                Failure::NotAuthorized => MissingPrivilege,
                _ => Unavailable,
            };
            let error = StoreError::from(Injected { point: Point::named("writer:commit:before"), failure });
            assert_eq!(error.kind(), expected, "{failure}");
            assert!(error.to_string().contains("injected fault at writer:commit:before"), "{error}");
        }
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
