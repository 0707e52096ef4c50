//! How long a small poll takes: a night's changes, and nothing else to do.

use std::collections::HashMap;

use jiff::Timestamp;
use nyc311::kafka::HeaderList;
use nyc311_testkit::{Program, each_record};
use rdkafka::Message as _;
use serde_json::json;
use uuid::Uuid;

use crate::latency::percentile;
use crate::polling::{count, seconds, time, until};
use crate::source::PacedRows;

const POLLS: usize = 40;
/// The first ones find connections that nobody has used.
const UNCOUNTED: usize = 4;

pub struct SmallPolls {
    /// How many rows each of them had.
    pub rows: u64,
    pub polls: usize,
    /// From when its last page with rows had arrived until the poll had succeeded.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Has so many rows appear at once, polls them, and does it again.
pub async fn measure(program: Program, paced: &PacedRows, rows: u64) -> SmallPolls {
    let source = paced.serve(program).await;
    // Rows appear in the order of their stamps, so no poll need look back.
    let mut service = program.service(&source.url, &[("source.visibility_lag", "0s")]).await;
    service.start().await;
    let mut finished: HashMap<Uuid, Timestamp> = HashMap::new();
    for number in 0..POLLS + UNCOUNTED {
        source.move_clock(json!({ "advance": format!("{rows}s") })).await;
        let id = service.submit(json!({})).await;
        let poll = until(&service, &id, "succeeded").await;
        // The last row before, with whose time it begins, comes again.
        assert!((rows..=rows + 1).contains(&count(&poll, "fetched")), "{poll:#}");
        if number >= UNCOUNTED {
            finished.insert(id.parse().unwrap(), time(&poll, "finished_at"));
        }
    }
    let mut last_pages: HashMap<Uuid, Timestamp> = HashMap::new();
    each_record(&service.settings.kafka, &service.settings.kafka.raw_topic, |record| {
        let headers = record.headers().and_then(|headers| HeaderList::read(headers, None));
        let origin = headers.and_then(|headers| headers.origin).expect("a record of a poll");
        let last_page = last_pages.entry(origin.poll_id).or_insert(origin.fetched_at);
        *last_page = origin.fetched_at.max(*last_page);
    });
    let mut took: Vec<f64> =
        finished.iter().map(|(id, finished_at)| seconds(last_pages[id], *finished_at) * 1e3).collect();
    took.sort_by(f64::total_cmp);
    SmallPolls { rows, polls: took.len(), p50_ms: percentile(&took, 50), p99_ms: percentile(&took, 99) }
}
