//! How long something may take, without the time in which what it needs is away.

use std::time::{Duration, Instant};

/// A limit for what needs a dependency. While that is away, nothing counts; and what was under way then has
/// its whole time again when the dependency is back.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    since: Instant,
}

impl Patience {
    /// Begins to wait at `now`.
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: now }
    }

    /// Tells whether the time is over, at a look at `now`.
    pub fn is_over(&mut self, is_away: bool, now: Instant) -> bool {
        if is_away {
            self.since = now;
        }
        now.duration_since(self.since) > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_dependency_is_away_does_not_count() {
        let began = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(10), began);
        let mut is_over_after =
            |seconds, is_away| patience.is_over(is_away, began + Duration::from_secs(seconds));
        assert!(!is_over_after(10, false));
        for seconds in 11..100 {
            assert!(!is_over_after(seconds, true));
        }
        assert!(!is_over_after(109, false), "what was under way has its whole time again");
        assert!(is_over_after(110, false));
    }
}
