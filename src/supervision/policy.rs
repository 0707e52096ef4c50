//! How often and how fast a stage may be rebuilt.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::SupervisionSettings;
use crate::retry::{Delays, Pace};

/// How often a group may be rebuilt before the process gives up.
const ROOT_MAX_RESTARTS: u32 = 2;
/// Over how many windows of a group the root counts: a group needs up to one to give up; three of them fit
/// into four.
const ROOT_WINDOWS: u32 = 4;

/// The bounds of one level of supervision.
#[derive(Debug, Clone)]
pub struct RestartPolicy {
    /// Failures within `window` after which this level gives up.
    pub max_restarts: u32,
    pub window: Duration,
    pub backoff_initial: Duration,
    pub backoff_max: Duration,
    /// How long an Arbiter thread, or a piece of a stage's work, may stand still before it is given up.
    pub hang_after: Duration,
}

impl RestartPolicy {
    /// Takes the bounds of a group of stages from the settings.
    pub fn of_group(settings: &SupervisionSettings) -> Self {
        Self {
            max_restarts: settings.max_restarts,
            window: settings.window,
            backoff_initial: settings.backoff_initial,
            backoff_max: settings.backoff_max,
            hang_after: settings.hang_after,
        }
    }

    /// Takes the bounds of the root: a group that fails again right after it was rebuilt is beyond help.
    pub fn of_root(settings: &SupervisionSettings) -> Self {
        Self {
            max_restarts: ROOT_MAX_RESTARTS,
            window: settings.window * ROOT_WINDOWS,
            ..Self::of_group(settings)
        }
    }
}

/// Counts the failures of one level within its window.
#[derive(Debug, Default)]
pub struct Intensity(VecDeque<Instant>);

impl Intensity {
    /// Records a failure at `now` and returns whether there were more than the policy allows.
    pub fn exceeded(&mut self, now: Instant, policy: &RestartPolicy) -> bool {
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.duration_since(*first) > policy.window) {
            self.0.pop_front();
        }
        self.0.len() > policy.max_restarts as usize
    }
}

/// The growing, jittered delay before a rebuild; it starts afresh after a healthy interval.
pub struct RestartDelay {
    delays: Delays,
    healthy_after: Duration,
    up_since: Instant,
}

impl RestartDelay {
    pub fn new(policy: &RestartPolicy, now: Instant) -> Self {
        let delays = Pace { initial: policy.backoff_initial, max: policy.backoff_max }.delays();
        Self { delays, healthy_after: policy.window, up_since: now }
    }

    /// Notes that an incarnation was started.
    pub fn started(&mut self, now: Instant) {
        self.up_since = now;
    }

    /// Returns how long to wait before the next incarnation.
    pub fn after_failure(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.up_since) > self.healthy_after {
            self.delays.reset();
        }
        self.delays.next_delay()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RestartPolicy {
        RestartPolicy {
            max_restarts: 2,
            window: Duration::from_secs(60),
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            hang_after: Duration::from_secs(5),
        }
    }

    #[test]
    fn only_failures_within_the_window_count() {
        let (policy, start) = (policy(), Instant::now());
        let mut intensity = Intensity::default();
        assert!(!intensity.exceeded(start, &policy));
        assert!(!intensity.exceeded(start + Duration::from_secs(1), &policy));
        assert!(intensity.exceeded(start + Duration::from_secs(2), &policy));
        assert!(!intensity.exceeded(start + Duration::from_secs(100), &policy));
    }

    #[test]
    fn the_delay_grows_to_its_cap_and_starts_afresh_after_a_healthy_interval() {
        let (policy, start) = (policy(), Instant::now());
        let mut delay = RestartDelay::new(&policy, start);
        let first = delay.after_failure(start);
        let later: Vec<_> = (0..8).map(|_| delay.after_failure(start)).collect();
        assert!(first <= Duration::from_millis(150), "{first:?}");
        assert!(later.iter().skip(4).all(|wait| *wait >= Duration::from_millis(400)), "{later:?}");
        assert!(later.iter().all(|wait| *wait <= Duration::from_millis(1500)), "{later:?}");
        let fresh = delay.after_failure(start + Duration::from_secs(61));
        assert!(fresh <= Duration::from_millis(150), "{fresh:?}");
    }
}
