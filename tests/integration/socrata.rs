//! The Socrata client against the simulator, over HTTP.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nyc311::config::{Secret, SourceSettings};
use nyc311::socrata::{Cursor, Page, PageRequest, SocrataClient, SocrataError, WindowOn};
use nyc311_simulator::{Fault, FaultKind, Simulator, SimulatorOptions, serve};
use nyc311_testkit::eventually;
use nyc311_testkit::source_rows::{file, plain_rows, row, simulate_lines};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::answering::answering;

fn settings(simulator: &Simulator) -> SourceSettings {
    SourceSettings {
        url: simulator.resource_url(),
        retry_initial_interval: Duration::from_millis(5),
        retry_max_interval: Duration::from_millis(50),
        retry_max_elapsed: Duration::from_secs(10),
        ..SourceSettings::default()
    }
}

fn client(simulator: &Simulator) -> SocrataClient {
    SocrataClient::new(&settings(simulator), Arc::new(|_| ())).unwrap()
}

fn observed(settings: &SourceSettings) -> (SocrataClient, Arc<Mutex<Vec<String>>>) {
    let codes = Arc::new(Mutex::new(Vec::new()));
    let heard = codes.clone();
    let observer =
        Arc::new(move |attempt: &nyc311::socrata::Attempt| heard.lock().push(attempt.code.to_string()));
    (SocrataClient::new(settings, observer).unwrap(), codes)
}

fn page(limit: usize) -> PageRequest {
    PageRequest { on: WindowOn::UpdatedAt, since: None, until: None, after: None, limit }
}

fn parsed(row: &[u8]) -> Value {
    serde_json::from_slice(row).unwrap()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {row}"))
}

/// Returns the pair of the last row that one can resume from.
fn cursor(page: &Page) -> Option<Cursor> {
    page.rows().rev().find_map(|text| {
        let row: Value = serde_json::from_slice(&text).ok()?;
        let updated_at: Timestamp = row.get(":updated_at")?.as_str()?.parse().ok()?;
        row.get("unique_key")?;
        Some(Cursor::of_row(updated_at, row.get(":id")?.as_str()?, text.as_ref()))
    })
}

/// Walks to the first page that is shorter than the limit.
async fn walk(client: &SocrataClient, first: PageRequest) -> Vec<Vec<u8>> {
    let mut request = first;
    let mut rows = Vec::new();
    loop {
        let page = client.fetch_page(&request).await.unwrap();
        rows.extend(page.rows().map(|row| row.to_vec()));
        if page.len() < request.limit {
            return rows;
        }
        let next = cursor(&page);
        assert_ne!(next, request.after, "the page does not advance");
        request.after = next;
    }
}

fn serve_file(rows: &[Value], change: impl FnOnce(&mut SimulatorOptions)) -> (Simulator, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    let path = file(&folder, "rows.ndjson", &lines);
    let mut options = SimulatorOptions { file: vec![path], ..SimulatorOptions::default() };
    change(&mut options);
    (serve(&options).unwrap(), folder)
}

#[tokio::test]
async fn a_walk_meets_each_row_once_whatever_the_page_size() {
    let (simulator, _folder) = serve_file(&plain_rows(250, 1), |_| ());
    let client = client(&simulator);
    let whole = walk(&client, page(50_000)).await;
    assert_eq!(whole.len(), 250);
    let stamps: HashSet<String> =
        whole.iter().map(|row| text(&parsed(row), ":updated_at").to_owned()).collect();
    assert!(stamps.len() < 20, "rows share their times: {}", stamps.len());
    for limit in [1, 2, 3, 7, 49, 50, 125, 249, 250, 251] {
        assert_eq!(walk(&client, page(limit)).await, whole, "{limit}");
    }
}

