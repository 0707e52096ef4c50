//! Waits between attempts: every pace has its name and its reason here, and this is the one place that knows
//! the `backoff` crate.
//!
//! | pace | who waits | until |
//! |---|---|---|
//! | [`DEPENDENCY_AWAY`] | poller, page, writer | `kafka` or `database` is back, which the stage waits for by name, or the process is told to stop |
//! | [`OPENING`] | a partition that could not be opened | it is open, or has failed as often as `partition_reader` allows; nothing counts while a dependency is away |
//! | [`INSTANCE_NAME`] | the process, for its name | `database` is back, or another owner is found to live |
//! | [`POLL_END`] | a poll whose pages are published | its rows are stored, its lease is lost, or it is stopped |
//! | [`CONFLICT`] | a transaction that another one was in the way of | the attempts of `store::write` are over |
//! | [`KAFKA_LOOK`] | a question to brokers that are not ready for it | the patience of whoever asks |
//! | [`QUEUE_FULL`] | a row that the producer has no room for | the queue has room, or the producer reports its rows as failed |
//! | `source.retry_*` | a request to the source | `source.retry_max_elapsed` |
//! | `supervision.backoff_*` | a stage or group that failed | `supervision.max_restarts` within the window |
//!
//! What is looked at for as long as the process lives (dependencies, leases, the queue of polls) has a steady
//! interval beside the loop that looks. The pauses are plain timers inside of the returned future, so
//! dropping it ends the wait at once.

use std::future::Future;
use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

/// How far apart attempts are: the first pause, and the longest, up to which it doubles.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub initial: Duration,
    pub max: Duration,
}

/// A dependency is away. Short at first, because most absences are the restart of a moment; 5 s at the end,
/// because whoever brings a dependency back looks for the pipeline right after.
pub const DEPENDENCY_AWAY: Pace = Pace { initial: Duration::from_millis(100), max: Duration::from_secs(5) };

/// A partition was not opened. The usual reason is a rebalance or a neighbour that is being rebuilt, over
/// within a moment; at the end as unhurried as [`DEPENDENCY_AWAY`].
pub const OPENING: Pace = Pace { initial: Duration::from_millis(50), max: Duration::from_secs(5) };

/// The process cannot take its name yet. No stage works before that, so it looks at least once a second.
pub const INSTANCE_NAME: Pace = Pace { initial: Duration::from_millis(100), max: Duration::from_secs(1) };

/// The pages of a poll are published and its rows under way. From a quick look to an unhurried one: most
/// polls end within a moment after their last page, and each look is two questions.
pub const POLL_END: Pace = Pace { initial: Duration::from_millis(10), max: Duration::from_millis(250) };

/// A transaction met another one. As long as a small transaction takes, so that the other has ended; the
/// jitter parts two that have met.
pub const CONFLICT: Pace = Pace { initial: Duration::from_millis(20), max: Duration::from_millis(320) };

/// A broker has no leader or coordinator yet. It has one within a second of its start, and answers within a
/// millisecond; steady, because the whole start waits for it.
pub const KAFKA_LOOK: Duration = Duration::from_millis(50);

/// The producer's queue is full. It loses a request's worth of rows every few milliseconds.
pub const QUEUE_FULL: Duration = Duration::from_millis(2);

impl Pace {
    /// Starts to wait at this pace.
    pub fn delays(self) -> Delays {
        let delays = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.initial)
            .with_max_interval(self.max)
            .with_multiplier(2.0)
            .with_randomization_factor(0.5)
            // The default would give up after 15 minutes.
            .with_max_elapsed_time(None)
            .build();
        Delays(delays, self.max)
    }
}

/// Growing delays, each with a jitter of half of it, for who decides by himself when to try again.
pub struct Delays(backoff::ExponentialBackoff, Duration);

impl Delays {
    /// Returns the next delay.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.1)
    }

    /// Waits for the next delay.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// Starts afresh, after something went well.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

/// How long to go on, and how far apart.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub pace: Pace,
    /// Counted from the first attempt; no attempt begins after it.
    pub max_elapsed: Duration,
}

/// What the caller makes of a failed attempt.
#[derive(Debug)]
pub enum AttemptError<E> {
    /// Trying again may help; not before `after`, where the other side named a time.
    Transient {
        error: E,
        after: Option<Duration>,
    },
    Permanent(E),
}

/// Calls `attempt` until it succeeds, fails for good, or the policy's time is over; then returns the last
/// error. `pausing` hears of each failure that is followed by a pause.
pub async fn retry<T, E, A, F>(
    policy: RetryPolicy,
    mut pausing: impl FnMut(&E, Duration),
    mut attempt: A,
) -> Result<T, E>
where
    A: FnMut() -> F,
    F: Future<Output = Result<T, AttemptError<E>>>,
{
    let started = tokio::time::Instant::now();
    let mut delays = policy.pace.delays();
    loop {
        let (error, after) = match attempt().await {
            Ok(value) => return Ok(value),
            Err(AttemptError::Permanent(error)) => return Err(error),
            Err(AttemptError::Transient { error, after }) => (error, after),
        };
        let pause = delays.next_delay();
        // The jitter is kept on top of a named time, or all clients come back in the same instant.
        let pause = after.map_or(pause, |after| after + pause.min(policy.pace.initial));
        if started.elapsed() + pause > policy.max_elapsed {
            return Err(error);
        }
        pausing(&error, pause);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        pace: Pace { initial: Duration::from_millis(4), max: Duration::from_millis(20) },
        max_elapsed: Duration::from_millis(400),
    };

    fn transient(after: Option<Duration>) -> Result<(), AttemptError<&'static str>> {
        Err(AttemptError::Transient { error: "busy", after })
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
                Err(AttemptError::Permanent("no"))
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
