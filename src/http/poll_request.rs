//! What callers may ask for in a poll: the body and headers of a submission.

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;
use serde_json::Value;

use super::fields::{Fields, idempotency_key};
use super::problem::Problem;
use crate::documents::{CLI_USER_AGENT, PollRequest};
use crate::store::polls::{NewPoll, Trigger, Window, WindowOn};

/// Reads a submission, naming everything that is wrong with it at once.
pub fn new_poll(request: &HttpRequest, body: Value) -> Result<NewPoll, Problem> {
    let idempotency_key = idempotency_key(request)?;
    let window = window(&body)?;
    let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let trigger = if agent.starts_with(CLI_USER_AGENT) { Trigger::Cli } else { Trigger::Api };
    Ok(NewPoll { idempotency_key, trigger, request: body, window })
}

/// Reads the window out of a body; `null` is the same as leaving a field out.
fn window(body: &Value) -> Result<Window, Problem> {
    let mut fields = Fields::of(body, &PollRequest::FIELDS)?;
    let (since, until) = (fields.moment("since"), fields.moment("until"));
    if (Window { on: WindowOn::UpdatedAt, since, until }).is_empty() {
        fields.refuse_stated("since", "is not before until, so the window is empty");
    }
    let on = match fields.stated("on") {
        None => WindowOn::UpdatedAt,
        Some(value) => match value.as_str().and_then(WindowOn::from_word) {
            Some(on) => {
                if on.needs_bound() && fields.stated("since").is_none() && fields.stated("until").is_none() {
                    let detail = "needs since or until: the durable cursor is a time of updated_at";
                    fields.refuse_stated("on", detail);
                }
                on
            }
            None => {
                fields.refuse_stated("on", "is neither \"updated_at\" nor \"created_date\"");
                WindowOn::UpdatedAt
            }
        },
    };
    fields.accept(Window { on, since, until })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(body: Value) -> String {
        let problem = window(&body).unwrap_err();
        format!("{problem} {problem:?}")
    }

    #[test]
    fn empty_body_asks_for_the_durable_cursor() {
        let open = Window { on: WindowOn::UpdatedAt, since: None, until: None };
        assert_eq!(window(&json!({})).unwrap(), open);
        assert_eq!(window(&json!({"since": null, "on": "updated_at"})).unwrap(), open);
    }

    #[test]
    fn window_is_read_with_any_offset() {
        let read = window(
            &json!({"since": "2026-01-01T00:00:00-05:00", "until": "2026-01-02", "on": "created_date"}),
        )
        .unwrap();
        assert_eq!(read.on, WindowOn::CreatedDate);
        assert_eq!(read.since.unwrap().to_string(), "2026-01-01T05:00:00Z");
        assert_eq!(read.until.unwrap().to_string(), "2026-01-02T05:00:00Z");
    }

    #[test]
    fn every_wrong_field_is_named() {
        let text = refused(json!({"sinse": 1, "a/b": 1, "since": "yesterday", "until": 5, "on": "closed"}));
        for expected in ["/sinse", "\\\"since\\\"", "/a~1b", "/since", "/until", "/on", "unknown-field"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(refused(json!([])).contains("is not an object"));
        assert!(
            refused(json!({"since": "2026-01-02", "until": "2026-01-02"})).contains("is not before until")
        );
        assert!(refused(json!({"on": "created_date"})).contains("needs since or until"));
    }
}
