//! What a reconciliation is, in the words that everything which has to do with one shares: where it is in its
//! life, what it compares, and what counts as a difference.

mod difference;
mod month;

pub use self::difference::{Difference, OurMonth, SourceMonth, settled_until};
pub use self::month::Month;
use crate::words::words;

words! {
    /// Where a reconciliation is in its life.
    ReconciliationState {
        Queued = "queued",
        /// The counts of the source are held against ours.
        Comparing = "comparing",
        /// The months that differ are polled again.
        Polling = "polling",
        /// In the months that still differ, what is gone from the source is looked for by key.
        Withdrawing = "withdrawing",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
    }

    /// What a reconciliation has done about a month, the last thing where it was several.
    MonthAction {
        Nothing = "none",
        Poll = "poll",
        Withdraw = "withdraw",
    }

    /// What the last comparison has found of a month.
    MonthState {
        Agrees = "agrees",
        Differs = "differs",
    }

    /// How a month may differ.
    DifferenceKind {
        /// Rows that the source has and we have not.
        Missing = "missing",
        /// Rows that we have and the source has not.
        Surplus = "surplus",
        /// Months whose newest version is not ours, or ours not theirs.
        Stale = "stale",
    }
}

impl ReconciliationState {
    /// Tells whether nothing more will happen to the reconciliation by itself.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}
