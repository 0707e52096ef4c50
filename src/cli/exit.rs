//! The exit codes, which are a contract with schedulers. Never 99: Airflow's BashOperator takes it for "skip".

use std::process::ExitCode;

use crate::store::StoreError;

pub const DONE: i32 = 0;
/// The command ran and the answer is no: the poll failed, a check found faults.
pub const NO: i32 = 1;
/// The command line makes no sense; clap ends with the same.
pub const USAGE: i32 = 2;
/// The service or something it depends on cannot be reached.
pub const UNREACHABLE: i32 = 69;
/// `--timeout` passed; the poll goes on.
pub const TIMEOUT: i32 = 75;
/// The token was refused.
pub const REFUSED: i32 = 77;
/// The settings are wrong, or what they name is not set up: the database is not migrated, a topic is missing.
pub const SETTINGS: i32 = 78;
/// Interrupted while following; the poll goes on.
pub const INTERRUPTED: i32 = 130;

/// What to do about a database that another version of the program has migrated.
pub const FOREIGN_DATABASE: &str =
    "run the program that migrated it, or name another database in database.url";

/// insufficient_privilege
pub const MISSING_PRIVILEGE: &str = "42501";

/// What `--help` says of them.
pub const CODES: &str = "Exit codes: 0 done; 1 ran and the answer is no; 2 usage; 69 service or dependency unreachable; \
70 and 71 the pipeline gave up; 75 --timeout passed, the poll goes on; 77 token refused; 78 settings, or not set up (no tables, no topics); 130 interrupted while following.";

/// Makes the code of the process.
pub fn code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub message: String,
}

impl Failure {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { .. } | StoreError::Timeout { .. } => {
                Self::new(UNREACHABLE, format!("{error}; is PostgreSQL running where database.url says?"))
            }
            StoreError::NewerDatabase { .. } | StoreError::ChangedMigration { .. } => {
                Self::new(SETTINGS, format!("{error}; {FOREIGN_DATABASE}"))
            }
            StoreError::UnfitDatabase { .. } => Self::new(SETTINGS, error.to_string()),
            StoreError::Other { sqlstate: Some(state), .. } if is_wrong_address(state) => {
                Self::new(SETTINGS, format!("{error}; mend database.url"))
            }
            StoreError::Other { sqlstate: Some(state), .. } if state == MISSING_PRIVILEGE => {
                Self::new(SETTINGS, format!("{error}; grant it to the user of database.url, or name another"))
            }
            _ => Self::new(NO, error.to_string()),
        }
    }
}

/// Whether a SQLSTATE says that user, password or database are not those of the server.
pub fn is_wrong_address(sqlstate: &str) -> bool {
    sqlstate.starts_with("28") || sqlstate.starts_with("3D")
}
