//! When a month of ours differs from the same month of the source: a decision over counts, without a clock
//! and I/O.
//!
//! The two sides are never counted at one moment, and both move. What holds all the same: a row whose newest
//! version is not after the *settled time* must be here, since polls have stored everything up to it (promise
//! 1); and a row that is here must be there, whatever its version. So ours lies between two counts of the
//! source, that of its settled rows and that of all of its rows, and only a count outside of the two is a
//! difference. Where nothing of a month is newer than the settled time, the two are one, and the comparison
//! is exact.
//!
//! A dead letter is known, though it is in no table: it may stand for a settled row that we do not have, and
//! for one that we hold in the month of an older version.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Not every answer of the source tells times apart that differ by less.
const SAME: SignedDuration = SignedDuration::from_millis(1);

/// A month as the source counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceMonth {
    /// All of its rows.
    pub count: i64,
    /// Those whose `:updated_at` is not after the settled time.
    pub settled: i64,
    /// The greatest `:updated_at` of all, and of those.
    pub newest: Option<Timestamp>,
    pub settled_newest: Option<Timestamp>,
}

/// A month as the tables have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OurMonth {
    /// Rows that are not withdrawn.
    pub count: i64,
    pub newest: Option<Timestamp>,
    /// Keys with a dead letter of this month that are in no row of it.
    pub dead_lettered: i64,
    /// Rows of it whose key has a dead letter of another month, or of none.
    pub moved: i64,
}

/// By how much a month differs; nothing of it where it agrees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    /// So many rows that the source has, at least, are not here.
    pub missing: i64,
    /// So many rows that are here, at least, the source has not.
    pub surplus: i64,
    /// The newest version of one side is not known to the other.
    pub stale: bool,
}

impl Difference {
    /// Compares a month.
    ///
    /// | ours | the month |
    /// |---|---|
    /// | fewer rows and dead letters than settled rows there | lacks the rest |
    /// | more rows than there, but for those that have moved | has the rest too many |
    /// | in between | agrees |
    /// | the newest is newer than any there | is stale: it is gone there, or was changed here |
    /// | the newest is older than the newest settled one, and no dead letter may be that one | is stale |
    pub fn of(theirs: &SourceMonth, ours: &OurMonth) -> Self {
        let known = ours.count.saturating_add(ours.dead_lettered);
        let older = |one: Option<Timestamp>, other: Option<Timestamp>| match (one, other) {
            (Some(one), Some(other)) => other.duration_since(one) >= SAME,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let no_letters = ours.dead_lettered == 0 && ours.moved == 0;
        Self {
            missing: theirs.settled.saturating_sub(known).max(0),
            surplus: ours.count.saturating_sub(ours.moved).saturating_sub(theirs.count).max(0),
            stale: older(theirs.newest, ours.newest) && ours.moved == 0
                || older(ours.newest, theirs.settled_newest) && no_letters,
        }
    }

    /// Tells whether the month agrees.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns the time up to which rows must be here: as far as polls have stored, or, where none has from the
/// durable cursor on, as far as rows are visible for certain.
pub fn settled_until(stored: Option<Timestamp>, answered_at: Timestamp, lag: Duration) -> Timestamp {
    stored.unwrap_or_else(|| answered_at.checked_sub(lag).unwrap_or(Timestamp::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Option<Timestamp> {
        Timestamp::from_second(1_778_457_600 + minute * 60).ok()
    }

    /// A month of the source of which nothing is newer than the settled time.
    fn quiet(count: i64, newest: i64) -> SourceMonth {
        SourceMonth { count, settled: count, newest: at(newest), settled_newest: at(newest) }
    }

    fn ours(count: i64, newest: i64) -> OurMonth {
        OurMonth { count, newest: at(newest), ..OurMonth::default() }
    }

    fn difference(missing: i64, surplus: i64, stale: bool) -> Difference {
        Difference { missing, surplus, stale }
    }

    #[test]
    fn a_quiet_month_is_compared_exactly() {
        for (theirs, here, expected) in [
            (quiet(10, 5), ours(10, 5), difference(0, 0, false)),
            (quiet(10, 5), ours(9, 5), difference(1, 0, false)),
            (quiet(10, 5), ours(12, 5), difference(0, 2, false)),
            (quiet(10, 5), ours(10, 4), difference(0, 0, true)),
            (quiet(10, 5), ours(10, 6), difference(0, 0, true)),
            (quiet(10, 5), OurMonth::default(), difference(10, 0, true)),
            (SourceMonth::default(), ours(3, 5), difference(0, 3, true)),
            (SourceMonth::default(), OurMonth::default(), difference(0, 0, false)),
        ] {
            assert_eq!(Difference::of(&theirs, &here), expected, "{theirs:?} {here:?}");
        }
    }

    #[test]
    fn rows_that_no_poll_could_have_stored_yet_are_no_difference() {
        // Of ten rows two are new and one has been changed since the settled time.
        let theirs = SourceMonth { count: 10, settled: 7, newest: at(9), settled_newest: at(5) };
        for (count, newest, agrees) in
            [(6, 5, false), (7, 5, true), (8, 5, true), (10, 9, true), (11, 9, false), (8, 4, false)]
        {
            assert_eq!(Difference::of(&theirs, &ours(count, newest)).is_none(), agrees, "{count} {newest}");
        }
        // A replacement of the whole dataset: everything is newer.
        let replaced = SourceMonth { count: 10, settled: 0, newest: at(9), settled_newest: None };
        assert!(Difference::of(&replaced, &ours(10, 5)).is_none());
    }

    #[test]
    fn dead_letters_count_as_known_and_hide_no_row_that_is_gone() {
        let letters = OurMonth { dead_lettered: 2, ..ours(8, 4) };
        assert!(Difference::of(&quiet(10, 5), &letters).is_none(), "the newest may be a letter");
        assert_eq!(Difference::of(&quiet(11, 5), &letters).missing, 1);
        assert_eq!(Difference::of(&quiet(7, 4), &letters), difference(0, 1, false));
        // One row has a newer version with another date, which is a dead letter.
        let moved = OurMonth { moved: 1, ..ours(9, 5) };
        assert!(Difference::of(&quiet(8, 4), &moved).is_none());
        assert_eq!(Difference::of(&quiet(7, 4), &moved).surplus, 1);
    }

    #[test]
    fn times_that_differ_by_less_than_a_millisecond_are_one() {
        let finer = at(5).unwrap() + SignedDuration::from_micros(631);
        let here = OurMonth { count: 1, newest: Some(finer), ..OurMonth::default() };
        assert!(Difference::of(&quiet(1, 5), &here).is_none());
    }

    #[test]
    fn what_is_settled_is_what_polls_have_stored_or_else_what_is_visible() {
        let lag = Duration::from_secs(600);
        assert_eq!(settled_until(at(3), at(60).unwrap(), lag), at(3).unwrap());
        assert_eq!(settled_until(None, at(60).unwrap(), lag), at(50).unwrap());
    }
}
