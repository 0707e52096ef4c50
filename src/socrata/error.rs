//! What can go wrong between the poller and the source, named where it is born.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;

use crate::causes::Cause;
use crate::error_policy::{CommandEnd, Directive, ErrorPolicy};
use crate::faults::{Failure, Injected};

/// A page that could not be had. The innermost text of its source stands in its own.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SocrataError {
    #[error("the source's settings cannot be used: {detail}")]
    Settings { detail: String, source: Option<Cause> },
    /// The source understood and said no: asking again would not help.
    #[error("the source refused the request with status {http_status}: {message}")]
    Rejected { http_status: u16, code: Option<String>, message: String },
    /// 408, 429, 5xx: the source asks to come back later.
    #[error("the source answered with status {http_status}: {message}")]
    Unavailable { http_status: u16, code: Option<String>, message: String, retry_after: Option<Duration> },
    #[error("the source cannot be reached: {detail}")]
    Unreachable { detail: String, source: Option<Cause> },
    #[error("the source did not answer in time: {detail}")]
    TimedOut { detail: String, source: Option<Cause> },
    #[error("the source's answer was cut off: {detail}")]
    Truncated { detail: String, source: Option<Cause> },
    #[error("the source's answer is no list of rows in json: {detail}")]
    NotJson { detail: String },
    #[error("the source's answer is not what was asked for: {detail}")]
    Unexpected { detail: String },
    #[error("the source's answer is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
}

