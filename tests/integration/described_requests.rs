//! Holds what the description says of requests against what the running service takes: one must not accept
//! what the other refuses.

use jsonschema::Validator;
use nyc311::documents::{IdempotencyKey, LIST_MAX};
use nyc311_testkit::{Endpoint, TestDatabase, http_client};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api_description::{self, description};

/// Makes a validator of the schema at a place of the description.
fn validator(pointer: &str) -> Validator {
    let description = description();
    let schema = description.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is described"));
    api_description::validator(&description, schema)
}

/// The place of a parameter's schema.
fn parameter(operation: &str, name: &str) -> String {
    let described = description();
    let parameters = described.pointer(operation).unwrap()["parameters"].as_array().unwrap().clone();
    let index = parameters.iter().position(|parameter| parameter["name"] == name);
    format!("{operation}/parameters/{}/schema", index.unwrap_or_else(|| panic!("{name} is described")))
}

const SUBMIT: &str = "/paths/~1v1~1polls/post";
const LIST: &str = "/paths/~1v1~1polls/get";

struct Service {
    // The tables go with it.
    _database: TestDatabase,
    endpoint: Endpoint,
}

impl Service {
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        let endpoint = Endpoint::start(database.another_store(), None, &[("poll.max_queued", "1000")]);
        Self { _database: database, endpoint }
    }

    async fn submit(&self, content_type: Option<&str>, key: Option<&str>, body: String) -> u16 {
        let headers = [("Content-Type", content_type), (IdempotencyKey::HEADER, key)];
        let mut request = http_client().post(format!("{}/v1/polls", self.endpoint.url)).body(body);
        for (name, value) in headers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    async fn list(&self, query: &[(&str, &str)]) -> u16 {
        let url = format!("{}/v1/polls", self.endpoint.url);
        http_client().request(Method::GET, url).query(query).send().await.unwrap().status().as_u16()
    }
}

/// Tells what a status means: taken, or refused for what was sent.
fn is_taken(status: u16) -> bool {
    match status {
        200 | 202 => true,
        415 | 422 => false,
        other => panic!("{other} says neither that the request is right nor that it is wrong"),
    }
}

