//! How a command ends: its exit code and what it says.

use std::process::ExitCode;

pub use crate::exit_code::{DONE, INTERRUPTED, NO, REFUSED, SETTINGS, TIMEOUT, UNREACHABLE, USAGE};
use crate::store::StoreError;

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
