//! Settings of restarts, hangs and the drain.

use std::time::Duration;

use super::form::{Count, Span};
use super::section::settings;
use super::unit::{days, hours, millis, minutes, seconds};

settings! {
    /// Restarts, hangs and the drain.
    SupervisionSettings "supervision" {
        max_restarts: u32 = 10, Count(1..=1000),
            "Failures of the stages of one group within the window that are mended by a restart; at one \
             more the group gives up and is built anew. When that happened three times within four windows, \
             the process ends (exit code 70, or 71 where a thread hung).",
            "With none a single fault would take the whole group down; a thousand is a loop.";
        window: Duration = minutes(2), Span(seconds(1)..=days(1)),
            "The window in which restarts are counted.",
            "Shorter than the back-offs of supervision.max_restarts together it would never fill.";
        backoff_initial: Duration = millis(100), Span(millis(1)..=minutes(1)),
            "The first delay before a stage is rebuilt; it doubles, with jitter.",
            "Without a delay a crash loop takes the machine.";
        backoff_max: Duration = seconds(10), Span(millis(1)..=minutes(10)),
            "The longest delay before a stage is rebuilt.",
            "Must not be below supervision.backoff_initial, where the delays start.";
        hang_after: Duration = seconds(20), Span(millis(100)..=hours(1)),
            "How long a thread, or a piece of work that waits for nothing that has a name, may stand still before its \
             stage is rebuilt, or, where nothing can take its place, the process ends (exit code 71).",
            "Below 100 ms a busy machine looks like a hang.";
        stalled_after: Duration = seconds(15), Span(seconds(1)..=hours(1)),
            "How long a partition with records to read may stand still, while nothing that it waits for is \
             away, before it is opened anew; after twice as long its stage is rebuilt, after three times \
             the process ends (exit code 71).",
            "Below a second an ordinary transaction looks like a stall.";
        drain_timeout: Duration = seconds(25), Span(seconds(1)..=minutes(10)),
            "How long the drain after SIGTERM may take.",
            "Orchestrators kill after 30 s by default.";
    }
}
