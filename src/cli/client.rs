//! Asks a running service over HTTP.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::exit::{self, CommandError};
use crate::causes;
use crate::config::{Secret, Settings};
use crate::documents::{CLI_USER_AGENT, ProblemCode, ProblemDocument};
use crate::tls::{self, TlsRefusal, TlsSettingNames, Trust};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The service gives its database `database.connect_timeout`, a minute at most, and ten seconds more before
/// it answers 503. Whoever gives up before does not hear whether a poll was queued.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// How much is shown of an answer that is not one of the service's own.
const SHOWN_CHARACTERS: usize = 200;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A service that is asked for things.
pub struct ControlClient {
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
}

/// Why there is no document.
#[derive(Debug)]
pub enum AskError {
    /// Nobody answered: asking again may help.
    Away(String),
    /// Whoever answers is not taken for the service.
    Insecure(String),
    /// The answer is that it cannot be done now: asking again may help.
    Failing(String),
    /// The answer is a problem document.
    Problem { status: u16, code: Option<ProblemCode>, detail: String, retry_after: Option<u64> },
    /// Whoever answered is no service of ours, or one of another version.
    Stranger(String),
}

impl ControlClient {
    pub fn new(settings: &Settings) -> Result<Self, CommandError> {
        let builder = match settings.client.url.starts_with("https") {
            true => reqwest::Client::builder().use_preconfigured_tls(tls_client(settings)?),
            false => reqwest::Client::builder(),
        };
        let http = builder
            .user_agent(format!("{CLI_USER_AGENT}{VERSION}"))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // The service is an inside matter; a proxy for the web does not know it.
            .no_proxy()
            .build()
            .map_err(|error| CommandError::new(exit::NO, format!("cannot start the client: {error}")))?;
        Ok(Self { http, url: settings.client.url.clone(), token: settings.http.token.clone() })
    }

    /// Sends a request and reads the document of its answer.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, AskError> {
        let (status, text) = self.answer(method, path, request).await?;
        // Also what is asked for may come with an error's status: `/readyz` answers 503 with its own
        // document.
        match serde_json::from_str(&text) {
            Ok(document) => Ok(document),
            Err(_) if status >= 500 => {
                Err(AskError::Failing(format!("{} answers {status}{}", self.url, said(&text))))
            }
            Err(unread) => Err(AskError::Stranger(self.unread(status, &text, &unread))),
        }
    }

    /// Sends a request whose answer has no document.
    pub async fn tell(&self, method: Method, path: &str) -> Result<(), AskError> {
        match self.answer(method, path, |request| request).await? {
            (204, _) => Ok(()),
            (status, text) if status >= 500 => {
                Err(AskError::Failing(format!("{} answers {status}{}", self.url, said(&text))))
            }
            (status, _) => Err(AskError::Stranger(self.foreign(status))),
        }
    }

    /// Sends a request and returns the answer's status and text, unless it is a problem.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        request: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(u16, String), AskError> {
        let mut builder = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.expose());
        }
        let away = |error: reqwest::Error| {
            if let Some(refusal) = TlsRefusal::under(&error, TLS_NAMES) {
                return AskError::Insecure(format!("no encrypted connection to {}: {refusal}", self.url));
            }
            AskError::Away(format!("{} does not answer: {}", self.url, cause(&error)))
        };
        let response = request(builder).send().await.map_err(away)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await.map_err(away)?;
        if status >= 400
            && let Ok(problem) = serde_json::from_str::<ProblemDocument>(&text)
        {
            return Err(if status >= 500 {
                AskError::Failing(format!("{} answers {status}: {}", self.url, problem.detail))
            } else {
                AskError::Problem { status, code: problem.code(), detail: problem.detail, retry_after }
            });
        }
        Ok((status, text))
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        self.ask(Method::GET, path, |request| request).await
    }

    /// Says why an answer could not be read: JSON may come from a service of another version, anything else
    /// does not.
    fn unread(&self, status: u16, text: &str, unread: &serde_json::Error) -> String {
        if status < 400 && serde_json::from_str::<Value>(text).is_ok() {
            format!(
                "{} answers {status} and not as nyc311 does of version {VERSION} ({unread}); is the service of another version, or does client.url name something else?",
                self.url
            )
        } else {
            self.foreign(status)
        }
    }

    fn foreign(&self, status: u16) -> String {
        format!("{} answers {status} and not as nyc311 does; does client.url name it?", self.url)
    }
}

/// How an operator calls what TLS rests on here.
const TLS_NAMES: TlsSettingNames =
    TlsSettingNames { address: "client.url", roots: "client.root_certificate", own: "client.url" };

/// Trusts whom the settings name, and the certificate that the service of this machine was told to show: it
/// is asked by an address of this machine, which no certificate names.
fn tls_client(settings: &Settings) -> Result<ClientConfig, CommandError> {
    let wrong = |path: &str, error: &dyn std::fmt::Display| {
        CommandError::new(exit::SETTINGS, format!("{path} cannot be used: {error}"))
    };
    let own = match &settings.http.tls_certificate {
        None => None,
        Some(file) => {
            let shown =
                tls::read_certificates(file).map_err(|error| wrong("http.tls_certificate", &error))?;
            shown.into_iter().next()
        }
    };
    let roots = match &settings.client.root_certificate {
        Some(file) => tls::read_certificates(file),
        None => tls::read_system_roots(),
    };
    let trust = match roots {
        Ok(roots) => {
            Trust::in_roots(roots, true).map_err(|error| wrong("client.root_certificate", &error))?
        }
        // A small image may have no roots, and the service of this machine can be asked all the same.
        Err(_) if own.is_some() && settings.client.root_certificate.is_none() => Trust::nobody(),
        Err(error) => return Err(wrong("client.root_certificate", &error)),
    };
    let trust = match own {
        Some(own) => trust.and_own(own),
        None => trust,
    };
    trust.client(None).map_err(|error| wrong("client.root_certificate", &error))
}

impl From<AskError> for CommandError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Away(detail) => Self::new(
                exit::UNREACHABLE,
                format!("{detail}; is the service running where client.url says?"),
            ),
            AskError::Insecure(detail) => Self::new(exit::SETTINGS, detail),
            AskError::Failing(detail) | AskError::Stranger(detail) => Self::new(exit::UNREACHABLE, detail),
            // The service does as its settings say, and the token is right.
            AskError::Problem { code: Some(ProblemCode::FeatureDisabled), detail, .. } => {
                Self::new(exit::NO, detail)
            }
            AskError::Problem { status: 401 | 403, detail, .. } => Self::new(
                exit::REFUSED,
                format!(
                    "the service refuses the token: {detail}; set NYC311_HTTP__TOKEN or NYC311_HTTP__TOKEN_FILE"
                ),
            ),
            AskError::Problem { status: 400 | 422, code, detail, .. }
                if code != Some(ProblemCode::IdempotencyConflict) =>
            {
                Self::new(exit::USAGE, detail)
            }
            AskError::Problem { detail, retry_after: Some(seconds), .. } => {
                Self::new(exit::NO, format!("{detail}, in {seconds} s at the earliest"))
            }
            AskError::Problem { detail, retry_after: None, .. } => Self::new(exit::NO, detail),
        }
    }
}

/// Shows the first line of what a proxy answers in the place of the service, unless it is a page for a
/// browser.
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
