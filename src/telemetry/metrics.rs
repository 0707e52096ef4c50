//! Every metric, described once. Labels come from the closed sets below: no poll id, no key and no complaint type ever is one.

use std::sync::LazyLock;
use std::time::Instant;

use nyc311_domain::TermKind;
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The stages of the pipeline, as they are called everywhere.
pub mod stage {
    pub const CONTROL: &str = "control";
    pub const POLLER: &str = "poller";
    pub const RAW_PUBLISHER: &str = "raw_publisher";
    pub const RAW_CONSUMER: &str = "raw_consumer";
    pub const ENRICHER: &str = "enricher";
    pub const ENRICHED_PUBLISHER: &str = "enriched_publisher";
    pub const ENRICHED_CONSUMER: &str = "enriched_consumer";
    pub const AGGREGATOR: &str = "aggregator";
    pub const WRITER: &str = "writer";

    /// From the source to the database.
    pub const ALL: [&str; 9] = [
        CONTROL,
        POLLER,
        RAW_PUBLISHER,
        RAW_CONSUMER,
        ENRICHER,
        ENRICHED_PUBLISHER,
        ENRICHED_CONSUMER,
        AGGREGATOR,
        WRITER,
    ];
}

/// What became of a record in a stage (`records_total`).
pub mod outcome {
    /// Handed on, or acknowledged by the next durable place.
    pub const PASSED: &str = "passed";
    pub const STORED: &str = "stored";
    pub const DUPLICATE: &str = "duplicate";
    pub const REENRICHED: &str = "reenriched";
    pub const DEAD_LETTERED: &str = "dead_lettered";
    pub const ALL: [&str; 5] = [PASSED, STORED, DUPLICATE, REENRICHED, DEAD_LETTERED];
}

/// Why a stage was rebuilt (`stage_restarts_total`).
pub mod restart_reason {
    pub const ERROR: &str = "error";
    pub const PANIC: &str = "panic";
    pub const HANG: &str = "hang";
    /// It ended though nobody asked.
    pub const VANISHED: &str = "vanished";
    pub const ALL: [&str; 4] = [ERROR, PANIC, HANG, VANISHED];
}

/// How a Kafka transaction ended (`kafka_transactions_total`).
pub mod transaction {
    pub const COMMITTED: &str = "committed";
    pub const ABORTED: &str = "aborted";
    pub const FENCED: &str = "fenced";
    pub const ALL: [&str; 3] = [COMMITTED, ABORTED, FENCED];
}

/// What a stage waits for (`stage_wait_seconds_total`).
pub mod waiting {
    /// The next stage is full.
    pub const DOWNSTREAM: &str = "downstream";
    /// There is nothing to do.
    pub const IDLE: &str = "idle";
    pub const SOURCE: &str = "source";
    pub const KAFKA: &str = "kafka";
    pub const DATABASE: &str = "database";
    pub const ALL: [&str; 5] = [DOWNSTREAM, IDLE, SOURCE, KAFKA, DATABASE];
}

/// What happened to a word of the source (`drift_total`).
pub mod drift {
    /// It was seen for the first time, and no rule knows it.
    pub const APPEARED: &str = "appeared";
    /// A column that the source names no more.
    pub const VANISHED: &str = "vanished";
}

/// What the pipeline depends on (`dependency_up`).
pub mod dependency {
    pub const SOURCE: &str = "source";
    pub const KAFKA: &str = "kafka";
    pub const DATABASE: &str = "database";
    pub const ALL: [&str; 3] = [SOURCE, KAFKA, DATABASE];
}

/// The states of database connections (`db_pool_connections`).
pub mod pool {
    pub const IDLE: &str = "idle";
    pub const IN_USE: &str = "in_use";
    pub const ALL: [&str; 2] = [IDLE, IN_USE];
}

/// Codes of `source_requests_total` for requests without an HTTP status.
pub mod source_code {
    pub const TIMEOUT: &str = "timeout";
    pub const CONNECT: &str = "connect";
    pub const TRUNCATED: &str = "truncated";
    pub const OTHER: &str = "other";
}

/// The states of a poll (`polls_total`): how many entered each.
pub const POLL_STATES: [&str; 6] = ["queued", "running", "storing", "succeeded", "failed", "cancelled"];