#[actix_rt::test]
async fn bodies_are_taken_where_they_are_described() {
    let (service, described) = (Service::start().await, validator("/components/schemas/PollRequest"));
    let texts = [
        "2026-01-31T00:00:00Z",
        "2026-01-31t00:00:00z",
        "2026-01-31T00:00:00-05:00",
        "2026-01-31T00:00:00+25:59",
        "2026-01-31T00:00:00+26:00",
        "2026-01-31T00:00:00-00:00",
        "2026-01-31T00:00:00.1Z",
        "2026-01-31T00:00:00.123456789Z",
        "2026-01-31T00:00:00.1234567891Z",
        "2026-01-31T00:00:00.Z",
        "2026-01-31T00:00:00,5Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:60:00Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T23:59:61Z",
        "2026-01-31T00:00Z",
        "2026-01-31T00:00:00",
        "2026-01-31 00:00:00Z",
        "2026-01-31T00:00:00+0500",
        "2026-01-31T00:00:00+05",
        "2026-01-31",
        "2026-02-28",
        "2026-02-29",
        "2024-02-29",
        "2000-02-29",
        "1900-02-29",
        "2100-02-29",
        "2400-02-29",
        "2024-02-30",
        "2026-04-30",
        "2026-04-31",
        "2026-12-31",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2026-01-32",
        "1900-01-02",
        "1899-12-31",
        "8999-12-31",
        "9998-12-30",
        "9999-01-02",
        "0026-01-31",
        "2026-1-31",
        "20260131",
        "2026-031",
        "2026-01-31T00:00:00-05:00[America/New_York]",
        "yesterday",
        "",
        " 2026-01-31",
        "2026-01-31 ",
        "2026-01-31\n",
        "1769835600",
        "+2026-01-31",
        "٢٠٢٦-01-31",
    ];
    let values = [json!(1), json!(1.5), json!(true), json!([]), json!({}), json!(["2026-01-31"])];
    let times = texts.iter().map(|text| json!(text)).chain(values.clone());
    let mut bodies: Vec<Value> =
        times.flat_map(|time| [json!({"since": time}), json!({"until": time})]).collect();
    bodies.extend(values.iter().map(|value| json!({"on": value})));
    bodies.extend(values.clone());
    bodies.extend([
        json!(null),
        json!("since"),
        json!({}),
        json!({"since": null}),
        json!({"since": null, "until": null, "on": null}),
        json!({"since": "2026-01-30", "until": null}),
        json!({"since": "2026-01-30", "until": "2026-01-31"}),
        json!({"sinse": "2026-01-30"}),
        json!({"since": "2026-01-30", "mode": null}),
        json!({"Since": "2026-01-30"}),
        json!({"on": "updated_at"}),
        json!({"on": "Updated_at"}),
        json!({"on": "closed_date"}),
        json!({"on": ""}),
        json!({"on": "created_date"}),
        json!({"on": "created_date", "since": null}),
        json!({"on": "created_date", "since": null, "until": null}),
        json!({"on": "created_date", "since": "2026-01-30"}),
        json!({"on": "created_date", "until": "2026-01-30"}),
        json!({"on": "created_date", "since": null, "until": "2026-01-30"}),
        json!({"on": "created_date", "since": "2026-01-30", "until": "2026-01-31"}),
        json!({"on": "created_date", "since": "soon"}),
        json!({"on": "updated_at", "until": "2026-01-30"}),
    ]);
    let mut disagreements = Vec::new();
    let mut taken_in_all = 0;
    for body in &bodies {
        let taken = is_taken(service.submit(Some("application/json"), None, body.to_string()).await);
        taken_in_all += usize::from(taken);
        if taken != described.is_valid(body) {
            disagreements.push(format!("{body}: taken is {taken}, described is {}", !taken));
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(taken_in_all > 30 && bodies.len() - taken_in_all > 60, "{taken_in_all} of {}", bodies.len());
}

#[actix_rt::test]
async fn keys_are_taken_where_they_are_described() {
    let (service, described) =
        (Service::start().await, validator(&parameter(SUBMIT, IdempotencyKey::HEADER)));
    let longest = "k".repeat(IdempotencyKey::MAX_CHARACTERS);
    let longer = format!("{longest}k");
    for key in ["k", "~", "!", "a b", "nightly/2026-01-31", "", "clé", "a\tb", "\u{7f}x", &longest, &longer]
    {
        // What HTTP does not carry cannot be held against the service.
        if reqwest::header::HeaderValue::from_str(key).is_err() {
            assert!(!described.is_valid(&json!(key)), "{key:?}");
            continue;
        }
        let taken = is_taken(service.submit(None, Some(key), String::new()).await);
        assert_eq!(taken, described.is_valid(&json!(key)), "{key:?}");
    }
}

#[actix_rt::test]
async fn parameters_are_taken_where_they_are_described() {
    let service = Service::start().await;
    service.submit(None, None, String::new()).await;
    service.submit(None, None, String::new()).await;
    let page = http_client().get(format!("{}/v1/polls?limit=1", service.endpoint.url)).send().await.unwrap();
    let page: Value = serde_json::from_str(&page.text().await.unwrap()).unwrap();
    let token = page["next_page_token"].as_str().unwrap();
    let (longest, longer) = (LIST_MAX.to_string(), (LIST_MAX + 1).to_string());
    let upper = token.to_uppercase();
    let cases: [(&str, &[&str]); 3] = [
        (
            "state",
            &["queued", "queued,running", " queued , failed", "", ",", "done", "Queued", "queued;failed"],
        ),
        (
            "limit",
            &["1", "50", &longest, "0", "-1", &longer, "many", "1.5", "", "1e2", "99999999999999999999"],
        ),
        ("page_token", &[token, "", "abc", &upper, &token[..39], "é", &format!("{token}0"), " "]),
    ];
    let mut described_in_all = Vec::new();
    for (name, values) in cases {
        described_in_all.push(name);
        let described = validator(&parameter(LIST, name));
        for value in values {
            // As a reader of the description makes a parameter into a value: a number where one is described.
            let read = match name {
                "limit" => value.parse::<i64>().map_or_else(|_| json!(value), Value::from),
                "state" => json!([value]),
                _ => json!(value),
            };
            let taken = is_taken(service.list(&[(name, value)]).await);
            assert_eq!(taken, described.is_valid(&read), "{name}={value:?}");
        }
    }
    let several = [("state", "queued"), ("state", "failed")];
    assert!(is_taken(service.list(&several).await));
    assert!(validator(&parameter(LIST, "state")).is_valid(&json!(["queued", "failed"])));
    // No other parameter is described, and none is taken.
    let described = description();
    let names = described.pointer(LIST).unwrap()["parameters"].as_array().unwrap();
    assert_eq!(names.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), described_in_all);
    assert!(!is_taken(service.list(&[("page", "2")]).await));
}

#[actix_rt::test]
async fn bodies_are_taken_in_the_described_media_type_alone() {
    let service = Service::start().await;
    let described = description();
    let body = &described.pointer(SUBMIT).unwrap()["requestBody"];
    let types: Vec<&str> = body["content"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(types, ["application/json"]);
    for media_type in ["application/json", "text/plain", "application/x-www-form-urlencoded", "text/json"] {
        let taken = is_taken(service.submit(Some(media_type), None, "{}".to_owned()).await);
        assert_eq!(taken, types.contains(&media_type), "{media_type}");
    }
    assert!(body["required"] != true && is_taken(service.submit(None, None, String::new()).await));
}

#[actix_rt::test]
async fn faults_are_taken_where_they_are_described() {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start(database.another_store(), None, &[("faults.enabled", "true")]);
    let described = validator("/components/schemas/FaultRequest");
    // At a visit that nobody lives to see: other tests run in this process.
    let body = |changes: Value| {
        let mut body = json!({"point": "poller:finish:after", "fault": "error", "skip": 1_u64 << 50});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let mut bodies = vec![json!(null), json!([]), json!("kill"), json!({}), body(json!({}))];
    for value in [json!(null), json!(1), json!(1.5), json!(true), json!([]), json!({}), json!("x"), json!("")]
    {
        for field in ["stage", "point", "fault", "error", "skip", "every", "count", "probability"] {
            // Without a skip it would strike.
            if field != "skip" || !value.is_null() {
                bodies.push(body(json!({field: value})));
            }
        }
        bodies.push(body(json!({"seed": value, "probability": 0.5})));
    }
    for (field, values) in [
        ("count", [json!(0), json!(-1), json!(1_u64 << 53), json!((1_u64 << 53) - 1)]),
        ("every", [json!(0), json!(1), json!(2.0), json!(1e30)]),
        ("probability", [json!(0), json!(0.001), json!(1.001), json!(-0.5)]),
        ("pint", [json!(null), json!(1), json!("x"), json!({})]),
        ("fault", [json!("panic"), json!("Panic"), json!("abort"), json!("hang")]),
        ("error", [json!("deadlock"), json!("Deadlock"), json!("dead lock"), json!("fenced")]),
    ] {
        bodies.extend(values.map(|value| body(json!({field: value}))));
    }
    let mut disagreements = Vec::new();
    let mut taken_in_all = 0;
    for body in &bodies {
        let request = http_client().post(format!("{}/v1/faults", endpoint.url)).body(body.to_string());
        let answer = request.header("Content-Type", "application/json").send().await.unwrap();
        let taken = match answer.status().as_u16() {
            201 => true,
            422 => false,
            other => panic!("{body}: {other}"),
        };
        if taken {
            taken_in_all += 1;
            let path = answer.headers()["location"].to_str().unwrap().to_owned();
            http_client().delete(format!("{}{path}", endpoint.url)).send().await.unwrap();
        }
        if taken != described.is_valid(body) {
            disagreements.push(format!("{body}: taken is {taken}, described is {}", !taken));
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    assert!(taken_in_all > 10 && bodies.len() - taken_in_all > 40, "{taken_in_all} of {}", bodies.len());
}

/// What no schema can say is refused all the same, and the description says so in words.
#[actix_rt::test]
async fn what_a_schema_cannot_say_is_described_in_words() {
    let service = Service::start().await;
    let (described, request) = (description(), validator("/components/schemas/PollRequest"));
    let words =
        |pointer: &str| described.pointer(pointer).unwrap()["description"].as_str().unwrap().to_owned();
    let upside_down = json!({"since": "2026-01-31", "until": "2026-01-30"});
    assert!(request.is_valid(&upside_down));
    assert!(!is_taken(service.submit(Some("application/json"), None, upside_down.to_string()).await));
    assert!(words("/components/schemas/PollRequest/allOf/0/properties/until").contains("after since"));

    let made_up = "0".repeat(40);
    let token = parameter(LIST, "page_token");
    assert!(validator(&token).is_valid(&json!(made_up)));
    assert!(!is_taken(service.list(&[("page_token", &made_up)]).await));
    assert!(words(token.trim_end_matches("/schema")).contains("none can be made up"));
}
