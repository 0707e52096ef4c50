//! Holds real answers against the description of the API, so that neither changes without the other.

use jsonschema::Validator;
use serde_json::{Map, Value};

/// The description, as it is served.
pub fn description() -> Value {
    serde_json::from_str(&nyc311::http::OPENAPI).expect("the description is JSON")
}

/// Makes a validator of a schema of the description; what it refers to stands in there too.
pub fn validator(description: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = description["components"].clone();
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
}

/// Checks that the description knows this status of this operation, and that the body has the promised form.
pub fn check_answer(path: &str, method: &str, status: u16, content_type: &str, body: &str) {
    let description = description();
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let operation = &description["paths"][path][&method];
    assert!(operation.is_object(), "{method} {path} is not described");
    let answer = resolve(&description, &operation["responses"][status.to_string()]);
    assert!(answer.is_object(), "{method} {path}: {status} is not described");
    if answer["content"].is_null() {
        assert_eq!(body, "", "{method} {path}: {status} is described without a body");
        return;
    }
    let kind = content_type.split(';').next().unwrap_or_default();
    let schema = &answer["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {path}: {status} is not described as {kind:?}");
    if kind.ends_with("json") && !body.is_empty() {
        let body = serde_json::from_str(body).expect("the body is JSON");
        check(&description, schema, &body, &format!("{method} {path} {status}"));
        // The check above knows what this service writes; this one knows all that a schema can say.
        let wrong: Vec<_> =
            validator(&description, schema).iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:?}");
    }
}

/// Checks a body that belongs to no described path: it must be a problem all the same.
pub fn check_problem(body: &str) {
    let description = description();
    let body = serde_json::from_str(body).expect("the body is JSON");
    check(&description, &description["components"]["schemas"]["Problem"], &body, "problem");
}

fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            description.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere")
        }
        None => value,
    }
}

fn check(description: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(description, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let chosen = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null());
        return check(description, chosen.unwrap_or_else(|| panic!("{at}: none of oneOf")), value, at);
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value} is none of {allowed:?}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = types.contains(&is) || is == "integer" && types.contains(&"number");
    assert!(fits, "{at}: {value} is no {types:?}");
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        assert!(
            text.len() == 24 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
            "{at}: {text}"
        );
    }
    match value {
        Value::Array(items) => {
            items.iter().for_each(|item| check(description, &schema["items"], item, &format!("{at}[]")))
        }
        Value::Object(fields) => check_fields(description, schema, fields, at),
        _ => {}
    }
}

fn check_fields(description: &Value, schema: &Value, fields: &Map<String, Value>, at: &str) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(fields.contains_key(name), "{at}: {name} is missing");
    }
    for (name, value) in fields {
        let (known, others) = (&schema["properties"][name], &schema["additionalProperties"]);
        let schema = if known.is_object() { known } else { others };
        assert!(schema.is_object() || others.is_null(), "{at}: {name} is not described");
        check(description, schema, value, &format!("{at}.{name}"));
    }
}
