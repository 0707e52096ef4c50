//! Families of series: a metric, and the labels that tell its series apart, as a type.

use std::marker::PhantomData;

use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::labels::{ClosedLabels, Labels};

/// The series of one metric.
pub struct Family<V, L> {
    series: V,
    labels: PhantomData<L>,
}

/// Counters of whole things.
pub type Counters<L> = Family<IntCounterVec, L>;
/// Counters of seconds.
pub type SecondsCounters<L> = Family<CounterVec, L>;
/// Gauges of whole things.
pub type Gauges<L> = Family<IntGaugeVec, L>;
/// Gauges of seconds.
pub type SecondsGauges<L> = Family<GaugeVec, L>;
pub type Histograms<L> = Family<HistogramVec, L>;

impl<V, L> Family<V, L> {
    pub(super) fn new(series: V) -> Self {
        Self { series, labels: PhantomData }
    }
}

impl<B: MetricVecBuilder, L: Labels> Family<MetricVec<B>, L> {
    /// Returns the series with these labels.
    pub fn of(&self, labels: L) -> B::M {
        labels.with_words(|words| self.series.with_label_values(words))
    }

    /// Shows the series with these labels no more.
    pub fn forget(&self, labels: L) {
        // One that was never set cannot be removed; it is not shown either.
        let _ = labels.with_words(|words| self.series.remove_label_values(words));
    }
}

impl<B: MetricVecBuilder, L: ClosedLabels> Family<MetricVec<B>, L> {
    /// Lets every series exist from the start, so that a rate over one is never over nothing.
    pub(super) fn show_all(&self) {
        L::for_each(|labels| drop(self.of(labels)));
    }
}
