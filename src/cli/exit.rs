//! How a command ends: its exit code and what it says.

use std::process::ExitCode;

use crate::error_policy::{CommandEnd, ErrorPolicy};
pub use crate::exit_code::{DONE, INTERRUPTED, NO, REFUSED, SETTINGS, TIMEOUT, UNREACHABLE, USAGE};
use crate::kafka::KafkaError;
use crate::store::StoreError;

/// What `--help` says of them.
pub const CODES: &str = "Exit codes: 0 done; 1 ran and the answer is no; 2 usage; 69 service or dependency unreachable; \
70 and 71 the pipeline gave up; 75 --timeout passed, the poll goes on; 77 token refused; 78 settings, or not set up (no tables, no topics); 130 interrupted while following.";

/// Makes the code of the process.
pub fn code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct CommandError {
    pub code: i32,
    pub message: String,
}

impl CommandError {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl CommandError {
    /// Ends the command as the policy of its error says, with the remedy behind the error's own text.
    fn of(error: &dyn std::error::Error, policy: ErrorPolicy) -> Self {
        let code = match policy.command_end {
            CommandEnd::Unreachable => UNREACHABLE,
            CommandEnd::Settings => SETTINGS,
            CommandEnd::No => NO,
        };
        match policy.remedy {
            Some(remedy) => Self::new(code, format!("{error}; {remedy}")),
            None => Self::new(code, error.to_string()),
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::of(&error, error.policy())
    }
}

impl From<KafkaError> for CommandError {
    fn from(error: KafkaError) -> Self {
        Self::of(&error, error.policy())
    }
}
