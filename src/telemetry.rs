//! What the program says about itself: the log and the metrics.
//!
//! A metric is described in `metrics`, with the types of its labels, which are in `labels`. What happens has
//! a name in `events`, where the counters and the line of the log that belong to it stand together.

pub mod events;
mod family;
mod in_flight;
pub mod labels;
pub mod metrics;

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::in_flight::InFlight;
use crate::config::{LogFormat, LogSettings};
use crate::screen::{LogEscapes, LogWriter};

/// What the web framework tells, and up to which level it is heard: of its workers at every start, which is
/// nobody's concern; and as an error of each caller that speaks no HTTP, which anybody can cause and nobody
/// has to mend. Whoever names it in `log.level` hears it all.
const QUIET: [(&str, LevelFilter); 2] =
    [("actix_server", LevelFilter::WARN), ("actix_http", LevelFilter::OFF)];

/// Starts the log on stderr, so that stdout keeps to results. A second call changes nothing.
pub fn init(settings: &LogSettings) {
    let colours = settings.format == LogFormat::Text
        && stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none();
    let escapes = match settings.format {
        LogFormat::Json => LogEscapes::Json,
        LogFormat::Text if colours => LogEscapes::ColouredText,
        LogFormat::Text => LogEscapes::Text,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(move || LogWriter(stderr(), escapes));
    let registry = tracing_subscriber::registry().with(filter(&settings.level));
    let started = match settings.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(true)).try_init(),
        LogFormat::Text => registry.with(lines.with_ansi(colours)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log runs already");
    }
}

fn filter(level: &str) -> Targets {
    let filter: Targets = level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    QUIET
        .iter()
        .filter(|(target, _)| !level.contains(target))
        .fold(filter, |filter, (target, loudest)| filter.with_target(*target, *loudest))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn what_any_caller_can_cause_is_no_error_of_the_log_unless_it_is_asked_for() {
        let dispatcher = "actix_http::h1::dispatcher";
        for (level, target, heard, expected) in [
            ("info", dispatcher, Level::ERROR, false),
            ("info", "actix_server::worker", Level::INFO, false),
            ("info", "actix_server::worker", Level::WARN, true),
            ("info", "nyc311::store", Level::INFO, true),
            ("info,actix_http=debug", dispatcher, Level::DEBUG, true),
            ("warn,actix_server=info", "actix_server::worker", Level::INFO, true),
        ] {
            assert_eq!(filter(level).would_enable(target, &heard), expected, "{level}: {heard} of {target}");
        }
    }
}
