//! What is in flight, counted by guards.

use prometheus::IntGauge;

use super::labels::StageName;
use super::metrics::metrics;

/// Something in flight: counted from its creation until it is dropped, also with the future that holds it. A
/// thread that hangs still has what it holds, until it wakes.
pub struct InFlight(IntGauge);

impl InFlight {
    /// Counts one more batch that a stage has taken and not yet answered.
    pub fn batch(stage: StageName) -> Self {
        Self::of(metrics().in_flight_batches.of(stage))
    }

    fn of(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_future_leaves_the_gauge_at_zero() {
        let gauge = IntGauge::new("in_flight", "of a test").unwrap();
        let work = async |ends: bool| {
            let _in_flight = InFlight::of(gauge.clone());
            if !ends {
                std::future::pending::<()>().await;
            }
        };
        let (mut one, mut other) = (Box::pin(work(false)), Box::pin(work(false)));
        assert!(futures_util::poll!(&mut one).is_pending() && futures_util::poll!(&mut other).is_pending());
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert_eq!(gauge.get(), 1);
        drop(other);
        assert_eq!(gauge.get(), 0);
        work(true).await;
        assert_eq!(gauge.get(), 0);
    }
}
