//! Fetches pages over HTTP: the token, the timeouts, and which answers are asked for again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use nyc311_json::JsonError;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url, redirect};
use serde::Deserialize;

use super::counts::{Counted, MAX_MONTHS, MonthsRequest};
use super::error::SocrataError;
use super::keys::{Keys, KeysRequest};
use super::page::{Page, PageHead};
use super::query::PageRequest;
use crate::causes::{self, Cause};
use crate::config::SourceSettings;
use crate::fault_point;
use crate::retry::{AttemptError, Pace, RetryPolicy, retry};
use crate::telemetry::labels::{NoPage, SourceCode};

/// Bounds the memory that an answer of one row can take (promise 10).
const MAX_BODY_BYTES: usize = 512 << 20;
/// Bounds that of a page: rows of the city have 1.4 KB, so one that is larger holds rows as nobody expects.
const PAGE_BYTES: usize = 32 << 20;
const PAGE_BYTES_A_ROW: usize = 2 << 10;
/// An answer that brings less within `source.read_timeout` brings nothing: a page would take days.
const MIN_BYTES_IN_READ_TIMEOUT: usize = 1024;
/// A chain of redirections that is longer leads nowhere.
const MAX_REDIRECTIONS: usize = 10;
/// How much of an answer that is not understood goes into the error.
const MAX_EXCERPT_CHARS: usize = 200;
/// How much of a page goes into the error: up to so much before the place where it is wrong, and from there
/// on.
const PLACE_BEFORE_BYTES: usize = 24;
const PLACE_AFTER_BYTES: usize = 60;

/// One request as it went, for the metrics.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub code: SourceCode,
    pub duration: Duration,
}

/// Hears of every request.
pub type Observer = Arc<dyn Fn(&Attempt) + Send + Sync>;

/// Reads one dataset of a Socrata service.
#[derive(Clone)]
pub struct SocrataClient {
    http: reqwest::Client,
    url: Url,
    columns: Vec<String>,
    retry: RetryPolicy,
    read_timeout: Duration,
    observer: Observer,
}

