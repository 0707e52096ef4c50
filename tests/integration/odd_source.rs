//! Sources that are odd: rows that are broken or too large, pages that are short, out of order or the same
//! again; through the real binary to the tables. What takes more than one process or many polls is in the
//! suite of the faults.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nyc311::kafka::raw_producer::RawProducer;
use nyc311::kafka::{HeaderList, Origin, RawRow, max_row_bytes};
use nyc311_testkit::Topics;
use nyc311_testkit::source_rows::{row, simulate_lines, with_member};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PROGRAM;

#[tokio::test]
async fn a_broken_row_in_a_page_costs_no_sound_one() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<String> = (0..60).map(|key| row(key, 1).to_string()).collect();
    let simulator = simulate_lines(&directory, &rows);
    simulator.inject("broken_row,count=8".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "11")]).await;
    service.start().await;
    let poll = service.poll().await;
    let counts = &poll["counts"];
    assert_eq!(counts["stored"], 60, "{poll:#}");
    assert!(counts["dead_lettered"].as_i64().unwrap() >= 6, "{poll:#}");
}

#[tokio::test]
async fn a_source_that_gives_fewer_rows_than_asked_for_is_read_to_its_end() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<String> = (0..200).map(|key| row(key, 1).to_string()).collect();
    let simulator = simulate_lines(&directory, &rows);
    simulator.inject("capped,rows=20".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "30")]).await;
    service.start().await;
    let poll = service.poll().await;
    let counts = &poll["counts"];
    assert_eq!(
        (&counts["fetched"], &counts["stored"], &counts["pages"]),
        (&json!(200), &json!(200), &json!(10)),
        "{poll:#}"
    );
    assert_eq!(simulator.requests(), 11, "one request more, which brings the empty page");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_halves() {
    const ROWS: u64 = 100;
    let directory = TempDir::new().unwrap();
    let filler = format!("\"location_type\":\"{}\"", "x".repeat(400 << 10));
    let rows: Vec<String> = (1..=ROWS).map(|key| with_member(key, &filler)).collect();
    let simulator = simulate_lines(&directory, &rows);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "100")]).await;
    service.start().await;
    let poll = service.poll().await;
    let counts = &poll["counts"];
    assert_eq!(
        (&counts["fetched"], &counts["stored"], &counts["pages"]),
        (&json!(ROWS), &json!(ROWS), &json!(2)),
        "{poll:#}"
    );
    assert_eq!(simulator.requests(), 4, "all of 40 MiB, two halves, and the empty page");
}

#[tokio::test]
async fn a_source_that_ignores_the_order_fails_the_poll_and_moves_no_cursor() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<String> = (0..200).map(|key| row(key, 1).to_string()).collect();
    let simulator = simulate_lines(&directory, &rows);
    // The first page is as it should be, so there is a cursor that must stay.
    simulator.inject("unordered,skip=1".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "80")]).await;
    service.start().await;
    let poll = service.finished(&service.submit(json!({})).await).await;
    assert_eq!(
        (&poll["state"], &poll["error"]["code"]),
        (&json!("failed"), &json!("page_not_in_order")),
        "{poll:#}"
    );
    assert_eq!(poll["error"]["retryable"], false);
    let detail = poll["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("(unique_key 70000") && detail.contains("set source.url"), "{detail}");
    assert_eq!((&poll["counts"]["fetched"], &poll["counts"]["pages"]), (&json!(80), &json!(1)), "{poll:#}");
    assert!(poll["cursor"]["updated_at"].is_string(), "{poll:#}");
    assert_eq!(service.source_position().await[0]["published_updated_at"], "2026-04-02T01:35:01+00:00");

    simulator.clear_faults();
    let poll = service.poll().await;
    assert_eq!(service.database.number("select count(*) from nyc311.service_request").await, 200, "{poll:#}");
}

#[tokio::test]
async fn rows_of_one_time_in_the_wrong_order_are_noticed_too() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<String> = (0..200).map(|key| row(key, 1).to_string()).collect();
    let simulator = simulate_lines(&directory, &rows);
    simulator.inject("unordered".parse().unwrap());
    // A third of the rows share each time, so the first pages have one time only.
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "30")]).await;
    service.start().await;
    let poll = service.finished(&service.submit(json!({})).await).await;
    assert_eq!(
        (&poll["state"], &poll["error"]["code"]),
        (&json!("failed"), &json!("page_not_in_order")),
        "{poll:#}"
    );
    let detail = poll["error"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("row 1 was on the page before already"), "{detail}");
}

