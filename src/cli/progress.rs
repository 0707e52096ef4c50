//! Shows on stderr how a poll goes: a bar on a terminal, otherwise a line when something has changed.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::output;
use crate::screen;

/// Lines in a log come no closer than this, unless the state changes.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// How a poll is shown.
pub enum Progress {
    Bar(ProgressBar),
    Lines { state: String, line: String, shown: Option<Instant> },
}

impl Progress {
    pub fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { state: String::new(), line: String::new(), shown: None };
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(
            "{spinner} {msg}  [{bar:30}] {human_pos}/{human_len} in the tables  {elapsed}",
        ) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    /// Shows what was last heard of a poll.
    pub fn show(&mut self, poll: &Value) {
        let counts = &poll["counts"];
        let count = |name: &str| counts[name].as_i64().unwrap_or(0);
        let arrived = ["stored", "duplicate", "reenriched", "dead_lettered"].map(count).iter().sum::<i64>();
        let state = poll["state"].as_str().unwrap_or_default();
        match self {
            Self::Bar(bar) => {
                let length = count("fetched") + count("republished");
                bar.set_length(u64::try_from(length).unwrap_or(0));
                bar.set_position(u64::try_from(arrived).unwrap_or(0));
                bar.set_message(screen::line(&format!("{state}, {} pages", count("pages"))).into_owned());
            }
            Self::Lines { state: last_state, line: last_line, shown } => {
                let line = match state {
                    "queued" => format!("queued at position {}", output::shown(&poll["queue_position"])),
                    _ => format!(
                        "{state}: {} rows fetched in {} pages, {} in the tables",
                        output::grouped(count("fetched")),
                        count("pages"),
                        output::grouped(arrived)
                    ),
                };
                let due = shown.is_none_or(|shown| shown.elapsed() >= LINE_INTERVAL) && line != *last_line;
                if due || state != last_state.as_str() {
                    output::note(&line);
                    (*last_state, *last_line, *shown) = (state.to_owned(), line, Some(Instant::now()));
                }
            }
        }
    }

    /// Says something without disturbing the bar.
    pub fn note(&self, message: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| output::note(message)),
            Self::Lines { .. } => output::note(message),
        }
    }

    pub fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
