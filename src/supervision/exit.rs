//! Why a stage ended, as one enum: supervision is a match on it.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::telemetry::labels::RestartReason;

/// An error that ends a stage: what it was doing and what went wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing}: {cause}")]
pub struct StageError {
    doing: &'static str,
    #[source]
    cause: Arc<dyn Error + Send + Sync>,
}

impl StageError {
    /// Names what the stage was doing when `cause` ended it.
    pub fn new(doing: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { doing, cause: Arc::from(cause.into()) }
    }
}

/// Why one incarnation of a stage is gone.
#[derive(Debug, Clone)]
pub enum ExitReason {
    /// It drained because it was asked to: no failure.
    Drained,
    /// It was ended by its supervisor: no failure of its own.
    Killed,
    /// It reported an error that it cannot go on from.
    Failed(StageError),
    /// It panicked.
    Panicked(String),
    /// Its thread no longer turned and was abandoned.
    Hung,
    /// Its thread turns, but a piece of its work does not; the text says which.
    StoodStill(String),
    /// It ended though nobody asked: as bad as an error.
    Vanished,
}

impl ExitReason {
    /// Returns whether it hung: no error and no panic told of it.
    pub fn is_hang(&self) -> bool {
        matches!(self, Self::Hung | Self::StoodStill(_))
    }

    /// Returns why the stage is rebuilt, for the metrics. Whatever an end calls itself, one that is counted
    /// was asked for by nobody.
    pub fn restart_reason(&self) -> RestartReason {
        match self {
            Self::Failed(_) => RestartReason::Error,
            Self::Panicked(_) => RestartReason::Panic,
            Self::Hung | Self::StoodStill(_) => RestartReason::Hang,
            Self::Vanished | Self::Drained | Self::Killed => RestartReason::Vanished,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked(text) => write!(f, "panic: {text}"),
            Self::Drained => f.write_str("drained"),
            Self::Killed => f.write_str("ended by its supervisor"),
            Self::Hung => f.write_str("its thread no longer turns"),
            Self::StoodStill(what) => f.write_str(what),
            Self::Vanished => f.write_str("ended though nobody asked"),
        }
    }
}

thread_local! {
    static LAST_PANIC_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers where a panic happened; [`panic_text`] puts the place behind the message.
pub fn remember_panic_location(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    LAST_PANIC_AT.with(|last| *last.borrow_mut() = place);
}

/// Renders a panic's payload with the place that the hook remembered on this thread.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let message = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "payload without text".to_owned());
    match LAST_PANIC_AT.with(|last| last.borrow_mut().take()) {
        Some(place) => format!("{message} at {place}"),
        None => message,
    }
}
