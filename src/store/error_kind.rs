//! What follows from each kind of error of the database.

use tokio_postgres::error::SqlState;

use crate::error_policy::{CommandEnd, Directive, ErrorPolicy};

/// The kinds of [`StoreError`](super::StoreError) that are answered differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    Unavailable,
    TimedOut,
    Conflict,
    Refused,
    /// Migrated by another program than this one.
    ForeignDatabase,
    UnfitDatabase,
    /// No connection with the encryption that the address asks for.
    Tls,
    /// The server does not let the user in.
    SignIn,
    NoSuchDatabase,
    /// The schema or a table of it is not there.
    NoSuchTable,
    MissingPrivilege,
    Unknown,
}

/// Classes of SQLSTATE, of which every code has one answer. The crate names codes only, so these are text.
mod class {
    pub const CONNECTION: &str = "08";
    pub const DATA: &str = "22";
    pub const INTEGRITY: &str = "23";
    pub const AUTHORIZATION: &str = "28";
    pub const CATALOG_NAME: &str = "3D";
    pub const SCHEMA_NAME: &str = "3F";
    pub const INSUFFICIENT_RESOURCES: &str = "53";
    /// An index entry too long, a value nested too deep.
    pub const PROGRAM_LIMIT: &str = "54";
    pub const SYSTEM: &str = "58";
}

impl StoreErrorKind {
    /// Classifies an error that the server has given a code.
    pub(super) fn of_sqlstate(sqlstate: &SqlState) -> Self {
        match *sqlstate {
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Self::Conflict,
            SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => Self::TimedOut,
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::IDLE_SESSION_TIMEOUT
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            // A standby, or a database set read-only: an operator or a failover is at work.
            | SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable,
            SqlState::INSUFFICIENT_PRIVILEGE => Self::MissingPrivilege,
            SqlState::UNDEFINED_TABLE => Self::NoSuchTable,
            _ => match sqlstate.code().get(..2).unwrap_or_default() {
                class::CONNECTION | class::INSUFFICIENT_RESOURCES | class::SYSTEM => Self::Unavailable,
                class::DATA | class::INTEGRITY | class::PROGRAM_LIMIT => Self::Refused,
                class::AUTHORIZATION => Self::SignIn,
                class::CATALOG_NAME => Self::NoSuchDatabase,
                class::SCHEMA_NAME => Self::NoSuchTable,
                _ => Self::Unknown,
            },
        }
    }

