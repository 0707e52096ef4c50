//! Repeats an attempt with growing, jittered pauses: the one place that knows the `backoff` crate.
//!
//! The pauses are plain timers inside of the returned future, so dropping it ends the wait at once.

use std::future::Future;
use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

/// How long to go on, and how far apart.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub initial_interval: Duration,
    pub max_interval: Duration,
    /// Counted from the first attempt; no attempt begins after it.
    pub max_elapsed: Duration,
}

/// What the caller makes of a failed attempt.
#[derive(Debug)]
pub enum Failure<E> {
    /// Trying again may help; not before `after`, where the other side named a time.
    Transient {
        error: E,
        after: Option<Duration>,
    },
    Permanent(E),
}

/// Calls `attempt` until it succeeds, fails for good, or the policy's time is over; then returns the last error.
/// `pausing` hears of each failure that is followed by a pause.
pub async fn retry<T, E, A, F>(
    policy: RetryPolicy,
    mut pausing: impl FnMut(&E, Duration),
    mut attempt: A,
) -> Result<T, E>
where
    A: FnMut() -> F,
    F: Future<Output = Result<T, Failure<E>>>,
{
    let started = tokio::time::Instant::now();
    let mut pauses = ExponentialBackoffBuilder::new()
        .with_initial_interval(policy.initial_interval)
        .with_max_interval(policy.max_interval)
        .with_multiplier(2.0)
        .with_max_elapsed_time(None)
        .build();
    loop {
        let (error, after) = match attempt().await {
            Ok(value) => return Ok(value),
            Err(Failure::Permanent(error)) => return Err(error),
            Err(Failure::Transient { error, after }) => (error, after),
        };
        let Some(pause) = pauses.next_backoff() else { return Err(error) };
        // The jitter is kept on top of a named time, or all clients come back in the same instant.
        let pause = after.map_or(pause, |after| after + pause.min(policy.initial_interval));
        if started.elapsed() + pause > policy.max_elapsed {
            return Err(error);
        }
        pausing(&error, pause);
        tokio::time::sleep(pause).await;
    }
}

/// Growing, jittered delays for who decides by himself when to try again: a supervisor, a consumer.
pub struct Delays(backoff::ExponentialBackoff, Duration);

impl Delays {
    /// Starts at `initial` and doubles up to `max`, each with a jitter of half of it.
    pub fn new(initial: Duration, max: Duration) -> Self {
        let delays = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial)
            .with_max_interval(max)
            .with_multiplier(2.0)
            .with_randomization_factor(0.5)
            // The default would give up after 15 minutes.
            .with_max_elapsed_time(None)
            .build();
        Self(delays, max)
    }

    /// Returns the next delay.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.1)
    }

    /// Starts afresh, after something went well.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const POLICY: RetryPolicy = RetryPolicy {
        initial_interval: Duration::from_millis(4),
        max_interval: Duration::from_millis(20),
        max_elapsed: Duration::from_millis(400),
    };

    fn transient(after: Option<Duration>) -> Result<(), Failure<&'static str>> {
        Err(Failure::Transient { error: "busy", after })
    }

    #[tokio::test]
    async fn tries_again_until_it_succeeds() {
        let attempts = Cell::new(0);
        let mut pauses = Vec::new();
        let answer = retry(
            POLICY,
            |_: &&str, pause| pauses.push(pause),
            || async {
                attempts.set(attempts.get() + 1);
                if attempts.get() < 4 { transient(None) } else { Ok(()) }
            },
        );
        assert_eq!(answer.await, Ok(()));
        assert_eq!((attempts.get(), pauses.len()), (4, 3));
    }

    #[tokio::test]
    async fn a_permanent_failure_is_not_repeated() {
        let attempts = Cell::new(0);
        let answer: Result<(), &str> = retry(
            POLICY,
            |_, _| (),
            || async {
                attempts.set(attempts.get() + 1);
                Err(Failure::Permanent("no"))
            },
        )
        .await;
        assert_eq!((answer, attempts.get()), (Err("no"), 1));
    }

    #[tokio::test]
    async fn gives_up_when_its_time_is_over() {
        let started = std::time::Instant::now();
        let answer = retry(POLICY, |_, _| (), || async { transient(None) }).await;
        assert_eq!(answer, Err("busy"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn waits_as_long_as_it_is_told() {
        let attempts = Cell::new(0);
        let started = std::time::Instant::now();
        let answer = retry(
            POLICY,
            |_, _| (),
            || async {
                attempts.set(attempts.get() + 1);
                if attempts.get() == 1 { transient(Some(Duration::from_millis(120))) } else { Ok(()) }
            },
        );
        assert_eq!(answer.await, Ok(()));
        assert!(started.elapsed() >= Duration::from_millis(120));
    }

    #[tokio::test]
    async fn does_not_wait_for_a_time_past_its_own_end() {
        let started = std::time::Instant::now();
        let answer = retry(POLICY, |_, _| (), || async { transient(Some(Duration::from_secs(60))) }).await;
        assert_eq!(answer, Err("busy"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
