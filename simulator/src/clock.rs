//! The simulator's time: stands still, runs at a rate, or moves on with each page.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A clock that can be set. Times are milliseconds since 1970, as the rows' own.
pub struct Clock {
    hands: Mutex<Hands>,
}

struct Hands {
    simulated_ms: i64,
    set_at: Instant,
    /// Simulated seconds per real second; 0 stands still.
    rate: f64,
    /// How far each answered page moves the clock.
    page_step: Duration,
}

impl Hands {
    fn now_ms(&self) -> i64 {
        let passed_ms = self.set_at.elapsed().as_secs_f64() * 1000.0 * self.rate;
        self.simulated_ms.saturating_add(passed_ms as i64)
    }

    fn set_ms(&mut self, simulated_ms: i64) {
        self.simulated_ms = simulated_ms;
        self.set_at = Instant::now();
    }
}

impl Clock {
    pub fn new(simulated_ms: i64, rate: f64, page_step: Duration) -> Self {
        Self { hands: Mutex::new(Hands { simulated_ms, set_at: Instant::now(), rate, page_step }) }
    }

    pub fn now_ms(&self) -> i64 {
        self.hands.lock().now_ms()
    }

    pub fn set_ms(&self, simulated_ms: i64) {
        self.hands.lock().set_ms(simulated_ms);
    }

    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands.lock();
        let now_ms = hands.now_ms();
        hands.set_ms(now_ms.saturating_add(milliseconds(by)));
    }

    pub fn set_rate(&self, rate: f64) {
        let mut hands = self.hands.lock();
        let now_ms = hands.now_ms();
        hands.set_ms(now_ms);
        hands.rate = rate;
    }

    pub fn set_page_step(&self, page_step: Duration) {
        self.hands.lock().page_step = page_step;
    }

    /// Notes that a page was answered.
    pub fn page_answered(&self) {
        let step = self.hands.lock().page_step;
        if !step.is_zero() {
            self.advance(step);
        }
    }
}

pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_until_it_is_moved() {
        let clock = Clock::new(1_000, 0.0, Duration::ZERO);
        clock.page_answered();
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now_ms(), 3_000);
        clock.set_ms(500);
        assert_eq!(clock.now_ms(), 500);
    }

    #[test]
    fn moves_on_with_each_page() {
        let clock = Clock::new(0, 0.0, Duration::from_millis(10));
        clock.page_answered();
        clock.page_answered();
        assert_eq!(clock.now_ms(), 20);
    }

    #[test]
    fn runs_at_its_rate() {
        let clock = Clock::new(0, 1_000_000.0, Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now_ms() >= 2_000_000);
        clock.set_rate(0.0);
        assert_eq!(clock.now_ms(), clock.now_ms());
    }
}
