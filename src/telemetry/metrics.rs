//! Every metric, described once, with the types of its labels.

use std::sync::LazyLock;

use nyc311_domain::TermKind;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::family::{Counters, Family, Gauges, Histograms, SecondsCounters, SecondsGauges};
use super::labels::{
    Build, ClosedLabels, Dependency, DriftChange, FaultTarget, Flag, Labels, OfPartition, Outcome, PoolState,
    Reason, RestartReason, SourceCode, StageName, TransactionEnd, WaitsOn,
};
use crate::faults::Harm;
use crate::poll::PollState;
use crate::reconciliation::DifferenceKind;
use crate::version;

/// All metrics; a field is the name without the prefix `nyc311_`.
pub struct Metrics {
    pub records_total: Counters<(StageName, Outcome)>,
    pub stage_restarts_total: Counters<(StageName, RestartReason)>,
    pub polls_total: Counters<PollState>,
    pub source_requests_total: Counters<SourceCode>,
    pub kafka_transactions_total: Counters<TransactionEnd>,
    pub dead_letters_total: Counters<(StageName, Reason)>,
    pub quality_flags_total: Counters<Flag>,
    pub drift_total: Counters<(TermKind, DriftChange)>,
    pub stage_wait_seconds_total: SecondsCounters<(StageName, WaitsOn)>,
    pub batch_rows: Histograms<StageName>,
    pub source_request_duration_seconds: Histogram,
    pub db_transaction_duration_seconds: Histogram,
    pub end_to_end_latency_seconds: Histogram,
    pub stage_up: Gauges<StageName>,
    pub consumer_lag_records: Gauges<OfPartition<'static>>,
    pub oldest_uncommitted_record_age_seconds: SecondsGauges<OfPartition<'static>>,
    pub poll_queue_length: IntGauge,
    pub poll_last_success_timestamp_seconds: Gauge,
    pub source_newest_updated_timestamp_seconds: Gauge,
    pub dead_letters_open: IntGauge,
    pub in_flight_batches: Gauges<StageName>,
    pub stalled_partitions: Gauges<StageName>,
    pub db_pool_connections: Gauges<PoolState>,
    pub dependency_up: Gauges<Dependency>,
    pub reconciliation_difference: Gauges<DifferenceKind>,
    pub faults_armed: IntGauge,
    pub faults_injected_total: Counters<(FaultTarget, Harm)>,
    pub build_info: Gauges<Build>,
    registry: Registry,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Returns the metrics of this process.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// Writes all metrics in the text form of Prometheus.
pub fn render() -> String {
    String::from_utf8_lossy(&rendered(&METRICS.registry)).into_owned()
}

fn rendered(registry: &Registry) -> Vec<u8> {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut out) {
        tracing::warn!(%error, "metrics cannot be written");
    }
    out
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
        let counters = Maker { registry: &registry, make: IntCounterVec::new };
        let seconds = Maker { registry: &registry, make: CounterVec::new };
        let gauges = Maker { registry: &registry, make: IntGaugeVec::new };
        let seconds_gauges = Maker { registry: &registry, make: GaugeVec::new };
        let made = Self {
            records_total: counters.closed("records_total", "Records by stage and what became of them"),
            stage_restarts_total: counters
                .closed("stage_restarts_total", "Times a stage was rebuilt, and why"),
            polls_total: counters.closed("polls_total", "Polls that entered a state"),
            source_requests_total: counters.open(
                "source_requests_total",
                "Requests to the source by HTTP status, or by what kept them from one",
            ),
            kafka_transactions_total: counters
                .closed("kafka_transactions_total", "Kafka transactions by how they ended"),
            dead_letters_total: counters
                .open("dead_letters_total", "Rows set aside, by the stage that did and the reason's code"),
            quality_flags_total: counters.open("quality_flags_total", "Flags set on enriched rows"),
            drift_total: counters.open(
                "drift_total",
                "Words of the source that no rule knows, and columns that are gone, by kind",
            ),
            stage_wait_seconds_total: seconds
                .closed("stage_wait_seconds_total", "Seconds a stage spent waiting, and for what"),
            batch_rows: Family::new(registered(
                &registry,
                HistogramVec::new(histogram("batch_rows", "Rows in a batch", &ROWS), StageName::NAMES),
            )),
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
            stage_up: gauges.closed("stage_up", "1 while every part of a stage runs"),
            consumer_lag_records: gauges.open(
                "consumer_lag_records",
                "Records between the position and the end of an owned partition",
            ),
            oldest_uncommitted_record_age_seconds: seconds_gauges.open(
                "oldest_uncommitted_record_age_seconds",
                "Age of the oldest record read from a partition and not yet committed",
            ),
            poll_queue_length: registered(
                &registry,
                IntGauge::with_opts(opts("poll_queue_length", "Polls that wait for their turn")),
            ),
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
            dead_letters_open: registered(
                &registry,
                IntGauge::with_opts(opts("dead_letters_open", "Dead letters that nobody has settled")),
            ),
            in_flight_batches: gauges
                .closed("in_flight_batches", "Batches that a stage has taken and not yet answered"),
            stalled_partitions: gauges.open(
                "stalled_partitions",
                "Partitions that have records to read and do not move, though nothing that they wait for is away",
            ),
            db_pool_connections: gauges.closed("db_pool_connections", "Database connections by state"),
            dependency_up: gauges.closed("dependency_up", "1 while a dependency answers"),
            reconciliation_difference: gauges.closed(
                "reconciliation_difference",
                "What the last reconciliation has found: rows missing, rows too many, months whose newest differs",
            ),
            faults_armed: registered(
                &registry,
                IntGauge::with_opts(opts("faults_armed", "Faults that are armed on purpose")),
            ),
            faults_injected_total: counters.open(
                "faults_injected_total",
                "Times an armed fault has struck, by its point or stage and what it did",
            ),
            build_info: gauges.open("build_info", "Always 1; the labels say what runs"),
            registry,
        };
        made.show_parts_of_sets();
        made
    }

    /// Lets those series exist from the start that are a part of what their labels could say.
    fn show_parts_of_sets(&self) {
        for stage in [StageName::RawConsumer, StageName::EnrichedConsumer] {
            self.stalled_partitions.of(stage);
        }
        for kind in TermKind::ALL {
            self.drift_total.of((kind, DriftChange::Appeared));
        }
        self.drift_total.of((TermKind::Column, DriftChange::Vanished));
        self.build_info.of(Build { version: version::VERSION, commit: version::commit() }).set(1);
    }
}