/// All metrics; a field is the name without the prefix `nyc311_`.
pub struct Metrics {
    pub records_total: IntCounterVec,
    pub stage_restarts_total: IntCounterVec,
    pub polls_total: IntCounterVec,
    pub source_requests_total: IntCounterVec,
    pub kafka_transactions_total: IntCounterVec,
    pub dead_letters_total: IntCounterVec,
    pub quality_flags_total: IntCounterVec,
    pub drift_total: IntCounterVec,
    pub stage_wait_seconds_total: CounterVec,
    pub batch_rows: HistogramVec,
    pub source_request_duration_seconds: Histogram,
    pub db_transaction_duration_seconds: Histogram,
    pub end_to_end_latency_seconds: Histogram,
    pub stage_up: IntGaugeVec,
    pub consumer_lag_records: IntGaugeVec,
    pub oldest_uncommitted_record_age_seconds: GaugeVec,
    pub poll_queue_length: IntGauge,
    pub poll_last_success_timestamp_seconds: Gauge,
    pub source_newest_updated_timestamp_seconds: Gauge,
    pub dead_letters_open: IntGauge,
    pub in_flight_batches: IntGaugeVec,
    pub stalled_partitions: IntGaugeVec,
    pub db_pool_connections: IntGaugeVec,
    pub dependency_up: IntGaugeVec,
    pub build_info: IntGaugeVec,
    registry: Registry,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Returns the metrics of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// Counts the time since `began` as spent waiting.
pub fn count_wait(stage: &str, on: &str, began: Instant) {
    let waited = began.elapsed().as_secs_f64();
    metrics().stage_wait_seconds_total.with_label_values(&[stage, on]).inc_by(waited);
}

/// Writes all metrics in the text form of Prometheus.
pub fn render() -> String {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&METRICS.registry.gather(), &mut out) {
        tracing::warn!(%error, "metrics cannot be written");
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Batches from a handful to the largest write transaction.
const ROWS: [f64; 8] = [10.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 20_000.0];
/// A transaction of a batch, from an empty one to one that waits for locks.
const TRANSACTION: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// A page of the source, which may take minutes.
const REQUEST: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 300.0];
/// From the fetch of a row to its commit: milliseconds while all goes well, hours behind an outage.
const LATENCY: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0];

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let made = Self {
            records_total: counters(
                &registry,
                "records_total",
                "Records by stage and what became of them",
                &["stage", "outcome"],
            ),
            stage_restarts_total: counters(
                &registry,
                "stage_restarts_total",
                "Times a stage was rebuilt, and why",
                &["stage", "reason"],
            ),
            polls_total: counters(&registry, "polls_total", "Polls that entered a state", &["state"]),
            source_requests_total: counters(
                &registry,
                "source_requests_total",
                "Requests to the source by HTTP status, or by what kept them from one",
                &["code"],
            ),
            kafka_transactions_total: counters(
                &registry,
                "kafka_transactions_total",
                "Kafka transactions by how they ended",
                &["outcome"],
            ),
            dead_letters_total: counters(
                &registry,
                "dead_letters_total",
                "Rows set aside, by the stage that did and the reason's code",
                &["stage", "reason"],
            ),
            quality_flags_total: counters(
                &registry,
                "quality_flags_total",
                "Flags set on enriched rows",
                &["flag"],
            ),
            drift_total: counters(
                &registry,
                "drift_total",
                "Words of the source that no rule knows, and columns that are gone, by kind",
                &["kind", "change"],
            ),
            stage_wait_seconds_total: registered(
                &registry,
                CounterVec::new(
                    opts("stage_wait_seconds_total", "Seconds a stage spent waiting, and for what"),
                    &["stage", "on"],
                ),
            ),
            batch_rows: registered(
                &registry,
                HistogramVec::new(histogram("batch_rows", "Rows in a batch", &ROWS), &["stage"]),
            ),
            source_request_duration_seconds: registered(
                &registry,
                Histogram::with_opts(histogram(
                    "source_request_duration_seconds",
                    "Seconds until an answer of the source was read whole",
                    &REQUEST,
                )),
            ),
            db_transaction_duration_seconds: registered(
                &registry,
                Histogram::with_opts(histogram(
                    "db_transaction_duration_seconds",
                    "Seconds of a write transaction, its commit included",
                    &TRANSACTION,
                )),
            ),
            end_to_end_latency_seconds: registered(
                &registry,
                Histogram::with_opts(histogram(
                    "end_to_end_latency_seconds",
                    "Seconds from the fetch of the oldest row of a batch to its commit in PostgreSQL",
                    &LATENCY,
                )),
            ),
            stage_up: gauges(&registry, "stage_up", "1 while every part of a stage runs", &["stage"]),
            consumer_lag_records: gauges(
                &registry,
                "consumer_lag_records",
                "Records between the position and the end of an owned partition",
                &["topic", "partition"],
            ),
            oldest_uncommitted_record_age_seconds: registered(
                &registry,
                GaugeVec::new(
                    opts(
                        "oldest_uncommitted_record_age_seconds",
                        "Age of the oldest record read from a partition and not yet committed",
                    ),
                    &["topic", "partition"],
                ),
            ),
            poll_queue_length: gauge(&registry, "poll_queue_length", "Polls that wait for their turn"),
            poll_last_success_timestamp_seconds: registered(
                &registry,
                Gauge::with_opts(opts(
                    "poll_last_success_timestamp_seconds",
                    "When a poll last succeeded, in Unix time",
                )),
            ),
            source_newest_updated_timestamp_seconds: registered(
                &registry,
                Gauge::with_opts(opts(
                    "source_newest_updated_timestamp_seconds",
                    "The newest :updated_at seen, in Unix time",
                )),
            ),
            dead_letters_open: gauge(&registry, "dead_letters_open", "Dead letters that nobody has settled"),
            in_flight_batches: gauges(
                &registry,
                "in_flight_batches",
                "Batches that a stage has taken and not yet answered",
                &["stage"],
            ),
            stalled_partitions: gauges(
                &registry,
                "stalled_partitions",
                "Partitions that have records to read and do not move, though nothing that they wait for is away",
                &["stage"],
            ),
            db_pool_connections: gauges(
                &registry,
                "db_pool_connections",
                "Database connections by state",
                &["state"],
            ),
            dependency_up: gauges(
                &registry,
                "dependency_up",
                "1 while a dependency answers",
                &["dependency"],
            ),
            build_info: gauges(
                &registry,
                "build_info",
                "Always 1; the labels say what runs",
                &["version", "commit"],
            ),
            registry,
        };
        made.show_closed_sets();
        made
    }

    /// Lets every series of a closed set exist from the start, so that a rate over it is never over nothing.
    fn show_closed_sets(&self) {
        for stage in stage::ALL {
            for outcome in outcome::ALL {
                self.records_total.with_label_values(&[stage, outcome]);
            }
            for reason in restart_reason::ALL {
                self.stage_restarts_total.with_label_values(&[stage, reason]);
            }
            for on in waiting::ALL {
                self.stage_wait_seconds_total.with_label_values(&[stage, on]);
            }
            self.stage_up.with_label_values(&[stage]);
            self.in_flight_batches.with_label_values(&[stage]);
        }
        for stage in [stage::RAW_CONSUMER, stage::ENRICHED_CONSUMER] {
            self.stalled_partitions.with_label_values(&[stage]);
        }
        for state in POLL_STATES {
            self.polls_total.with_label_values(&[state]);
        }
        for outcome in transaction::ALL {
            self.kafka_transactions_total.with_label_values(&[outcome]);
        }
        for state in pool::ALL {
            self.db_pool_connections.with_label_values(&[state]);
        }
        for kind in TermKind::ALL {
            self.drift_total.with_label_values(&[kind.as_str(), drift::APPEARED]);
        }
        self.drift_total.with_label_values(&[TermKind::Column.as_str(), drift::VANISHED]);
        for name in dependency::ALL {
            self.dependency_up.with_label_values(&[name]);
        }
        let commit = option_env!("GIT_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), commit]).set(1);
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("nyc311")
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(opts(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(opts(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::with_opts(opts(name, help)))
}

/// Registers a metric. Names and labels are constants of this file, so an error here is a mistake in it, which the tests show.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    match made.and_then(|metric| registry.register(Box::new(metric.clone())).map(|()| metric)) {
        Ok(metric) => metric,
        Err(error) => unreachable!("a metric is described wrongly: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_written_under_its_name() {
        let all = metrics();
        all.source_requests_total.with_label_values(&["200"]).inc();
        all.dead_letters_total.with_label_values(&[stage::ENRICHER, "not_an_object"]).inc();
        all.quality_flags_total.with_label_values(&["nul_stripped"]).inc();
        all.consumer_lag_records.with_label_values(&["nyc311.raw", "0"]).set(7);
        all.oldest_uncommitted_record_age_seconds.with_label_values(&["nyc311.raw", "0"]).set(0.5);
        all.batch_rows.with_label_values(&[stage::WRITER]).observe(5.0);
        let text = render();
        for name in [
            "records_total",
            "stage_restarts_total",
            "polls_total",
            "source_requests_total",
            "kafka_transactions_total",
            "dead_letters_total",
            "quality_flags_total",
            "drift_total",
            "stage_wait_seconds_total",
            "batch_rows",
            "source_request_duration_seconds",
            "db_transaction_duration_seconds",
            "end_to_end_latency_seconds",
            "stage_up",
            "consumer_lag_records",
            "oldest_uncommitted_record_age_seconds",
            "poll_queue_length",
            "poll_last_success_timestamp_seconds",
            "source_newest_updated_timestamp_seconds",
            "dead_letters_open",
            "in_flight_batches",
            "stalled_partitions",
            "db_pool_connections",
            "dependency_up",
            "build_info",
        ] {
            assert!(text.contains(&format!("# TYPE nyc311_{name} ")), "{name} is missing");
        }
        assert!(text.contains("nyc311_consumer_lag_records{partition=\"0\",topic=\"nyc311.raw\"} 7"));
        assert!(text.contains("nyc311_records_total{outcome=\"stored\",stage=\"writer\"} 0"));
    }
}