#[tokio::test]
async fn windows_are_half_open() {
    let (simulator, _folder) = serve_file(&plain_rows(90, 1), |_| ());
    let client = client(&simulator);
    let all: Vec<Value> = walk(&client, page(1_000)).await.iter().map(|row| parsed(row)).collect();
    let middle: Timestamp = text(&all[45], ":updated_at").parse().unwrap();
    let from = walk(&client, PageRequest { since: Some(middle), ..page(4) }).await;
    let until = walk(&client, PageRequest { until: Some(middle), ..page(4) }).await;
    assert_eq!(from.len() + until.len(), 90);
    assert!(from.iter().any(|row| text(&parsed(row), ":updated_at").parse::<Timestamp>().unwrap() == middle));

    let created = PageRequest {
        on: WindowOn::CreatedDate,
        since: Some("2026-05-01T14:00:00Z".parse().unwrap()),
        until: Some("2026-05-02T14:00:00Z".parse().unwrap()),
        ..page(4)
    };
    let rows = walk(&client, created).await;
    assert_eq!(rows.len(), 30);
    assert!(rows.iter().all(|row| text(&parsed(row), "created_date") == "2026-05-01T10:00:00.000"));
}

#[tokio::test]
async fn a_hostile_id_is_only_a_text() {
    let row = json!({"unique_key": "1", ":id": "row' OR '1'='1", ":version": "rv-1", ":updated_at": "2026-05-01T01:36:00.000Z",
                     "created_date": "2026-04-29T10:00:00.000"});
    let (simulator, _folder) = serve_file(&[row], |_| ());
    assert_eq!(walk(&client(&simulator), page(1)).await.len(), 1);
}

#[tokio::test]
async fn faults_are_waited_out() {
    let written = plain_rows(40, 1);
    for (kind, code) in [
        (FaultKind::TooManyRequests, "429"),
        (FaultKind::ServerError, "500"),
        (FaultKind::Truncated, "truncated"),
        (FaultKind::NotJson, "not_json"),
        (FaultKind::Slow, "timed_out"),
    ] {
        let (simulator, _folder) = serve_file(&written, |_| ());
        let settings = SourceSettings { read_timeout: Duration::from_millis(300), ..settings(&simulator) };
        let (client, codes) = observed(&settings);
        let fault = Fault { retry_after: Some(Duration::from_secs(1)), ..Fault::new(kind) };
        simulator.inject(fault.after(1).times(2));
        assert_eq!(walk(&client, page(15)).await.len(), 40, "{kind:?}");
        let failed: Vec<String> = codes.lock().iter().filter(|code| *code != "200").cloned().collect();
        assert_eq!(failed, [code, code], "{kind:?}");
    }
}

#[tokio::test]
async fn a_fault_without_end_is_given_up() {
    let (simulator, _folder) =
        serve_file(&plain_rows(4, 1), |options| options.fault = vec!["not_json".parse().unwrap()]);
    let settings = SourceSettings { retry_max_elapsed: Duration::from_millis(200), ..settings(&simulator) };
    let (client, codes) = observed(&settings);
    let error = client.fetch_page(&page(10)).await.unwrap_err();
    assert!(matches!(&error, SocrataError::NotJson { detail } if detail.contains("right back")), "{error}");
    assert!(codes.lock().len() > 1);
}

#[tokio::test]
async fn a_lagging_replica_says_so() {
    let (simulator, _folder) = serve_file(&plain_rows(60, 1), |_| ());
    let client = client(&simulator);
    simulator.inject("lagging_replica,behind=1day,count=1".parse().unwrap());
    let behind = client.fetch_page(&page(100)).await.unwrap();
    let current = client.fetch_page(&page(100)).await.unwrap();
    assert!(behind.head.out_of_date && !current.head.out_of_date);
    assert!(behind.len() < current.len());
    assert!(behind.head.replica_modified_at < behind.head.truth_modified_at);
    assert_eq!(behind.head.answered_at, current.head.answered_at);
    assert!(current.head.fields.unwrap().contains("\"unique_key\""));
}

