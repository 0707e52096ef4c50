//! Looks at both sides, until nothing of what they found can be a moment's: decisions over facts, without a
//! clock and I/O.
//!
//! A month that agrees is settled by one look, for only rows that are there can be counted. A month that
//! differs is settled when the next look finds the same difference: while a night is being published, a poll
//! stores rows, or another replica answers, two looks differ, and there is another one.

use std::collections::BTreeMap;

use crate::reconciliation::{Difference, Month, OurMonth, SourceMonth};

/// A month of both sides, and by what it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) theirs: SourceMonth,
    pub(super) ours: OurMonth,
    pub(super) difference: Difference,
}

/// What the looks so far have found.
#[derive(Debug, Default)]
pub(super) struct Looks {
    has_looked: bool,
    settled: BTreeMap<Month, Compared>,
    pending: BTreeMap<Month, Compared>,
}

impl Looks {
    /// Takes a look: at all months first, at those that are pending afterwards.
    ///
    /// | the month | before | is |
    /// |---|---|---|
    /// | agrees | anything | settled |
    /// | differs | differed alike | settled |
    /// | differs | was not looked at, or differed otherwise | pending |
    pub(super) fn take(&mut self, seen: BTreeMap<Month, (SourceMonth, OurMonth)>) {
        self.has_looked = true;
        for (month, (theirs, ours)) in seen {
            let difference = Difference::of(&theirs, &ours);
            let compared = Compared { theirs, ours, difference };
            let before = self.pending.remove(&month).map(|before| before.difference);
            if difference.is_none() || before == Some(difference) {
                self.settled.insert(month, compared);
            } else {
                self.pending.insert(month, compared);
            }
        }
    }

    /// Returns the months that are to be looked at again; none where all are, because none was yet.
    pub(super) fn pending(&self) -> Option<Vec<Month>> {
        self.has_looked.then(|| self.pending.keys().copied().collect())
    }

    pub(super) fn are_settled(&self) -> bool {
        self.has_looked && self.pending.is_empty()
    }

    /// Returns what was settled.
    pub(super) fn compared(self) -> BTreeMap<Month, Compared> {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(word: &str) -> Month {
        Month::from_word(word).unwrap()
    }

    fn seen(months: &[(&str, i64, i64)]) -> BTreeMap<Month, (SourceMonth, OurMonth)> {
        let side = |(word, count, here): &(&str, i64, i64)| {
            let theirs = SourceMonth { count: *count, settled: *count, ..SourceMonth::default() };
            (month(word), (theirs, OurMonth { count: *here, ..OurMonth::default() }))
        };
        months.iter().map(side).collect()
    }

    #[test]
    fn one_look_settles_what_agrees() {
        let mut looks = Looks::default();
        assert!(!looks.are_settled() && looks.pending().is_none(), "nothing was looked at");
        looks.take(seen(&[("2026-04", 3, 3), ("2026-05", 4, 4)]));
        assert!(looks.are_settled());
        assert_eq!(looks.compared().len(), 2);
    }

    #[test]
    fn a_source_without_rows_and_empty_tables_agree() {
        let mut looks = Looks::default();
        looks.take(BTreeMap::new());
        assert!(looks.are_settled() && looks.compared().is_empty());
    }

    #[test]
    fn a_difference_needs_two_looks_that_are_alike() {
        let mut looks = Looks::default();
        looks.take(seen(&[("2026-04", 3, 3), ("2026-05", 4, 3), ("2026-06", 9, 1)]));
        assert_eq!(looks.pending(), Some(vec![month("2026-05"), month("2026-06")]));
        // One is still being stored.
        looks.take(seen(&[("2026-05", 4, 3), ("2026-06", 9, 5)]));
        assert_eq!(looks.pending(), Some(vec![month("2026-06")]));
        looks.take(seen(&[("2026-06", 9, 9)]));
        assert!(looks.are_settled());
        let missing: Vec<i64> = looks.compared().values().map(|month| month.difference.missing).collect();
        assert_eq!(missing, [0, 1, 0]);
    }

    #[test]
    fn a_count_that_grows_on_both_sides_is_the_same_difference() {
        let mut looks = Looks::default();
        looks.take(seen(&[("2026-05", 4, 3)]));
        looks.take(seen(&[("2026-05", 6, 5)]));
        assert!(looks.are_settled());
    }
}
