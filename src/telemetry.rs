//! What the program says about itself: the log and the metrics.

pub mod metrics;

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogSettings};
use crate::screen::{LogEscapes, LogWriter};

/// The web framework tells of its workers at every start, which is nobody's concern; whoever names it in `log.level` hears it.
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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&settings.level))
        .with_writer(move || LogWriter(stderr(), escapes));
    let started = match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).finish().try_init(),
        LogFormat::Text => builder.with_ansi(colours).finish().try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log runs already");
    }
}

fn filter(level: &str) -> EnvFilter {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    match format!("{QUIET}=warn").parse() {
        Ok(quiet) if !level.contains(QUIET) => filter.add_directive(quiet),
        _ => filter,
    }
}
