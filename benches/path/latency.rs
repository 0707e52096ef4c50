//! How long a row takes from the answer of the source to the commit of its rollups, while rows appear at a
//! steady rate.
//!
//! The buckets of the program's own histogram begin at 100 ms, too coarse for a median. Instead a watcher
//! asks the database every few milliseconds for the positions, which move in the transaction that writes rows
//! and rollups; each record of the enriched topic tells its offset and when its page was fetched.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nyc311::kafka::HeaderList;
use nyc311_testkit::{Program, Service, each_record};
use rdkafka::Message as _;
use serde::Deserialize;
use serde_json::json;

use crate::polling::{seconds, until};
use crate::source::PacedRows;

/// The first polls find what had gathered before them, and connections that nobody has used.
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub struct Latency {
    /// How many rows the source was to show in a second.
    pub rate: u32,
    pub rows: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// When the position of each partition was seen to have moved, and to which offset.
type Commits = BTreeMap<i32, Vec<(i64, Timestamp)>>;

/// A derived record, as far as it tells rows apart.
#[derive(Deserialize)]
struct Enriched {
    unique_key: i64,
}

pub async fn measure(program: Program, paced: &PacedRows, rate: u32) -> Latency {
    let source = paced.serve(program).await;
    // Rows appear in the order of their stamps, so no poll need look back.
    let settings = [("poll.interval", "1s"), ("source.visibility_lag", "0s")];
    let mut service = program.service(&source.url, &settings).await;
    service.start().await;
    source.move_clock(json!({ "rate": rate })).await;
    let began = Timestamp::now();
    let over = async {
        tokio::time::sleep(WARM_UP + MEASURED).await;
        source.move_clock(json!({ "rate": 0 })).await;
        // Polls run one by one: when this one has succeeded, the rows of all before it are committed.
        let id = service.submit(json!({})).await;
        until(&service, &id, "succeeded").await;
    };
    let commits = watch(&service, over).await;

    let measured = began + seconds_of(WARM_UP)..began + seconds_of(WARM_UP + MEASURED);
    let mut seen = HashSet::new();
    let mut latencies = Vec::new();
    each_record(&service.settings.kafka, &service.settings.kafka.enriched_topic, |record| {
        let row: Enriched = serde_json::from_slice(record.payload().unwrap_or_default()).unwrap();
        let headers = record.headers().and_then(|headers| HeaderList::read(headers, None));
        let fetched_at = headers.and_then(|headers| headers.origin).expect("a record of a poll").fetched_at;
        // Rows that share the last second of a poll's clock are fetched twice; the first time counts.
        if !seen.insert(row.unique_key) || !measured.contains(&fetched_at) {
            return;
        }
        let of_partition = &commits[&record.partition()];
        let committed = of_partition.partition_point(|(next_offset, _)| *next_offset <= record.offset());
        let (_, committed_at) = of_partition.get(committed).expect("every row is committed");
        latencies.push(seconds(fetched_at, *committed_at) * 1e3);
    });
    assert!(!latencies.is_empty(), "no row was fetched\n{}", service.log());
    latencies.sort_by(f64::total_cmp);
    Latency {
        rate,
        rows: latencies.len() as u64,
        seconds: MEASURED.as_secs_f64(),
        p50_ms: percentile(&latencies, 50),
        p99_ms: percentile(&latencies, 99),
    }
}

/// Returns a percentile of values that ascend.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    values[(values.len() * percent).div_ceil(100) - 1]
}

fn seconds_of(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap()
}

/// Notes the positions until it is over, and then once more.
async fn watch(service: &Service, over: impl Future<Output = ()>) -> Commits {
    let client = service.database.client().await.unwrap();
    let positions = client
        .prepare("select kafka_partition, next_offset from nyc311.consumer_position where topic = $1")
        .await
        .unwrap();
    let topic = &service.settings.kafka.enriched_topic;
    let mut commits = Commits::new();
    let mut over = std::pin::pin!(over);
    let mut is_over = false;
    loop {
        let rows = client.query(&positions, &[topic]).await.unwrap();
        let seen_at = Timestamp::now();
        for row in rows {
            let next_offset = row.get(1);
            let of_partition = commits.entry(row.get(0)).or_default();
            if of_partition.last().is_none_or(|(last, _)| *last < next_offset) {
                of_partition.push((next_offset, seen_at));
            }
        }
        if is_over {
            return commits;
        }
        tokio::select! {
            () = &mut over => is_over = true,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
