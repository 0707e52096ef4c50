//! What the simulator serves from: versions of rows in the source's order, reached by position.

use crate::soql::KnownColumns;
use crate::stamp::{Stamp, at_millisecond};

/// All versions of all rows. Positions are dense and sorted by stamp, so a page is found by bisection.
pub trait Table: Send + Sync {
    /// Counts the versions, shown or not.
    fn len(&self) -> u64;

    fn stamp(&self, position: u64) -> Stamp;

    /// Says whether the source shows the version when its clock reads `now_ms`.
    fn is_shown(&self, position: u64, now_ms: i64) -> bool;

    /// Appends the row as JSON, system fields included.
    fn write_row(&self, position: u64, out: &mut Vec<u8>);

    /// Returns `created_date` (local milliseconds) where the table knows it without writing the row.
    fn created_date(&self, _position: u64) -> Option<i64> {
        None
    }

    /// Says whether no row is stamped before its `created_date`, so that a bound on the one is a bound on the
    /// other.
    fn publishes_after_creation(&self) -> bool {
        false
    }

    fn columns(&self) -> &KnownColumns;

    /// Returns the time by which every row can be seen: where the clock stands unless it is set.
    fn all_visible_at_ms(&self) -> i64;

    /// Returns when the source last changed, for a clock that reads `now_ms`.
    fn modified_at_ms(&self, now_ms: i64) -> i64 {
        let bound = Stamp { updated_at: at_millisecond(now_ms), row_number: u64::MAX };
        match self.first_at_or_after(bound) {
            0 => now_ms,
            next => self.stamp(next - 1).updated_at.as_millisecond(),
        }
    }

    /// Returns the first position whose stamp is not below `bound`.
    fn first_at_or_after(&self, bound: Stamp) -> u64 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.stamp(middle) < bound { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Says whether versions with equal stamps must not be torn apart by a page border, which no cursor could
    /// mend.
    fn keeps_ties_together(&self) -> bool {
        false
    }
}
