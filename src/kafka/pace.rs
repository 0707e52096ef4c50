//! How soon the transactions of a partition follow each other.
//!
//! A transaction costs the broker some milliseconds, whatever it holds. A partition that flows is worth
//! gathering for; one that trickles is not made to wait.

use std::time::{Duration, Instant};

/// From how many records a second on a partition flows.
const FLOWING: f64 = 500.0;
/// How long after the beginning of one the next transaction of a partition begins that flows.
const INTERVAL: Duration = Duration::from_millis(200);

/// What the last transactions of a partition tell of the next one.
#[derive(Default)]
pub(super) struct Pace {
    began: Option<Instant>,
    flows: bool,
}

impl Pace {
    /// A transaction of so many records begins.
    pub(super) fn begins(&mut self, records: usize, now: Instant) {
        let since = self.began.replace(now).map(|before| now.saturating_duration_since(before));
        self.flows = since.is_some_and(|since| records as f64 >= FLOWING * since.as_secs_f64());
    }

    /// How long the next one may still gather.
    pub(super) fn left(&self, now: Instant) -> Duration {
        match self.began {
            Some(began) if self.flows => INTERVAL.saturating_sub(now.saturating_duration_since(began)),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_partition_that_flows_is_gathered_for() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::default();
        pace.begins(3_000, at(0));
        assert_eq!(pace.left(at(1)), Duration::ZERO, "nothing is known of the first one");
        pace.begins(30, at(100));
        assert_eq!(pace.left(at(101)), Duration::ZERO, "300 a second trickle");
        pace.begins(100, at(150));
        assert_eq!(pace.left(at(180)), Duration::from_millis(170), "2,000 a second flow");
        assert_eq!(pace.left(at(400)), Duration::ZERO);
    }
}