impl SocrataError {
    /// Tells a service that asks to come back later from one that says no.
    pub(super) fn of_status(
        status: StatusCode,
        code: Option<String>,
        message: String,
        retry_after: Option<Duration>,
    ) -> Self {
        let http_status = status.as_u16();
        // 202 is Socrata's "still working on it, ask again".
        let later = status.is_server_error()
            || matches!(
                status,
                StatusCode::ACCEPTED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
            );
        if later {
            Self::Unavailable { http_status, code, message, retry_after }
        } else {
            Self::Rejected { http_status, code, message }
        }
    }

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
            Self::Unexpected { .. } => "source_unexpected",
            Self::TooLarge { .. } => "source_too_large",
        }
    }

    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Rejected { http_status, .. } | Self::Unavailable { http_status, .. } => Some(*http_status),
            _ => None,
        }
    }

    /// Says what to do about it. The client repeats what is waited for until `source.retry_max_elapsed`; the
    /// poll fails then, as it does at once with what is not.
    ///
    /// | kind | the poll | a command ends with | remedy |
    /// |---|---|---|---|
    /// | `Rejected` with 401 or 403 | fails | 1 | a token |
    /// | `Rejected` with 404 | fails | 1 | another resource |
    /// | `Rejected` otherwise | fails | 1 | mend columns or address |
    /// | `Unavailable` with 429 | waits | 69 | a token, or patience |
    /// | `Unavailable` otherwise, `TimedOut`, `Truncated` | waits | 69 | patience |
    /// | `Unreachable` | waits | 69 | mend the address, or let it be reached |
    /// | `NotJson` | waits | 69 | mend the address |
    /// | `Settings`, `TooLarge`, `Unexpected` | fails | 78, 1, 1 | mend the address |
    pub fn policy(&self) -> ErrorPolicy {
        let (directive, command_end, remedy) = match self {
            Self::Rejected { http_status: 401 | 403, .. } => {
                (Directive::Fail, CommandEnd::No, "set source.app_token to a token that the service knows")
            }
            Self::Rejected { http_status: 404, .. } => {
                (Directive::Fail, CommandEnd::No, "set source.url to a resource that the service has")
            }
            Self::Rejected { .. } => (
                Directive::Fail,
                CommandEnd::No,
                "mend source.columns and source.url; the message is the service's own",
            ),
            Self::Unavailable { http_status: 429, .. } => (
                Directive::Wait,
                CommandEnd::Unreachable,
                "set source.app_token, without which the service throttles, or wait",
            ),
            Self::Unavailable { .. } | Self::TimedOut { .. } | Self::Truncated { .. } => {
                (Directive::Wait, CommandEnd::Unreachable, "try again later; polls do so by themselves")
            }
            Self::Unreachable { .. } => (
                Directive::Wait,
                CommandEnd::Unreachable,
                "see that source.url is right and that this machine may reach it",
            ),
            Self::NotJson { .. } => (
                Directive::Wait,
                CommandEnd::Unreachable,
                "set source.url to the address of a Socrata resource, which ends in .json",
            ),
            Self::Settings { .. } => (Directive::Fail, CommandEnd::Settings, "mend source.url"),
            Self::TooLarge { .. } | Self::Unexpected { .. } => {
                (Directive::Fail, CommandEnd::No, "mend source.url")
            }
        };
        ErrorPolicy { directive, command_end, remedy: Some(remedy) }
    }

    /// Says whether the same request can succeed later.
    pub fn is_transient(&self) -> bool {
        self.policy().directive == Directive::Wait
    }

    /// Returns how long the source asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<Injected> for SocrataError {
    /// Makes of an injected failure what the client makes of the real one.
    fn from(fault: Injected) -> Self {
        let detail = fault.to_string();
        let status = match fault.failure {
            Failure::Timeout => return Self::TimedOut { detail, source: Some(Arc::new(fault)) },
            Failure::Cut => return Self::Truncated { detail, source: Some(Arc::new(fault)) },
            Failure::NotJson => return Self::NotJson { detail },
            Failure::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Failure::ServerError => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Rejected => StatusCode::BAD_REQUEST,
            Failure::NotAuthorized => StatusCode::FORBIDDEN,
            Failure::Refused
            // Of no call to a source.
            | Failure::DiskFull
            | Failure::Fenced
            | Failure::NoLeader
            | Failure::NoCoordinator
            | Failure::TooFewReplicas
            | Failure::TooLarge
            | Failure::ClientFatal
            | Failure::SerializationFailure
            | Failure::Deadlock
            | Failure::LockTimeout
            | Failure::TooManyConnections
            | Failure::AdminShutdown
            | Failure::ReadOnly
            | Failure::DataRefused => {
                return Self::Unreachable { detail, source: Some(Arc::new(fault)) };
            }
        };
        Self::of_status(status, None, detail, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Calls, Point};

    #[test]
    fn an_injected_failure_is_answered_like_the_real_one() {
        let code = |failure| {
            SocrataError::from(Injected { point: Point::named("poller:fetch:before"), failure }).code()
        };
        for failure in Calls::Source.failures() {
            let expected = match failure {
                Failure::Timeout => "source_timed_out",
                Failure::Cut => "source_truncated",
                Failure::Throttled | Failure::ServerError => "source_unavailable",
                Failure::Rejected | Failure::NotAuthorized => "source_rejected",
                Failure::NotJson => "source_not_json",
                _ => "source_unreachable",
            };
            assert_eq!(code(failure), expected, "{failure}");
        }
    }

    #[test]
    fn every_row_of_the_table_is_followed() {
        use CommandEnd::{No, Settings, Unreachable};
        use Directive::{Fail, Wait};
        let text = String::new;
        let rejected = |http_status| SocrataError::Rejected { http_status, code: None, message: text() };
        let unavailable = |http_status| SocrataError::Unavailable {
            http_status,
            code: None,
            message: text(),
            retry_after: None,
        };
        for (error, directive, command_end, remedy) in [
            (rejected(401), Fail, No, "set source.app_token to"),
            (rejected(403), Fail, No, "set source.app_token to"),
            (rejected(404), Fail, No, "set source.url to a resource"),
            (rejected(400), Fail, No, "mend source.columns"),
            (unavailable(429), Wait, Unreachable, "set source.app_token, without"),
            (unavailable(503), Wait, Unreachable, "try again later"),
            (SocrataError::TimedOut { detail: text(), source: None }, Wait, Unreachable, "try again later"),
            (SocrataError::Truncated { detail: text(), source: None }, Wait, Unreachable, "try again later"),
            (
                SocrataError::Unreachable { detail: text(), source: None },
                Wait,
                Unreachable,
                "see that source.url is right",
            ),
            (SocrataError::NotJson { detail: text() }, Wait, Unreachable, "set source.url to the address"),
            (SocrataError::Settings { detail: text(), source: None }, Fail, Settings, "mend source.url"),
            (SocrataError::TooLarge { limit_bytes: 1 }, Fail, No, "mend source.url"),
        ] {
            let policy = error.policy();
            assert_eq!((policy.directive, policy.command_end), (directive, command_end), "{error}");
            assert!(
                policy.remedy.is_some_and(|said| said.starts_with(remedy)),
                "{error}: {:?}",
                policy.remedy
            );
        }
    }
}
