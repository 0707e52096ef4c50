//! What callers may ask for: the body and headers of a submission, the parameters of a list.

use actix_web::HttpRequest;
use actix_web::http::header::USER_AGENT;
use jiff::Timestamp;
use nyc311_notation::parse_instant;
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema as _};
use uuid::Uuid;

use super::problem::Problem;
use crate::documents::{
    CLI_USER_AGENT, FieldError, IdempotencyKey, LIST_DEFAULT, LIST_MAX, PAGE_TOKEN, PollRequest,
};
use crate::store::polls::{NewPoll, PollState, Trigger, Window, WindowOn};

const PARAMETERS: [&str; 3] = ["state", "limit", "page_token"];

/// Reads a submission, naming everything that is wrong with it at once.
pub fn new_poll(request: &HttpRequest, body: Value) -> Result<NewPoll, Problem> {
    let idempotency_key = idempotency_key(request)?;
    let window = window(&body)?;
    let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let trigger = if agent.starts_with(CLI_USER_AGENT) { Trigger::Cli } else { Trigger::Api };
    Ok(NewPoll { idempotency_key, trigger, request: body, window })
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut given = request.headers().get_all(IdempotencyKey::HEADER);
    let Some(key) = given.next() else { return Ok(None) };
    // What is not UTF-8 becomes a character that no key has.
    let shown = String::from_utf8_lossy(key.as_bytes());
    if given.next().is_some() {
        return Err(Problem::invalid_field(
            &format!("/{}", IdempotencyKey::HEADER),
            shown.as_ref(),
            "is sent twice",
        ));
    }
    match IdempotencyKey::read(&shown) {
        Ok(key) => Ok(Some(key.as_str().to_owned())),
        Err(fault) => Err(Problem::invalid_key(&shown, fault)),
    }
}

/// Reads the window out of a body; `null` is the same as leaving a field out.
fn window(body: &Value) -> Result<Window, Problem> {
    let Value::Object(fields) = body else {
        return Err(Problem::invalid_field("", body.clone(), "is not an object"));
    };
    let unknown = fields
        .iter()
        .filter(|(name, _)| !PollRequest::FIELDS.contains(&name.as_str()))
        .map(|(name, value)| unknown_field(&pointer(name), value.clone(), name, &PollRequest::FIELDS))
        .collect::<Vec<_>>();
    let mut invalid = Vec::new();
    let mut refuse = |name: &str, value: &Value, detail: String| {
        invalid.push(FieldError { pointer: pointer(name), value: value.clone(), detail });
    };
    let mut moment = |name: &str| -> Option<Timestamp> {
        let value = fields.get(name).filter(|value| !value.is_null())?;
        match value.as_str().map(parse_instant) {
            Some(Ok(moment)) => return Some(moment),
            Some(Err(error)) => refuse(name, value, error.to_string()),
            None => refuse(name, value, "is not a text".to_owned()),
        }
        None
    };
    let (since, until) = (moment("since"), moment("until"));
    if (Window { on: WindowOn::UpdatedAt, since, until }).is_empty() {
        refuse("since", &fields["since"], "is not before until, so the window is empty".to_owned());
    }
    let on = match fields.get("on").filter(|value| !value.is_null()) {
        None => WindowOn::UpdatedAt,
        Some(value) => match value.as_str().and_then(WindowOn::from_word) {
            Some(on) => {
                let stated = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
                if on.needs_bound() && !stated("since") && !stated("until") {
                    refuse(
                        "on",
                        value,
                        "needs since or until: the durable cursor is a time of updated_at".to_owned(),
                    );
                }
                on
            }
            None => {
                refuse("on", value, "is neither \"updated_at\" nor \"created_date\"".to_owned());
                WindowOn::UpdatedAt
            }
        },
    };
    if unknown.is_empty() && invalid.is_empty() {
        Ok(Window { on, since, until })
    } else {
        Err(Problem::fields(unknown, invalid))
    }
}

/// Which polls a list should show.
#[derive(Debug, PartialEq, Eq)]
pub struct ListRequest {
    pub states: Vec<PollState>,
    pub limit: u16,
    pub before: Option<Uuid>,
}

