//! Reads a request's body: bounded, of the right kind, JSON.

use std::collections::HashSet;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{BytesMut, Payload};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::REQUEST_TIMEOUT;
use super::problem::Problem;

/// Reads the body as JSON; an empty one is `{}`, whatever it is called.
pub async fn json(request: &HttpRequest, payload: Payload, max_bytes: usize) -> Result<Value, Problem> {
    // The server's own bound ends with the head of a request.
    let bytes = tokio::time::timeout(REQUEST_TIMEOUT, read(request, payload, max_bytes))
        .await
        .map_err(|_| Problem::request_timeout(REQUEST_TIMEOUT))??;
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    check_media_type(request)?;
    let body = serde_json::from_slice(&bytes).map_err(|error| Problem::malformed_json(error.to_string()))?;
    match stated_twice(&bytes) {
        Some(name) => Err(Problem::malformed_json(format!("the field {name:?} stands twice; state it once"))),
        None => Ok(body),
    }
}

/// Returns a field of an object that is stated twice: which of the two is meant only the caller knows.
fn stated_twice(body: &[u8]) -> Option<String> {
    let begin = body.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let (mut names, mut twice) = (HashSet::new(), None);
    let walked = nyc311_json::members(body, begin, |name, _| {
        let quoted = body.get(name.start - 1..=name.end).unwrap_or_default();
        let Ok(name) = serde_json::from_slice::<String>(quoted) else { return };
        if !names.insert(name.clone()) {
            twice.get_or_insert(name);
        }
    });
    // What is no object is refused by whoever reads the fields.
    walked.ok().and(twice)
}

async fn read(request: &HttpRequest, mut payload: Payload, max_bytes: usize) -> Result<BytesMut, Problem> {
    let stated =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|bytes| bytes > max_bytes as u64) {
        return Err(Problem::body_too_large(max_bytes));
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|error| Problem::malformed_json(format!("the body ended early: {error}")))?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(Problem::body_too_large(max_bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
    };
    if let Some(encoding) = header(CONTENT_ENCODING).filter(|encoding| encoding.trim() != "identity") {
        return Err(Problem::unsupported_media_type(format!(
            "the body is encoded as {encoding:?}; send it plain"
        )));
    }
    let Some(stated) = header(CONTENT_TYPE) else {
        return Err(Problem::unsupported_media_type(
            "the header `Content-Type: application/json` is missing",
        ));
    };
    let mut parts = stated.split(';').map(str::trim);
    let json = parts.next() == Some("application/json");
    let utf8 = parts.all(|part| match part.split_once('=') {
        Some((name, value)) if name.trim() == "charset" => {
            matches!(value.trim().trim_matches('"'), "utf-8" | "utf8" | "us-ascii")
        }
        _ => true,
    });
    if json && utf8 {
        Ok(())
    } else {
        Err(Problem::unsupported_media_type(format!(
            "the body is called {stated:?}; send application/json in UTF-8"
        )))
    }
}
