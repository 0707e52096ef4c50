//! Settings of the source: where the rows come from, and the patience with it.

use std::time::Duration;

use super::form::{Count, HttpUrl, Names, Span, Token};
use super::secret::Secret;
use super::section::settings;
use super::unit::{days, hours, millis, minutes, seconds};

settings! {
    /// The Socrata API and the patience with it.
    SourceSettings "source" {
        url: String = "https://data.cityofnewyork.us/resource/erm2-nwe9.json".to_owned(), HttpUrl,
            "The Socrata resource to poll; its last segment names the source in the database.",
            "Another source needs a database of its own, or its cursor would be taken for this one's.";
        app_token: Option<Secret> = None, Token,
            "Sent as `X-App-Token`; without one the service throttles by address.",
            "It travels in a header, which takes no other characters.";
        page_rows: usize = 10_000, Count(1..=50_000),
            "Rows asked for at a time (`$limit`).",
            "A page is held in memory at about 1.3 KB a row; one of over 32 MiB and 2 KiB a row is asked for in \
             halves. The service answers at most 50,000.";
        columns: Vec<String> = Vec::new(), Names,
            "The columns to ask for; none means all (`:*,*`). `unique_key` and `created_date` always come, \
             and so do all system fields, unless some are named: then only these.",
            "A name of the dataset is lower case letters, digits and `_`; of the system fields `:id`, \
             `:updated_at`, `:version` and `:created_at` are needed. On some portals `:*` takes minutes: \
             `*,:id,:updated_at,:version,:created_at` asks for no more than is used.";
        visibility_lag: Duration = hours(2), Span(seconds(0)..=days(2)),
            "How far the durable cursor stays behind the clock of the answer.",
            "Rows become visible minutes after the time they are stamped with; above two days every poll \
             reads whole nights again.";
        connect_timeout: Duration = seconds(10), Span(millis(100)..=minutes(5)),
            "How long a connection to the source may take.",
            "A poll that waits longer for a connection only hides that the source is away.";
        read_timeout: Duration = minutes(5), Span(millis(100)..=hours(1)),
            "How long the source may be silent within an answer.",
            "A large page may take minutes to begin; beyond an hour a dead connection is not noticed.";
        retry_max_elapsed: Duration = minutes(10), Span(seconds(0)..=days(1)),
            "How long one page is tried again before the poll fails with its cursor kept.",
            "Beyond a day the next scheduled poll would be waiting behind this one.";
        retry_initial_interval: Duration = millis(500), Span(millis(1)..=minutes(1)),
            "The first pause before a page is tried again; it doubles, with jitter.",
            "Without a pause a failing source is hammered.";
        retry_max_interval: Duration = seconds(60), Span(millis(1)..=hours(1)),
            "The longest pause before a page is tried again; `Retry-After` may ask for more.",
            "Must not be below source.retry_initial_interval, where the pauses start.";
    }
}

impl SourceSettings {
    /// Names the source in the database: the last segment of its address, without `.json`.
    pub fn dataset(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".json").unwrap_or(last)
    }
}