impl IntoParams for ListRequest {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, description: &str, schema: Schema| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .description(Some(description))
                .schema(Some(schema))
        };
        let text = || ObjectBuilder::new().schema_type(Type::String);
        // One of the words, or several between commas.
        let word = PollState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join("|");
        let states = AnyOfBuilder::new()
            .item(PollState::schema())
            .item(text().pattern(Some(format!("^ *({word})? *(, *({word})? *)*$"))));
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(LIST_MAX))
            .default(Some(LIST_DEFAULT.into()));
        vec![
            parameter(
                "state",
                "Only these states; repeat it or separate them by commas",
                ArrayBuilder::new().items(states).into(),
            )
            .style(Some(ParameterStyle::Form))
            .explode(Some(true))
            .build(),
            parameter("limit", "How many polls at most", limit.into()).build(),
            parameter(
                "page_token",
                "next_page_token of the page before; opaque, and none can be made up: it ends with a check sum. \
                 Empty for the first page",
                text().pattern(Some(format!("^$|{PAGE_TOKEN}"))).into(),
            )
            .build(),
        ]
    }
}

/// Reads the parameters of a list; `state` may be repeated or hold several, separated by commas.
pub fn list(query: &[(String, String)]) -> Result<ListRequest, Problem> {
    let mut wanted = ListRequest { states: Vec::new(), limit: LIST_DEFAULT, before: None };
    let (mut unknown, mut invalid) = (Vec::new(), Vec::new());
    for (name, value) in query {
        let mut refuse = |detail: String| {
            invalid.push(FieldError { pointer: pointer(name), value: Value::from(value.as_str()), detail });
        };
        match name.as_str() {
            "state" => {
                for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                    match PollState::from_word(word) {
                        Some(state) => wanted.states.push(state),
                        None => refuse(format!("{word:?} is none of {}", words())),
                    }
                }
            }
            "limit" => match value.parse() {
                Ok(limit) if (1..=LIST_MAX).contains(&limit) => wanted.limit = limit,
                _ => refuse(format!("is not a number from 1 to {LIST_MAX}")),
            },
            "page_token" if value.is_empty() => {}
            "page_token" => match read_page_token(value) {
                Some(before) => wanted.before = Some(before),
                None => refuse("is not a token of a list of this service".to_owned()),
            },
            _ => unknown.push(unknown_field(&pointer(name), Value::from(value.as_str()), name, &PARAMETERS)),
        }
    }
    if unknown.is_empty() && invalid.is_empty() { Ok(wanted) } else { Err(Problem::fields(unknown, invalid)) }
}

fn words() -> String {
    PollState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ")
}

/// Writes where the next page starts; the check keeps callers from making up their own.
pub fn page_token(last: Uuid) -> String {
    format!("{}{:08x}", last.simple(), crc32fast::hash(last.as_bytes()))
}

fn read_page_token(token: &str) -> Option<Uuid> {
    let last = Uuid::try_parse(token.get(..32)?).ok()?;
    (page_token(last) == token).then_some(last)
}

/// Refuses a field that nobody reads, with the name that is most like its own.
pub(super) fn unknown_field(pointer: &str, value: Value, name: &str, known: &[&str]) -> FieldError {
    let nearest = known
        .iter()
        .max_by(|left, right| strsim::jaro_winkler(name, left).total_cmp(&strsim::jaro_winkler(name, right)))
        .copied()
        .unwrap_or_default();
    let detail = format!("is not known; the nearest name is {nearest:?}, and there are {}", known.join(", "));
    FieldError { pointer: pointer.to_owned(), value, detail }
}

/// Escapes a name as RFC 6901 asks.
pub(super) fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
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

    #[test]
    fn page_token_is_read_back_and_cannot_be_made_up() {
        let id = Uuid::now_v7();
        assert_eq!(read_page_token(&page_token(id)), Some(id));
        assert_eq!(read_page_token(&id.simple().to_string()), None);
        assert_eq!(read_page_token("x"), None);
        assert_eq!(read_page_token("ééééééééééééééééééééé"), None);
    }

    #[test]
    fn list_parameters_are_read_and_unknown_ones_named() {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        let read = list(&pairs(&[("state", "queued,running"), ("state", "failed"), ("limit", "7")])).unwrap();
        assert_eq!(
            read,
            ListRequest {
                states: vec![PollState::Queued, PollState::Running, PollState::Failed],
                limit: 7,
                before: None
            }
        );
        for wrong in [
            ("limit", "0"),
            ("limit", "501"),
            ("limit", "x"),
            ("state", "done"),
            ("page_token", "x"),
            ("page", "2"),
        ] {
            assert!(list(&pairs(&[wrong])).is_err(), "{wrong:?}");
        }
    }
}