/// A source that has one answer to every question. Counts the questions.
fn unchanging(answer: &str) -> (String, Arc<AtomicUsize>, Arc<AtomicBool>) {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/resource/erm2-nwe9.json", listener.local_addr().unwrap());
    let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, stopped) = (asked.clone(), stop.clone());
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            let mut stream = stream;
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, asked, stop)
}

#[tokio::test]
async fn a_source_that_repeats_itself_ends_a_short_page_and_fails_a_full_one() {
    let rows: Vec<String> = (0..30).map(|key| row(key, 1)).map(|row| row.to_string()).collect();
    let mut sorted = rows.clone();
    sorted.sort_by_key(|row| {
        serde_json::from_str::<Value>(row).unwrap()[":updated_at"].as_str().unwrap().to_owned()
    });
    let (url, asked, stop) = unchanging(&format!("\u{feff}[{}]", sorted.join("\n,")));
    let mut service = PROGRAM.service(&url, &[]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!((&poll["counts"]["fetched"], &poll["counts"]["stored"]), (&json!(30), &json!(30)), "{poll:#}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    service.kill();

    service.spawn(&["run"], &[("NYC311_SOURCE__PAGE_ROWS", "30")]);
    service.ready().await;
    let poll = service.finished(&service.submit(json!({})).await).await;
    assert_eq!(
        (&poll["state"], &poll["error"]["code"]),
        (&json!("failed"), &json!("page_does_not_advance")),
        "{poll:#}"
    );
    stop.store(true, Ordering::Relaxed);
}

#[tokio::test]
async fn rows_that_nothing_can_go_on_from_end_a_walk_without_a_loop() {
    let directory = TempDir::new().unwrap();
    let simulator = simulate_lines(&directory, &[row(0, 1).to_string(), row(1, 1).to_string()]);
    // Put into every page, also into the last one: there is never an empty page.
    simulator.inject("malformed_row".parse().unwrap());
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!(
        (&poll["counts"]["stored"], &poll["counts"]["dead_lettered"]),
        (&json!(2), &json!(2)),
        "{poll:#}"
    );
}

#[tokio::test]
async fn a_row_whose_id_no_question_could_quote_is_stored_like_any_other() {
    let directory = TempDir::new().unwrap();
    let lines: Vec<String> = (0..6)
        .map(|key| {
            let mut row = row(key, 1);
            if key % 2 == 1 {
                row[":id"] = json!(format!("row-{}", "x".repeat(100_000)));
            }
            row.to_string()
        })
        .collect();
    let simulator = simulate_lines(&directory, &lines);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "2")]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!((&poll["state"], &poll["counts"]["stored"]), (&json!("succeeded"), &json!(6)), "{poll:#}");
}

#[tokio::test]
async fn a_page_that_is_no_json_fails_the_poll_with_its_place() {
    let (url, _, stop) = unchanging(&format!("[{}\n,{{\"a\":\"oops", row(0, 1)).replace("oops", "oops\"]]]"));
    let mut service = PROGRAM.service(&url, &[("source.retry_max_elapsed", "100ms")]).await;
    service.start().await;
    let poll = service.finished(&service.submit(json!({})).await).await;
    assert_eq!(poll["error"]["code"], "source_not_json", "{poll:#}");
    let detail = poll["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("in row 2: expected a comma or `}`, found `]]]`"), "{detail}");
    assert!(!detail.contains("70000000"), "the beginning of the page says nothing: {detail}");
    stop.store(true, Ordering::Relaxed);
}

/// A row of so many bytes that no compression makes smaller.
fn row_of(bytes: usize, key: u64) -> String {
    let mut state = key;
    let mut row = with_member(key, "\"resolution_description\":\"@\"");
    let filler: String = (row.len()..=bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            char::from(LETTERS[(state >> 58) as usize])
        })
        .collect();
    row = row.replace('@', &filler);
    assert_eq!(row.len(), bytes);
    row
}

