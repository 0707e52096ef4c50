//! Asks an endpoint, and holds each answer against the description of the API.

use nyc311_testkit::Endpoint;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::api_description::check_answer;

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Returns a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Asserts that it is this problem.
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["type"].as_str()),
            (status, Some(format!("urn:nyc311:problem:{code}").as_str())),
            "{}",
            self.body
        );
        assert_eq!(self.body["status"], status);
    }
}

/// How a test asks.
pub trait Asking {
    /// Sends a request and holds the answer against the description of `path`, which is a template
    /// (`/v1/polls/{id}`).
    async fn call(
        &self,
        method: &str,
        path: &str,
        id: &str,
        request: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer;

    async fn get(&self, path: &str) -> Answer;
    async fn submit(&self, body: Value) -> Answer;
    async fn submit_with_key(&self, key: Option<&str>, body: Value) -> Answer;
    async fn with_poll(&self, method: &str, id: &str) -> Answer;
}

impl Asking for Endpoint {
    async fn call(
        &self,
        method: &str,
        path: &str,
        id: &str,
        request: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        let (template, query) = path.split_once('?').unwrap_or((path, ""));
        let method_sent = Method::from_bytes(method.as_bytes()).unwrap();
        let prepared = self.request(method_sent, &format!("{}?{query}", template.replace("{id}", id)));
        let response = request(prepared).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let content_type =
            headers.get("content-type").map(|value| value.to_str().unwrap()).unwrap_or_default();
        check_answer(template, method, status, content_type, &text);
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "", |request| request).await
    }

    async fn submit(&self, body: Value) -> Answer {
        self.submit_with_key(None, body).await
    }

    async fn submit_with_key(&self, key: Option<&str>, body: Value) -> Answer {
        self.call("POST", "/v1/polls", "", |request| {
            let request = request.header("content-type", "application/json").body(body.to_string());
            match key {
                Some(key) => request.header("Idempotency-Key", key),
                None => request,
            }
        })
        .await
    }

    async fn with_poll(&self, method: &str, id: &str) -> Answer {
        self.call(method, "/v1/polls/{id}", id, |request| request).await
    }
}

/// Returns the id of the poll that an answer shows.
pub fn id_of(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap().to_owned()
}
