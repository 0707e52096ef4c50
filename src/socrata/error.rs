//! What can go wrong between the poller and the source, named where it is born.

use std::time::Duration;

/// A page that could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SocrataError {
    #[error("the source's settings cannot be used: {detail}")]
    Settings { detail: String },
    /// The source understood and said no: asking again would not help.
    #[error("the source refused the request with status {http_status}: {message}")]
    Rejected { http_status: u16, code: Option<String>, message: String },
    /// 408, 429, 5xx: the source asks to come back later.
    #[error("the source answered with status {http_status}: {message}")]
    Unavailable { http_status: u16, code: Option<String>, message: String, retry_after: Option<Duration> },
    #[error("the source cannot be reached: {detail}")]
    Unreachable { detail: String },
    #[error("the source did not answer in time: {detail}")]
    TimedOut { detail: String },
    #[error("the source's answer was cut off: {detail}")]
    Truncated { detail: String },
    #[error("the source's answer is no list of rows in json: {detail}")]
    NotJson { detail: String },
    #[error("the source's answer is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
}

impl SocrataError {
    /// Returns the stable name under which a poll reports the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "source_settings",
            Self::Rejected { .. } => "source_rejected",
            Self::Unavailable { .. } => "source_unavailable",
            Self::Unreachable { .. } => "source_unreachable",
            Self::TimedOut { .. } => "source_timed_out",
            Self::Truncated { .. } => "source_truncated",
            Self::NotJson { .. } => "source_not_json",
            Self::TooLarge { .. } => "source_too_large",
        }
    }

    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Rejected { http_status, .. } | Self::Unavailable { http_status, .. } => Some(*http_status),
            _ => None,
        }
    }

    /// Says whether the same request can succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Truncated { .. }
            | Self::NotJson { .. } => true,
            Self::Settings { .. } | Self::Rejected { .. } | Self::TooLarge { .. } => false,
        }
    }

    /// Returns how long the source asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