#[tokio::test]
async fn the_token_is_checked() {
    let (simulator, _folder) = serve_file(&plain_rows(3, 1), |options| options.token = Some("right".into()));
    let with =
        |token: Option<&str>| SourceSettings { app_token: token.map(Secret::new), ..settings(&simulator) };
    assert_eq!(walk(&observed(&with(Some("right"))).0, page(10)).await.len(), 3);
    for token in [None, Some("wrong")] {
        let (client, codes) = observed(&with(token));
        let error = client.fetch_page(&page(10)).await.unwrap_err();
        let SocrataError::Rejected { http_status: 403, code, message } = error else { panic!("{error}") };
        assert_eq!(code.as_deref(), Some("permission_denied"));
        assert_eq!((message.as_str(), codes.lock().len()), ("Invalid app_token specified", 1));
    }
}

#[actix_rt::test]
async fn the_token_does_not_follow_a_redirection_to_another_service() {
    let simulator = simulate_lines(&TempDir::new().unwrap(), &[row(0, 1).to_string()]);
    let elsewhere = simulator.resource_url();
    let head = format!("302 Found\r\nlocation: {elsewhere}");
    let source = format!("{}/resource/x.json", answering(head.leak(), "").await);
    let ask = async |app_token| {
        let settings = SourceSettings { url: source.clone(), app_token, ..SourceSettings::default() };
        SocrataClient::new(&settings, Arc::new(|_| ())).unwrap().fetch_page(&page(10)).await
    };
    assert_eq!(ask(None).await.unwrap().len(), 1, "without a token there is nothing to keep");
    let asked = simulator.requests();
    let refused = ask(Some(Secret::new("t".repeat(20)))).await.unwrap_err();
    assert!(matches!(refused, SocrataError::Settings { .. }), "{refused:?}");
    let text = refused.to_string();
    let origin = elsewhere.split("/resource").next().unwrap();
    assert!(
        text.contains(origin) && text.contains("source.app_token") && text.contains("source.url"),
        "{text}"
    );
    assert_eq!(simulator.requests(), asked, "it was asked, with the token");
}