impl SocrataClient {
    pub fn new(settings: &SourceSettings, observer: Observer) -> Result<Self, SocrataError> {
        let unusable = |what: &str, source: Cause| SocrataError::Settings {
            detail: format!("{what}: {}", causes::innermost(&source)),
            source: Some(source),
        };
        let url = Url::parse(&settings.url).map_err(|error| unusable("source.url", Arc::new(error)))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &settings.app_token {
            let mut token = HeaderValue::from_str(token.expose())
                .map_err(|error| unusable("source.app_token", Arc::new(error)))?;
            token.set_sensitive(true);
            headers.insert("X-App-Token", token);
        }
        let has_token = settings.app_token.is_some();
        let http = reqwest::Client::builder()
            .user_agent(concat!("nyc311/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::custom(move |attempt| follow(attempt, has_token)))
            .gzip(true)
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .build()
            .map_err(|error| unusable("http client", Arc::new(error)))?;
        let retry = RetryPolicy {
            pace: Pace { initial: settings.retry_initial_interval, max: settings.retry_max_interval },
            max_elapsed: settings.retry_max_elapsed,
        };
        let (columns, read_timeout) = (settings.columns.clone(), settings.read_timeout);
        Ok(Self { http, url, columns, retry, read_timeout, observer })
    }

    /// Fetches one page, again and again while the source is away or busy, as long as the settings allow.
    /// Dropping the future cuts it short, also between two attempts.
    pub async fn fetch_page(&self, request: &PageRequest) -> Result<Page, SocrataError> {
        self.ask(&request.parameters(&self.columns), request.limit).await
    }

    /// Asks a question whose answer has so many rows at most, as patiently.
    async fn ask(&self, parameters: &[(&'static str, String)], rows: usize) -> Result<Page, SocrataError> {
        let pausing = |error: &SocrataError, pause: Duration| {
            tracing::warn!(code = error.code(), %error, pause_ms = pause.as_millis(), "source request failed, trying again");
        };
        let attempt = || async {
            let started = Instant::now();
            let answer = self.attempt(parameters, max_body_bytes(rows)).await;
            let code = answer.as_ref().err().map_or(SourceCode::Status(200), attempt_code);
            (self.observer)(&Attempt { code, duration: started.elapsed() });
            answer.map_err(|error| match error.is_transient() {
                true => AttemptError::Transient { after: error.retry_after(), error },
                false => AttemptError::Permanent(error),
            })
        };
        retry(self.retry, pausing, attempt).await
    }

    /// Counts the rows of the source by month.
    pub async fn count_months(&self, request: &MonthsRequest) -> Result<Counted, SocrataError> {
        let page = self.ask(&request.parameters(), MAX_MONTHS).await?;
        Counted::read(&page)
    }

    /// Fetches keys, of a month or of a list of them.
    pub async fn fetch_keys(&self, request: &KeysRequest) -> Result<Keys, SocrataError> {
        let page = self.ask(&request.parameters(), request.limit).await?;
        Ok(Keys::read(&page))
    }

    async fn attempt(
        &self,
        parameters: &[(&'static str, String)],
        max_bytes: usize,
    ) -> Result<Page, SocrataError> {
        fault_point!("poller:fetch:before");
        let request = self.http.get(self.url.clone()).query(parameters);
        let asked_at = Timestamp::now();
        let response = request.send().await.map_err(request_error)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = read_body(response, self.read_timeout, max_bytes).await?;
        if status != StatusCode::OK {
            return Err(status_error(status, &headers, &body));
        }
        let head = PageHead { asked_at: Some(asked_at), ..page_head(&headers) };
        let page = Page::slice(body.clone(), head).map_err(|malformed| body_error(&body, malformed))?;
        fault_point!("poller:fetch:after");
        Ok(page)
    }
}

/// Follows a redirection, but never takes the token to somebody else: the client sends it along wherever it
/// goes.
fn follow(attempt: redirect::Attempt<'_>, has_token: bool) -> redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTIONS {
        return attempt
            .error(format!("more than {MAX_REDIRECTIONS} redirections; set source.url to where they lead"));
    }
    let leaves = attempt.previous().first().is_some_and(|first| !is_same_service(first, attempt.url()));
    if has_token && leaves {
        let origin = attempt.url().origin().ascii_serialization();
        return attempt.error(format!(
            "it redirects to {origin}, which is not told source.app_token; if the dataset has moved there, set source.url to it"
        ));
    }
    attempt.follow()
}

/// Tells whether an address is of the same service: the same origin, or the same host by HTTPS.
fn is_same_service(first: &Url, next: &Url) -> bool {
    first.origin() == next.origin()
        || first.host_str() == next.host_str() && first.scheme() == "http" && next.scheme() == "https"
}

fn attempt_code(error: &SocrataError) -> SourceCode {
    SourceCode::NoPage(match error {
        SocrataError::Rejected { http_status, .. } | SocrataError::Unavailable { http_status, .. } => {
            return SourceCode::Status(*http_status);
        }
        SocrataError::Settings { .. } => NoPage::Settings,
        SocrataError::Unreachable { .. } => NoPage::Unreachable,
        SocrataError::TimedOut { .. } => NoPage::TimedOut,
        SocrataError::Truncated { .. } => NoPage::Truncated,
        SocrataError::NotJson { .. } => NoPage::NotJson,
        SocrataError::Unexpected { .. } => NoPage::Unexpected,
        SocrataError::TooLarge { .. } => NoPage::TooLarge,
    })
}

/// How long the answer may be to a question for so many rows.
fn max_body_bytes(rows: usize) -> usize {
    if rows > 1 { PAGE_BYTES.max(rows.saturating_mul(PAGE_BYTES_A_ROW)) } else { MAX_BODY_BYTES }
}

async fn read_body(
    mut response: Response,
    read_timeout: Duration,
    max_bytes: usize,
) -> Result<Bytes, SocrataError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let too_large = SocrataError::TooLarge { limit_bytes: max_bytes };
    if announced > max_bytes {
        return Err(too_large);
    }
    let mut body = BytesMut::with_capacity(announced);
    // A byte now and then is silence too, though no wait for one of them is too long.
    let (mut since, mut received) = (Instant::now(), 0);
    while let Some(chunk) = response.chunk().await.map_err(body_read_error)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(too_large);
        }
        body.extend_from_slice(&chunk);
        received += chunk.len();
        if since.elapsed() >= read_timeout {
            if received < MIN_BYTES_IN_READ_TIMEOUT {
                let detail = format!("{received} bytes within {read_timeout:?}");
                return Err(SocrataError::TimedOut { detail, source: None });
            }
            (since, received) = (Instant::now(), 0);
        }
    }
    Ok(body.freeze())
}

fn request_error(error: reqwest::Error) -> SocrataError {
    let (detail, asked_wrongly, late) =
        (causes::innermost(&error), error.is_builder() || error.is_redirect(), error.is_timeout());
    let source = Some(without_address(error));
    if asked_wrongly {
        SocrataError::Settings { detail, source }
    } else if late {
        SocrataError::TimedOut { detail, source }
    } else {
        SocrataError::Unreachable { detail, source }
    }
}

fn body_read_error(error: reqwest::Error) -> SocrataError {
    let (detail, late) = (causes::innermost(&error), error.is_timeout());
    let source = Some(without_address(error));
    if late { SocrataError::TimedOut { detail, source } } else { SocrataError::Truncated { detail, source } }
}

/// Keeps the error without the address that it quotes, percent-encoded and as long as its query.
fn without_address(error: reqwest::Error) -> Cause {
    Arc::new(error.without_url())
}

fn body_error(body: &[u8], malformed: JsonError) -> SocrataError {
    let JsonError { at, ended, expected, row } = malformed;
    if ended && !body.is_empty() {
        let place = if row == 0 { "before its first row".to_owned() } else { format!("within row {row}") };
        let detail = format!("it ends {place}, after {} bytes", body.len());
        return SocrataError::Truncated { detail, source: None };
    }
    let row = if row == 0 { String::new() } else { format!(" in row {row}") };
    let found = if body.is_empty() { "nothing".to_owned() } else { place(body, at) };
    let detail = format!("at byte {at} of {}{row}: expected {expected}, found {found}", body.len());
    SocrataError::NotJson { detail }
}

/// Quotes what stands at a place, with a little of what stands before it.
fn place(body: &[u8], at: usize) -> String {
    let quoted = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_matches(char::REPLACEMENT_CHARACTER).escape_debug().to_string()
    };
    let (before, after) = body.split_at(at.min(body.len()));
    let before = &before[before.len().saturating_sub(PLACE_BEFORE_BYTES)..];
    let after = quoted(&after[..after.len().min(PLACE_AFTER_BYTES)]);
    if before.is_empty() { format!("`{after}`") } else { format!("`{after}` after `{}`", quoted(before)) }
}

/// What Socrata says in an error; newer parts of it write `errorCode`.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(alias = "errorCode")]
    code: Option<String>,
    message: Option<String>,
}

