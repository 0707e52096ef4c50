//! What callers may ask for in a list: the states, and the page.

use actix_web::{HttpRequest, web};
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use uuid::Uuid;

use super::fields::{pointer, unknown_field};
use super::problem::Problem;
use crate::documents::{FieldError, LIST_DEFAULT, LIST_MAX, PAGE_TOKEN};
use crate::words::Words;

const PARAMETERS: [&str; 3] = ["state", "limit", "page_token"];

/// Which of them a list should show.
#[derive(Debug, PartialEq, Eq)]
pub struct ListRequest<S> {
    pub states: Vec<S>,
    pub limit: u16,
    pub before: Option<Uuid>,
}

impl<S: Words> IntoParams for ListRequest<S> {
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
        let word = S::EVERY.iter().map(|state| state.word()).collect::<Vec<_>>().join("|");
        let states = AnyOfBuilder::new()
            .item(S::schema())
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
            parameter("limit", "How many at most", limit.into()).build(),
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

/// Reads the parameters from the query of a request.
pub fn of_query<S: Words>(request: &HttpRequest) -> Result<ListRequest<S>, Problem> {
    let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|error| Problem::invalid_field("", request.query_string(), error.to_string()))?;
    list(&query)
}

/// Cuts what was found down to a page, of which one more than asked for was read, and returns the token of
/// the next page where there is one.
pub fn page<T>(found: &mut Vec<T>, limit: u16, id: impl Fn(&T) -> Uuid) -> Option<String> {
    let is_more = found.len() > usize::from(limit);
    found.truncate(usize::from(limit));
    found.last().filter(|_| is_more).map(|last| page_token(id(last)))
}

/// Reads the parameters of a list; `state` may be repeated or hold several, separated by commas.
fn list<S: Words>(query: &[(String, String)]) -> Result<ListRequest<S>, Problem> {
    let mut wanted = ListRequest { states: Vec::new(), limit: LIST_DEFAULT, before: None };
    let (mut unknown, mut invalid) = (Vec::new(), Vec::new());
    for (name, value) in query {
        let mut refuse = |detail: String| {
            invalid.push(FieldError { pointer: pointer(name), value: Value::from(value.as_str()), detail });
        };
        match name.as_str() {
            "state" => {
                for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                    match S::EVERY.iter().copied().find(|state| state.word() == word) {
                        Some(state) => wanted.states.push(state),
                        None => refuse(format!("{word:?} is none of {}", words::<S>())),
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

fn words<S: Words>() -> String {
    S::EVERY.iter().map(|state| state.word()).collect::<Vec<_>>().join(", ")
}

/// Writes where the next page starts; the check keeps callers from making up their own.
fn page_token(last: Uuid) -> String {
    format!("{}{:08x}", last.simple(), crc32fast::hash(last.as_bytes()))
}

fn read_page_token(token: &str) -> Option<Uuid> {
    let last = Uuid::try_parse(token.get(..32)?).ok()?;
    (page_token(last) == token).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::PollState;

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
        let read: ListRequest<PollState> =
            list(&pairs(&[("state", "queued,running"), ("state", "failed"), ("limit", "7")])).unwrap();
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
            assert!(list::<PollState>(&pairs(&[wrong])).is_err(), "{wrong:?}");
        }
    }
}
