//! Settings of the log.

use super::form::{Choice, LogFilter};
use super::section::settings;

settings! {
    /// How the log is written.
    LogSettings "log" {
        format: LogFormat = LogFormat::Text, Choice(LogFormat::WORDS),
            "Lines for people or JSON objects for machines, on stderr.",
            "There are two.";
        level: String = "info".to_owned(), LogFilter,
            "What is logged. The web framework's own lines come only if `actix_server` is named.",
            "A filter that cannot be read would silence the log.";
    }
}

/// One line for people or one JSON object for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    const WORDS: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}