/// Makes and registers families of one kind.
struct Maker<'a, V> {
    registry: &'a Registry,
    make: fn(Opts, &[&str]) -> prometheus::Result<V>,
}

impl<B: MetricVecBuilder> Maker<'_, MetricVec<B>>
where
    MetricVec<B>: Collector + Clone + 'static,
{
    /// Makes a family whose series exist once something has happened.
    fn open<L: Labels>(&self, name: &str, help: &str) -> Family<MetricVec<B>, L> {
        Family::new(registered(self.registry, (self.make)(opts(name, help), L::NAMES)))
    }

    /// Makes a family whose series all exist from the start.
    fn closed<L: ClosedLabels>(&self, name: &str, help: &str) -> Family<MetricVec<B>, L> {
        let family = self.open(name, help);
        family.show_all();
        family
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("nyc311")
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() }
}

/// Registers a metric. Names and labels are constants, so an error here is a mistake in them, which the tests
/// show.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    match made.and_then(|metric| registry.register(Box::new(metric.clone())).map(|()| metric)) {
        Ok(metric) => metric,
        Err(error) => unreachable!("a metric is described wrongly: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nyc311_domain::QualityFlags;

    use super::*;
    use crate::faults::Target;
    use crate::telemetry::labels::SetAside;

    const NAMES: [&str; 28] = [
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
        "reconciliation_difference",
        "faults_armed",
        "faults_injected_total",
        "build_info",
    ];

    #[test]
    fn every_metric_that_the_operators_are_told_of_exists() {
        let text = include_str!("../../docs/operations.md");
        let named: BTreeSet<&str> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter_map(|word| word.strip_prefix("nyc311_"))
            .collect();
        assert!(named.len() > 8, "{named:?}");
        for name in named {
            assert!(NAMES.contains(&name), "{name} is no metric");
        }
    }

    #[test]
    fn every_series_of_a_closed_set_exists_from_the_start() {
        let text = String::from_utf8(rendered(&Metrics::new().registry)).unwrap();
        let series = |name: &str| {
            let begins =
                |line: &&str| line.strip_prefix("nyc311_").is_some_and(|line| line.starts_with(name));
            text.lines().filter(begins).count()
        };
        for (name, count) in [
            ("records_total{", StageName::ALL.len() * Outcome::ALL.len()),
            ("stage_restarts_total{", StageName::ALL.len() * RestartReason::ALL.len()),
            ("stage_wait_seconds_total{", StageName::ALL.len() * WaitsOn::ALL.len()),
            ("stage_up{", StageName::ALL.len()),
            ("in_flight_batches{", StageName::ALL.len()),
            ("stalled_partitions{", 2),
            ("polls_total{", PollState::ALL.len()),
            ("kafka_transactions_total{", TransactionEnd::ALL.len()),
            ("db_pool_connections{", PoolState::ALL.len()),
            ("drift_total{", TermKind::ALL.len() + 1),
            ("dependency_up{", Dependency::ALL.len()),
            ("reconciliation_difference{", DifferenceKind::ALL.len()),
            ("build_info{", 1),
            // What has not happened yet is in no closed set.
            ("source_requests_total{", 0),
            ("dead_letters_total{", 0),
            ("faults_injected_total{", 0),
            ("quality_flags_total{", 0),
            ("batch_rows", 0),
            ("consumer_lag_records{", 0),
        ] {
            assert_eq!(series(name), count, "{name}");
        }
        assert!(text.contains("nyc311_stage_restarts_total{reason=\"vanished\",stage=\"raw_consumer\"} 0"));
        assert!(text.contains("nyc311_stage_wait_seconds_total{on=\"downstream\",stage=\"writer\"} 0"));
    }

    #[test]
    fn every_metric_is_written_under_its_name() {
        let all = metrics();
        all.source_requests_total.of(SourceCode::Status(200)).inc();
        all.dead_letters_total.of((StageName::Enricher, SetAside::EnrichmentPanicked.into())).inc();
        Flag::each(QualityFlags::NUL_STRIPPED).for_each(|flag| all.quality_flags_total.of(flag).inc());
        let partition = OfPartition("nyc311.raw", 0);
        all.consumer_lag_records.of(partition).set(7);
        all.oldest_uncommitted_record_age_seconds.of(partition).set(0.5);
        all.batch_rows.of(StageName::Writer).observe(5.0);
        let killed = FaultTarget(Target::Stage(StageName::Writer));
        all.faults_injected_total.of((killed, Harm::Kill)).inc();
        let text = render();
        for name in NAMES {
            assert!(text.contains(&format!("# TYPE nyc311_{name} ")), "{name} is missing");
        }
        assert!(text.contains("nyc311_consumer_lag_records{partition=\"0\",topic=\"nyc311.raw\"} 7"));
        assert!(text.contains("nyc311_records_total{outcome=\"stored\",stage=\"writer\"} 0"));
    }
}