#[actix_rt::test]
async fn an_answer_that_drips_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/resource/x.json", listener.local_addr().unwrap());
    actix_rt::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            actix_rt::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n[").await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
    });
    let settings = SourceSettings {
        url,
        read_timeout: Duration::from_millis(200),
        retry_max_elapsed: Duration::from_millis(500),
        ..SourceSettings::default()
    };
    let client = SocrataClient::new(&settings, Arc::new(|_| ())).unwrap();
    let dripped = tokio::time::timeout(Duration::from_secs(20), client.fetch_page(&page(10))).await;
    let error = dripped.expect("it waits for as long as it drips").unwrap_err();
    assert!(
        matches!(error, SocrataError::TimedOut { .. }) && error.to_string().contains("within 200ms"),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_in_the_sources_words() {
    let (simulator, _folder) = serve_file(&plain_rows(3, 1), |_| ());
    let settings = SourceSettings { columns: vec!["no_such_column".into()], ..settings(&simulator) };
    let error = observed(&settings).0.fetch_page(&page(10)).await.unwrap_err();
    let SocrataError::Rejected { http_status: 400, code, message } = error else { panic!("{error}") };
    assert_eq!(code.as_deref(), Some("query.soql.no-such-column"));
    assert!(message.contains("No such column: no_such_column"), "{message}");
}

#[tokio::test]
async fn compressed_answers_are_the_same() {
    let written = plain_rows(500, 1);
    let (plain, _folder) = serve_file(&written, |_| ());
    let (packed, _folder2) = serve_file(&written, |options| options.gzip = true);
    assert_eq!(walk(&client(&plain), page(100)).await, walk(&client(&packed), page(100)).await);
    let (client, codes) = observed(&settings(&packed));
    packed.inject(Fault::new(FaultKind::Truncated).times(1));
    assert_eq!(walk(&client, page(1_000)).await.len(), 500);
    assert_eq!(*codes.lock(), ["truncated", "200"]);
}

#[tokio::test]
async fn a_dropped_fetch_stops_asking() {
    let (simulator, _folder) =
        serve_file(&plain_rows(3, 1), |options| options.fault = vec!["server_error".parse().unwrap()]);
    let dropped = client(&simulator);
    let request = page(10);
    tokio::select! {
        fetched = dropped.fetch_page(&request) => panic!("{:?}", fetched.map(|page| page.len())),
        () = eventually("it was asked again", async || (simulator.requests() > 1).then_some(())) => {}
    }
    let asked = simulator.requests();
    // As long as another one of the same patience asks, this one would have asked too.
    let (other, _folder) =
        serve_file(&plain_rows(3, 1), |options| options.fault = vec!["server_error".parse().unwrap()]);
    let goes_on = client(&other);
    tokio::select! {
        fetched = goes_on.fetch_page(&request) => panic!("{:?}", fetched.map(|page| page.len())),
        () = eventually("the other was asked again", async || (other.requests() > 6).then_some(())) => {}
    }
    assert_eq!(simulator.requests(), asked);
}

#[tokio::test]
async fn a_table_that_moves_during_a_walk_loses_nothing() {
    let (simulator, _folder) = serve_file(&plain_rows(120, 3), |options| {
        options.clock = Some("2026-05-05T12:00:00Z".parse().unwrap());
        options.clock_step = Duration::from_secs(6 * 60 * 60);
    });
    let client = client(&simulator);
    let mut newest: HashMap<String, String> = HashMap::new();
    for row in walk(&client, page(10)).await {
        let row = parsed(&row);
        newest.insert(text(&row, "unique_key").into(), text(&row, "descriptor").into());
    }
    assert_eq!(newest.len(), 120);
    assert!(newest.values().all(|descriptor| descriptor.ends_with('2')));
}

fn city(change: impl FnOnce(&mut SimulatorOptions)) -> Simulator {
    let mut options = SimulatorOptions { rows: 3_000, rows_per_day: 250, ..SimulatorOptions::default() };
    change(&mut options);
    serve(&options).unwrap()
}

/// Polls as promise 1 has it: the durable cursor is the greatest time seen, but not past the answer's date
/// less two hours.
async fn poll(client: &SocrataClient, cursor: &mut Option<Timestamp>, seen: &mut HashMap<String, Value>) {
    let mut request = PageRequest { since: *cursor, ..page(97) };
    loop {
        let page = client.fetch_page(&request).await.unwrap();
        let bound = page.head.answered_at.unwrap() - Duration::from_secs(2 * 60 * 60);
        for row in page.rows() {
            let row = parsed(&row);
            let updated_at: Timestamp = text(&row, ":updated_at").parse().unwrap();
            *cursor = (*cursor).max(Some(updated_at.min(bound)));
            let known = seen.entry(text(&row, "unique_key").to_owned()).or_insert_with(|| row.clone());
            if text(known, ":updated_at") < text(&row, ":updated_at") {
                *known = row;
            }
        }
        if page.len() < request.limit {
            return;
        }
        request.after = self::cursor(&page);
    }
}

#[tokio::test]
async fn polls_while_rows_appear_late_lose_nothing() {
    let simulator = city(|options| {
        options.visible_after = Duration::from_secs(45 * 60);
        options.clock = Some("2026-03-19T00:00:00Z".parse().unwrap());
        options.clock_step = Duration::from_secs(60);
    });
    let client = client(&simulator);
    let (mut cursor, mut seen) = (None, HashMap::new());
    while simulator.clock().now_ms() < 1_774_500_000_000 {
        poll(&client, &mut cursor, &mut seen).await;
        simulator.clock().advance(Duration::from_secs(17 * 60));
    }
    let state = walk(&client, page(1_000)).await;
    assert_eq!((state.len(), seen.len()), (3_000, 3_000));
    for row in state {
        let row = parsed(&row);
        assert_eq!(seen[text(&row, "unique_key")], row);
    }
}
