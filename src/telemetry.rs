//! What the program says about itself: the log and the metrics.
//!
//! A metric is described in `metrics`, with the types of its labels, which are in `labels`. What happens has
//! a name in `events`, where the counters and the line of the log that belong to it stand together.

pub mod events;
mod family;
mod in_flight;
pub mod labels;
pub mod metrics;

pub use in_flight::InFlight;

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogSettings};
use crate::screen::{LogEscapes, LogWriter};

/// The web framework tells of its workers at every start, which is nobody's concern; whoever names it in
/// `log.level` hears it.
const QUIET: &str = "actix_server";

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
    if level.contains(QUIET) { filter } else { filter.with_target(QUIET, LevelFilter::WARN) }
}