    /// Says what to do about an error of this kind:
    ///
    /// | kind | the pipeline | a command ends with | remedy |
    /// |---|---|---|---|
    /// | `Unavailable`, `TimedOut` | waits for `database` | 69 | start the server, or let it be reached |
    /// | `Conflict` | repeats the transaction at once a few times, then waits for `database` | 1 | - |
    /// | `Refused` | makes a dead letter of the row; where no row is to blame, fails | 1 | - |
    /// | `ForeignDatabase` | ends the process with 78 | 78 | another program, or another database |
    /// | `UnfitDatabase` | ends the process with 78 | 78 | the error's own text |
    /// | `Tls` | waits for `database`, and reads the files again | 78 | the error's own text |
    /// | `SignIn` | fails | 78 | mend user, password and certificate |
    /// | `NoSuchDatabase` | fails | 78 | create it, or mend its name |
    /// | `MissingPrivilege` | fails | 78 | grant it |
    /// | `NoSuchTable` | fails | 1 | - |
    /// | `Unknown` | fails | 1 | - |
    ///
    /// Before the tables are there, the watch of the dependencies waits for whatever does not end the
    /// process: somebody is setting the database up.
    pub fn policy(self) -> ErrorPolicy {
        let (directive, command_end, remedy) = match self {
            Self::Unavailable | Self::TimedOut => (
                Directive::Wait,
                CommandEnd::Unreachable,
                Some(
                    "see that PostgreSQL runs where database.url says and takes connections from this machine",
                ),
            ),
            Self::Conflict => (Directive::Wait, CommandEnd::No, None),
            Self::Refused => (Directive::DeadLetter, CommandEnd::No, None),
            Self::ForeignDatabase => (
                Directive::EndProcess,
                CommandEnd::Settings,
                Some("run the program that migrated it, or name another database in database.url"),
            ),
            Self::UnfitDatabase => (Directive::EndProcess, CommandEnd::Settings, None),
            Self::Tls => (Directive::Wait, CommandEnd::Settings, None),
            Self::SignIn => (
                Directive::Fail,
                CommandEnd::Settings,
                Some(
                    "mend database.url: its user and password, or sslmode, sslcert and sslkey, are not what the server asks for",
                ),
            ),
            Self::NoSuchDatabase => (
                Directive::Fail,
                CommandEnd::Settings,
                Some("create the database, or mend its name in database.url"),
            ),
            Self::MissingPrivilege => (
                Directive::Fail,
                CommandEnd::Settings,
                Some("grant it to the user of database.url, or name another user"),
            ),
            Self::NoSuchTable | Self::Unknown => (Directive::Fail, CommandEnd::No, None),
        };
        ErrorPolicy { directive, command_end, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_followed() {
        use CommandEnd::{No, Settings, Unreachable};
        use Directive::{DeadLetter, EndProcess, Fail, Wait};
        for (kind, directive, command_end, remedy) in [
            (StoreErrorKind::Unavailable, Wait, Unreachable, Some("see that PostgreSQL runs")),
            (StoreErrorKind::TimedOut, Wait, Unreachable, Some("see that PostgreSQL runs")),
            (StoreErrorKind::Conflict, Wait, No, None),
            (StoreErrorKind::Refused, DeadLetter, No, None),
            (StoreErrorKind::ForeignDatabase, EndProcess, Settings, Some("run the program that migrated it")),
            (StoreErrorKind::UnfitDatabase, EndProcess, Settings, None),
            (StoreErrorKind::Tls, Wait, Settings, None),
            (StoreErrorKind::SignIn, Fail, Settings, Some("mend database.url")),
            (StoreErrorKind::NoSuchDatabase, Fail, Settings, Some("create the database")),
            (StoreErrorKind::MissingPrivilege, Fail, Settings, Some("grant it")),
            (StoreErrorKind::NoSuchTable, Fail, No, None),
            (StoreErrorKind::Unknown, Fail, No, None),
        ] {
            let policy = kind.policy();
            assert_eq!((policy.directive, policy.command_end), (directive, command_end), "{kind:?}");
            let starts = match (policy.remedy, remedy) {
                (Some(text), Some(start)) => text.starts_with(start),
                (text, start) => text == start,
            };
            assert!(starts, "{kind:?}: {:?}", policy.remedy);
        }
    }

    #[test]
    fn every_sqlstate_has_its_kind() {
        for (kind, sqlstates) in [
            (
                StoreErrorKind::Unavailable,
                &["57P01", "57P02", "57P03", "57P05", "08006", "53300", "53100", "58030", "25P03", "25006"][..],
            ),
            (StoreErrorKind::TimedOut, &["55P03", "57014"]),
            (StoreErrorKind::Conflict, &["40P01", "40001"]),
            (StoreErrorKind::Refused, &["22021", "22003", "23514", "54000"]),
            (StoreErrorKind::SignIn, &["28000", "28P01"]),
            (StoreErrorKind::NoSuchDatabase, &["3D000"]),
            (StoreErrorKind::NoSuchTable, &["42P01", "3F000"]),
            (StoreErrorKind::MissingPrivilege, &["42501"]),
            (StoreErrorKind::Unknown, &["42703", "0A000", "XX000", "57P04"]),
        ] {
            for sqlstate in sqlstates {
                assert_eq!(StoreErrorKind::of_sqlstate(&SqlState::from_code(sqlstate)), kind, "{sqlstate}");
            }
        }
    }
}