#[tokio::test]
async fn the_bound_that_is_named_is_the_bound_that_holds() {
    let topics = Topics::create(&[]).await;
    let most = max_row_bytes(&topics.settings.kafka);
    assert_eq!(most, (1 << 20) - 1024);
    let producer = RawProducer::new(&topics.settings.kafka).unwrap();
    let rows: Vec<RawRow> = [most - 1, most, most + 1, 1 << 20]
        .into_iter()
        .map(|bytes| RawRow {
            value: row_of(bytes, 80_000_000).into(),
            borough: Some(nyc311_domain::Borough::StatenIsland),
            partition: 4,
        })
        .collect();
    let origin = Origin::new(uuid::Uuid::max(), u64::MAX, jiff::Timestamp::now());
    let headers =
        HeaderList { origin: Some(Arc::new(origin)), replay_of: Some([255; 32]), ..HeaderList::default() };
    let published = producer.publish(&rows, &headers).await.unwrap();
    assert_eq!((published.published, published.too_large), (2, vec![2, 3]));
    topics.delete().await;
}

#[tokio::test]
async fn rows_around_the_bound_are_stored_or_named_with_it() {
    let directory = TempDir::new().unwrap();
    let most = (1 << 20) - 1024;
    let sizes = [most - 1, most, most + 1, 1_048_450, 1 << 20];
    let lines: Vec<String> = (80_000_000..).zip(sizes).map(|(key, bytes)| row_of(bytes, key)).collect();
    let simulator = simulate_lines(&directory, &lines);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let poll = service.poll().await;
    assert_eq!(
        (&poll["counts"]["stored"], &poll["counts"]["dead_lettered"]),
        (&json!(2), &json!(3)),
        "{poll:#}"
    );
    let found = service
        .database
        .json("select octet_length(payload) as bytes, reason, detail from nyc311.dead_letter order by 1")
        .await;
    let expected: Vec<Value> = sizes[2..]
        .iter()
        .map(|bytes| {
            json!({"bytes": bytes, "reason": "row_too_large", "detail": format!(
                "the row has {bytes} bytes, {most} are the most: kafka.raw_max_record_bytes = 1048576, of which 1024 are for \
                 key, headers and framing"
            )})
        })
        .collect();
    assert_eq!(found, Value::Array(expected));
}

#[tokio::test]
async fn system_fields_can_be_narrowed_to_those_that_are_needed() {
    let directory = TempDir::new().unwrap();
    let lines: Vec<String> = (0..20)
        .map(|key| {
            let mut row = row(key, 1);
            row[":sid"] = json!("12");
            row.to_string()
        })
        .collect();
    let simulator = simulate_lines(&directory, &lines);
    let mut whole = PROGRAM.service(&simulator.resource_url(), &[]).await;
    let columns = "*,:id,:updated_at,:version,:created_at";
    let mut narrow = PROGRAM.service(&simulator.resource_url(), &[("source.columns", columns)]).await;
    for service in [&mut whole, &mut narrow] {
        service.start().await;
        assert_eq!(service.poll().await["counts"]["stored"], 20);
    }
    let with_sid = "select count(*) from nyc311.service_request where details ? ':sid'";
    assert_eq!((whole.database.number(with_sid).await, narrow.database.number(with_sid).await), (20, 0));
    let stored =
        "select unique_key, source_updated_at, source_version, source_created_at, state, borough, created_at
                  from nyc311.service_request order by unique_key";
    assert_eq!(whole.database.json(stored).await, narrow.database.json(stored).await);
}
