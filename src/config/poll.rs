//! Settings of the polls.

use std::time::Duration;

use jiff::Timestamp;

use super::form::{Count, OptionalSpan, OptionalTime, Span};
use super::section::settings;
use super::unit::{days, minutes, seconds};

settings! {
    /// When polls start and how they are held.
    PollSettings "poll" {
        interval: Option<Duration> = None, OptionalSpan(seconds(1)..=days(31)),
            "Starts a poll by itself that often, for those without a scheduler.",
            "The source publishes once a night; below a second polls would only queue.";
        initial_since: Option<Timestamp> = None, OptionalTime,
            "Where the first poll of a new database starts; none takes the whole history, which are some 22 \
             million rows of the city.",
            "It is compared with `:updated_at`, and only while there is no durable cursor.";
        lease: Duration = seconds(15), Span(seconds(1)..=minutes(10)),
            "How long a silent process keeps the running poll before another may take it.",
            "Renewed after a quarter of it, and every 500 ms at the latest: below a second a slow commit \
             loses it, above ten minutes a dead process holds everything up.";
        max_queued: u32 = 100, Count(1..=10_000),
            "Polls that may wait; one more is answered 429.",
            "One runs at a time, so a longer queue is a scheduler gone wild.";
    }
}
