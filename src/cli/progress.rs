//! Shows on stderr how a poll goes: a bar on a terminal, otherwise a line when something has changed.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::follow::Shows;
use super::output;
use crate::documents::PollDocument;
use crate::poll::PollState;
use crate::screen;

/// Lines in a log come no closer than this, unless the state changes.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// How a poll is shown.
pub enum Progress {
    Bar(ProgressBar),
    Lines { state: Option<PollState>, line: String, shown: Option<Instant> },
}

impl Progress {
    pub fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { state: None, line: String::new(), shown: None };
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

    pub fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Shows<PollDocument> for Progress {
    fn show(&mut self, poll: &PollDocument) {
        let (state, counts) = (poll.state, &poll.counts);
        match self {
            Self::Bar(bar) => {
                let length = counts.fetched + counts.republished;
                bar.set_length(u64::try_from(length).unwrap_or(0));
                bar.set_position(u64::try_from(counts.arrived()).unwrap_or(0));
                bar.set_message(screen::line(&format!("{state}, {} pages", counts.pages)).into_owned());
            }
            Self::Lines { state: last_state, line: last_line, shown } => {
                let line = match state {
                    PollState::Queued => {
                        format!(
                            "queued at position {}",
                            output::or_dash(poll.queue_position.map(output::grouped))
                        )
                    }
                    _ => format!(
                        "{state}: {} rows fetched in {} pages, {} in the tables",
                        output::grouped(counts.fetched),
                        counts.pages,
                        output::grouped(counts.arrived())
                    ),
                };
                let due = shown.is_none_or(|shown| shown.elapsed() >= LINE_INTERVAL) && line != *last_line;
                if due || Some(state) != *last_state {
                    output::note(&line);
                    (*last_state, *last_line, *shown) = (Some(state), line, Some(Instant::now()));
                }
            }
        }
    }

    /// Says something without disturbing the bar.
    fn note(&self, message: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| output::note(message)),
            Self::Lines { .. } => output::note(message),
        }
    }
}
