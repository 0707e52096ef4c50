//! Settings of the reconciliation with the source.

use std::time::Duration;

use super::form::{Count, Span};
use super::section::settings;
use super::unit::{minutes, seconds};

settings! {
    /// How the source's counts are held against ours.
    ReconciliationSettings "reconciliation" {
        pause: Duration = seconds(30), Span(seconds(0)..=minutes(30)),
            "How long after a look that found a difference the source is looked at again.",
            "Only what two looks in a row find alike is a difference; within half a minute another replica \
             answers, and above half an hour a reconciliation takes a day.";
        looks: u32 = 30, Count(2..=1_000),
            "How many looks a comparison may take before it fails: while a replica lags, or the source \
             publishes.",
            "With `reconciliation.pause` it is how long a night's publication is waited for, which takes \
             minutes; two looks are the least that can agree.";
        page_keys: usize = 50_000, Count(1..=50_000),
            "Keys asked for at a time (`$limit`) where a month is compared key by key.",
            "A key is some 100 bytes on the way and 16 in memory; the service answers at most 50,000.";
    }
}
