//! What a poll is, in the words that everything which has to do with one shares: where it is in its life, who
//! asked for it, and what it reads.

use jiff::Timestamp;

use crate::words::words;

words! {
    /// Where a poll is in its life.
    PollState {
        Queued = "queued",
        Running = "running",
        Storing = "storing",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }

    /// Who asked for a poll.
    Trigger { Api = "api", Interval = "interval", Cli = "cli", Reconciliation = "reconciliation" }

    /// The column that a window is on.
    WindowOn { UpdatedAt = "updated_at", CreatedDate = "created_date" }
}

impl PollState {
    /// Tells whether nothing more will happen to the poll by itself.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl WindowOn {
    /// Tells whether a window on the column needs a bound: the durable cursor is a time of `updated_at`, so
    /// on any other column there is nothing to go on from.
    pub fn needs_bound(self) -> bool {
        self != Self::UpdatedAt
    }
}

/// What a poll reads: `[since, until)`, or from the durable cursor on where neither is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub on: WindowOn,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Window {
    /// The walk from the durable cursor on.
    pub const OPEN: Self = Self { on: WindowOn::UpdatedAt, since: None, until: None };

    /// Tells whether this is a walk from the durable cursor on, which moves it.
    pub fn is_open(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// Tells whether no time can lie in it.
    pub fn is_empty(&self) -> bool {
        self.since.zip(self.until).is_some_and(|(since, until)| since >= until)
    }
}
