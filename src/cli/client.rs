//! Asks a running service over HTTP.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::exit::{self, CommandError};
use crate::causes;
use crate::config::{Secret, Settings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The service gives its database `database.connect_timeout`, a minute at most, and ten seconds more before it answers 503. Whoever gives
/// up before does not hear whether a poll was queued.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// How much is shown of an answer that is not one of the service's own.
const SHOWN_CHARACTERS: usize = 200;

/// A service that is asked for things.
pub struct ControlClient {
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
}

/// An answer that is not an error.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

/// Why there is no such answer.
#[derive(Debug)]
pub enum AskError {
    /// Nobody answered: asking again may help.
    Away(String),
    /// The answer is that it cannot be done now: asking again may help.
    Failing(String),
    /// The answer is a problem document.
    Problem { status: u16, code: String, detail: String, retry_after: Option<u64> },
    /// Whoever answered is no service of ours.
    Stranger(String),
}

impl ControlClient {
    pub fn new(settings: &Settings) -> Result<Self, CommandError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("nyc311-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // The service is an inside matter; a proxy for the web does not know it.
            .no_proxy()
            .build()
            .map_err(|error| CommandError::new(exit::NO, format!("cannot start the client: {error}")))?;
        Ok(Self { http, url: settings.client.url.clone(), token: settings.http.token.clone() })
    }

    /// Sends a request and reads the JSON of its answer.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        request: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, AskError> {
        let mut builder = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.expose());
        }
        let away = |error: reqwest::Error| {
            AskError::Away(format!("{} does not answer: {}", self.url, cause(&error)))
        };
        let response = request(builder).send().await.map_err(away)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await.map_err(away)?;
        let body: Option<Value> = serde_json::from_str(&text).ok();
        match body {
            Some(body) if status < 400 => Ok(Answer { status, body }),
            // `/readyz` answers 503 with a document of its own.
            Some(body) if body["ready"] == false => Ok(Answer { status, body }),
            Some(body) if body["type"].is_string() => {
                let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
                let code = text("type").rsplit(':').next().unwrap_or_default().to_owned();
                if status >= 500 {
                    Err(AskError::Failing(format!("{} answers {status}: {}", self.url, text("detail"))))
                } else {
                    Err(AskError::Problem { status, code, detail: text("detail"), retry_after })
                }
            }
            _ if status >= 500 => {
                Err(AskError::Failing(format!("{} answers {status}{}", self.url, said(&text))))
            }
            _ => Err(AskError::Stranger(format!(
                "{} answers {status} and not as nyc311 does; does client.url name it?",
                self.url
            ))),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Answer, AskError> {
        self.ask(Method::GET, path, |request| request).await
    }
}

impl From<AskError> for CommandError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Away(detail) => Self::new(
                exit::UNREACHABLE,
                format!("{detail}; is the service running where client.url says?"),
            ),
            AskError::Failing(detail) | AskError::Stranger(detail) => Self::new(exit::UNREACHABLE, detail),
            AskError::Problem { status: 401 | 403, detail, .. } => Self::new(
                exit::REFUSED,
                format!(
                    "the service refuses the token: {detail}; set NYC311_HTTP__TOKEN or NYC311_HTTP__TOKEN_FILE"
                ),
            ),
            AskError::Problem { status: 400 | 422, code, detail, .. } if code != "idempotency-conflict" => {
                Self::new(exit::USAGE, detail)
            }
            AskError::Problem { detail, retry_after: Some(seconds), .. } => {
                Self::new(exit::NO, format!("{detail}, in {seconds} s at the earliest"))
            }
            AskError::Problem { detail, retry_after: None, .. } => Self::new(exit::NO, detail),
        }
    }
}

/// Shows the first line of what a proxy answers in the place of the service, unless it is a page for a browser.
fn said(text: &str) -> String {
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) if !line.starts_with('<') => {
            format!(": {}", line.chars().take(SHOWN_CHARACTERS).collect::<String>())
        }
        _ => String::new(),
    }
}

/// Says what lies under an error of the client.
fn cause(error: &reqwest::Error) -> String {
    let innermost = causes::innermost(error);
    if error.is_timeout() { format!("no answer in time ({innermost})") } else { innermost }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LONGEST_CONNECT;

    #[test]
    fn patience_outlasts_the_service() {
        assert!(ANSWER_TIMEOUT > LONGEST_CONNECT + Duration::from_secs(10) + CONNECT_TIMEOUT);
    }

    #[test]
    fn only_words_are_shown_of_a_foreign_answer() {
        assert_eq!(said("\n upstream is down\nmore"), ": upstream is down");
        assert_eq!(said("<html>"), "");
        assert_eq!(said(""), "");
        assert_eq!(said(&"x".repeat(1_000)).len(), 2 + SHOWN_CHARACTERS);
    }
}