fn status_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> SocrataError {
    let said: ErrorBody = serde_json::from_slice(body).unwrap_or(ErrorBody { code: None, message: None });
    let message = said.message.unwrap_or_else(|| match excerpt(body) {
        text if text.is_empty() => status.canonical_reason().unwrap_or("no message").to_lowercase(),
        text => text,
    });
    SocrataError::of_status(status, said.code, message, retry_after(headers))
}

/// Reads `Retry-After`: seconds, or a date by the answer's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let named = http_date(text)?;
    let answered_at = time_header(headers, DATE.as_str()).unwrap_or_else(Timestamp::now);
    Some(Duration::try_from(named.duration_since(answered_at)).unwrap_or(Duration::ZERO))
}

fn page_head(headers: &HeaderMap) -> PageHead {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    PageHead {
        asked_at: None,
        answered_at: time_header(headers, DATE.as_str()),
        out_of_date: text("X-SODA2-Data-Out-Of-Date")
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true")),
        truth_modified_at: time_header(headers, "X-SODA2-Truth-Last-Modified"),
        replica_modified_at: time_header(headers, "X-SODA2-Secondary-Last-Modified"),
        fields: text("X-SODA2-Fields").map(str::to_owned),
    }
}

fn time_header(headers: &HeaderMap, name: &str) -> Option<Timestamp> {
    http_date(headers.get(name)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

fn excerpt(body: &[u8]) -> String {
    let head = &body[..body.len().min(MAX_EXCERPT_CHARS * 4)];
    String::from_utf8_lossy(head).trim().chars().take(MAX_EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn reads_what_the_source_says_of_itself() {
        let head = page_head(&headers(&[
            ("date", "Thu, 21 May 2026 06:00:00 GMT"),
            ("x-soda2-data-out-of-date", "true"),
            ("x-soda2-truth-last-modified", "Thu, 21 May 2026 01:41:00 GMT"),
            ("x-soda2-fields", "[\"unique_key\"]"),
        ]));
        assert_eq!(head.answered_at, Some("2026-05-21T06:00:00Z".parse().unwrap()));
        assert_eq!(head.truth_modified_at, Some("2026-05-21T01:41:00Z".parse().unwrap()));
        assert_eq!((head.out_of_date, head.replica_modified_at), (true, None));
        assert_eq!(head.fields.as_deref(), Some("[\"unique_key\"]"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        let dated =
            [("date", "Thu, 21 May 2026 06:00:00 GMT"), ("retry-after", "Thu, 21 May 2026 06:00:30 GMT")];
        assert_eq!(retry_after(&headers(&dated)), Some(Duration::from_secs(30)));
        let past =
            [("date", "Thu, 21 May 2026 06:00:00 GMT"), ("retry-after", "Thu, 21 May 2026 05:00:30 GMT")];
        assert_eq!(retry_after(&headers(&past)), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
    }

    #[test]
    fn only_answers_that_may_get_better_are_transient() {
        for (status, transient) in [
            (400, false),
            (401, false),
            (403, false),
            (404, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let error = status_error(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"");
            assert_eq!((error.is_transient(), error.http_status()), (transient, Some(status)));
        }
    }

    #[test]
    fn the_place_is_quoted_where_a_page_is_no_list_of_rows() {
        let text = |body: &str| {
            let malformed = Page::slice(body.to_owned().into(), PageHead::default()).unwrap_err();
            body_error(body.as_bytes(), malformed).to_string()
        };
        let filler = format!("{{\"a\":\"{}\"}}", "x".repeat(500));
        let page = format!("[{filler}\n,{{\"b\":\"\u{1}\n\"\n,{filler}");
        let error = text(&page);
        assert!(
            error.contains("at byte 517 of 1030 in row 2: expected no control character within a text"),
            "{error}"
        );
        assert!(
            error.contains(r#"found `\u{1}\n\"\n,{\"a\":\"xxx"#) && error.contains(r#"after `"#),
            "{error}"
        );
        assert!(!error.contains(&"x".repeat(60)), "{error}");
        let error = text("<!DOCTYPE html><html>");
        assert!(
            error.ends_with("at byte 0 of 21: expected `[`, with which a list of rows begins, found `<!DOCTYPE html><html>`"),
            "{error}"
        );
        assert!(text("").ends_with("found nothing"), "{}", text(""));
        assert!(text("[{},{\"a\":").ends_with("it ends within row 2, after 9 bytes"));
    }

    #[test]
    fn polls_and_metrics_call_an_error_by_one_name() {
        let detail = String::new;
        for error in [
            SocrataError::Settings { detail: detail(), source: None },
            SocrataError::Unreachable { detail: detail(), source: None },
            SocrataError::TimedOut { detail: detail(), source: None },
            SocrataError::Truncated { detail: detail(), source: None },
            SocrataError::NotJson { detail: detail() },
            SocrataError::TooLarge { limit_bytes: 1 },
        ] {
            assert_eq!(error.code(), format!("source_{}", attempt_code(&error)));
        }
    }

    #[test]
    fn the_source_is_quoted() {
        let body =
            br#"{"code":"query.soql.no-such-column","error":true,"message":"No such column: x","data":{}}"#;
        let error = status_error(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        let SocrataError::Rejected { code, message, .. } = error else { panic!("{error}") };
        assert_eq!(
            (code.as_deref(), message.as_str()),
            (Some("query.soql.no-such-column"), "No such column: x")
        );
        let error = status_error(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>down</html>");
        assert!(error.to_string().contains("<html>down</html>"));
    }
}
