//! Asks a running service over HTTP.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::exit::{self, Failure};
use crate::config::{Secret, Settings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The service bounds its own answers well below this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// Nobody answered, or only that it cannot now: asking again may help.
    Away(String),
    /// The answer is a problem document.
    Problem { status: u16, code: String, detail: String },
    /// Whoever answered is no service of ours.
    Stranger(String),
}

impl ControlClient {
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("nyc311-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // The service is an inside matter; a proxy for the web does not know it.
            .no_proxy()
            .build()
            .map_err(|error| Failure::new(exit::NO, format!("cannot start the client: {error}")))?;
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
            AskError::Away(format!("{} does not answer: {}", self.url, causes(&error)))
        };
        let response = request(builder).send().await.map_err(away)?;
        let status = response.status().as_u16();
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
                    Err(AskError::Away(text("detail")))
                } else {
                    Err(AskError::Problem { status, code, detail: text("detail") })
                }
            }
            _ if status >= 500 => Err(AskError::Away(format!("{} answers {status}", self.url))),
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

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Away(detail) => Self::new(
                exit::UNREACHABLE,
                format!("{detail}; is the service running where client.url says?"),
            ),
            AskError::Stranger(detail) => Self::new(exit::UNREACHABLE, detail),
            AskError::Problem { status: 401 | 403, detail, .. } => Self::new(
                exit::REFUSED,
                format!(
                    "the service refuses the token: {detail}; set NYC311_HTTP__TOKEN or NYC311_HTTP__TOKEN_FILE"
                ),
            ),
            AskError::Problem { status: 400 | 422, code, detail } if code != "idempotency-conflict" => {
                Self::new(exit::USAGE, detail)
            }
            AskError::Problem { detail, .. } => Self::new(exit::NO, detail),
        }
    }
}

/// Says what lies under an error of the client, which by itself only names the address.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { format!("no answer in time ({innermost})") } else { innermost.to_string() }
}
