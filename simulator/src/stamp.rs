//! Where a row stands in the source's order, and the times that make it up.

use jiff::{SignedDuration, Timestamp};

/// Where a row stands in the order `:updated_at, :id`: the time as finely as the row has it, the id as its
/// hidden number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    pub updated_at: Timestamp,
    pub row_number: u64,
}

/// Returns the point in time of milliseconds since 1970; what lies beyond all times is the last one.
pub fn at_millisecond(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(if at_ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the next point in time that there is.
pub fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at)
}

impl Stamp {
    /// Returns the least stamp of a time.
    pub fn first_at(updated_at: Timestamp) -> Self {
        Self { updated_at, row_number: 0 }
    }

    /// Returns the least stamp above this one.
    pub fn next(self) -> Self {
        match self.row_number.checked_add(1) {
            Some(row_number) => Self { row_number, ..self },
            None => Self::first_at(just_after(self.updated_at)),
        }
    }
}
