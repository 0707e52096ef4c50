//! Whether a page follows the one before it, as the walk by (`:updated_at`, `:id`) needs it.
//!
//! A walk ends at an empty page: a source may give fewer rows than it was asked for at any time. What comes again is no
//! news either: a short page that brings nothing but the last rows of the page before is the end too, and so is a short
//! one without a row to go on from. A full page that does not advance, one whose times fall, and one with rows of the
//! page before that are not its last ones end the poll with an error before anything of them is published: the source
//! does not sort as it is asked to, and to go on would pass over rows.

use std::collections::HashMap;

use jiff::Timestamp;
use nyc311_domain::RawHead;

use crate::{messages::RawRow, socrata::Cursor};

/// What becomes of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Advances,
    /// To be published, but nothing goes on from it.
    LastPage,
    /// Nothing in it is new.
    End,
    Wrong {
        code: &'static str,
        detail: String,
    },
}

/// What a row says of its place.
struct Place {
    /// It has a time.
    timed: bool,
    /// It is the row that the page should follow.
    is_cursor: bool,
}

/// Watches the rows of a page in their order.
pub(super) struct Succession<'a> {
    after: Option<&'a Cursor>,
    places: Vec<Place>,
    greatest: Option<(Timestamp, String)>,
    /// The last row that can be gone on from is another one than the page follows.
    advances: bool,
    /// A row has the time of the row that the page follows, or an earlier one.
    touches_cursor: bool,
    /// The first two rows that stand in the wrong order, in words.
    disorder: Option<String>,
}

const REMEDY: &str = "the source did not sort by :updated_at, :id as it was asked to ($order), and to go on would pass over \
                      rows; set source.url to an address that keeps $order, and poll again";

impl<'a> Succession<'a> {
    pub(super) fn after(after: Option<&'a Cursor>) -> Self {
        let before = |cursor: &Cursor| {
            (cursor.updated_at, format!("the page before, which ends with :id {}", cursor.row_id))
        };
        Self {
            after,
            places: Vec::new(),
            greatest: after.map(before),
            advances: false,
            touches_cursor: false,
            disorder: None,
        }
    }

    /// Notes the next row. Rows with equal times may stand in any order, for the source alone can compare ids.
    pub(super) fn note(&mut self, head: &RawHead<'_>) {
        let is_cursor = self.after.is_some_and(|after| {
            head.updated_at == Some(after.updated_at) && head.row_id.as_deref() == Some(&after.row_id)
        });
        self.places.push(Place { timed: head.updated_at.is_some(), is_cursor });
        let Some(updated_at) = head.updated_at else { return };
        self.touches_cursor |= self.after.is_some_and(|after| updated_at <= after.updated_at);
        if head.unique_key.is_some() && head.row_id.is_some() {
            self.advances = !is_cursor;
        }
        let (row, key) = (self.places.len(), head.unique_key.as_deref().unwrap_or("unknown"));
        match &mut self.greatest {
            Some((greatest, which)) if updated_at < *greatest => {
                self.disorder.get_or_insert_with(|| {
                    format!(
                        "row {row} (unique_key {key}) has :updated_at {updated_at} and follows {which}, with {greatest}: \
                         {REMEDY}"
                    )
                });
            }
            // A row is named only where its time is new: most have that of the row before.
            Some((greatest, _)) if updated_at == *greatest => {}
            greatest => *greatest = Some((updated_at, format!("row {row} (unique_key {key})"))),
        }
    }

    /// Judges the page, of which every row has been noted.
    pub(super) fn verdict(self, rows: &[RawRow], previous: &[RawRow], is_full: bool) -> Verdict {
        if rows.is_empty() {
            return Verdict::End;
        }
        let may_come_again = self.touches_cursor || !self.places.iter().any(|place| place.timed);
        let again = if may_come_again { self.comes_again(rows, previous) } else { Again::Nothing };
        let wrong = |code, detail: String| Verdict::Wrong { code, detail };
        match (again, is_full) {
            (Again::All, false) => {
                tracing::info!("the source repeats its last rows, there are no others");
                return Verdict::End;
            }
            (Again::All, true) => {
                let detail =
                    format!("a full page brings only rows of the page before; after {:?}", self.after);
                return wrong("page_does_not_advance", detail);
            }
            (Again::OutOfPlace(row), _) => {
                return wrong(
                    "page_not_in_order",
                    format!("row {row} was on the page before already: {REMEDY}"),
                );
            }
            (Again::Nothing | Again::LastRows, _) => {}
        }
        if let Some(disorder) = self.disorder {
            return wrong("page_not_in_order", disorder);
        }
        match (self.advances, is_full) {
            (true, _) => Verdict::Advances,
            (false, false) => Verdict::LastPage,
            (false, true) => {
                let stuck =
                    "a full page ends where it began, or no row of it has :updated_at, :id and unique_key";
                wrong("page_does_not_advance", format!("{stuck}; after {:?}", self.after))
            }
        }
    }

    /// Finds the rows that were on the page before, byte for byte.
    fn comes_again(&self, rows: &[RawRow], previous: &[RawRow]) -> Again {
        let sum = |row: &RawRow| crc32fast::hash(&row.value);
        let known: HashMap<u32, usize> =
            previous.iter().enumerate().map(|(index, row)| (sum(row), index)).collect();
        let (mut all, mut is_new, mut last, mut reached) = (true, false, None, false);
        for (index, (row, place)) in rows.iter().zip(&self.places).enumerate() {
            let found = known.get(&sum(row)).filter(|found| previous[**found].value == row.value);
            match found {
                None => {
                    all = false;
                    is_new |= place.timed;
                }
                // One without a time has no place.
                Some(_) if !place.timed => {}
                // A source that compares less finely than it sorts repeats the last rows of a page, in their order.
                Some(found) if !is_new && last <= Some(found) => {
                    (last, reached) = (Some(found), place.is_cursor)
                }
                Some(_) => return Again::OutOfPlace(index + 1),
            }
        }
        match last {
            Some(_) if !reached => Again::OutOfPlace(1),
            _ if all => Again::All,
            Some(_) => Again::LastRows,
            None => Again::Nothing,
        }
    }
}

/// Which rows of the page before a page brings again.
#[derive(Clone, Copy)]
enum Again {
    Nothing,
    /// Its last ones, and others that are new.
    LastRows,
    /// Its last ones or such without a time, and no other.
    All,
    /// The row with this number, where it cannot stand.
    OutOfPlace(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use nyc311_domain::peek;

    const ONE: &str = "2026-05-01T01:36:00.000001Z";
    const TWO: &str = "2026-05-01T01:36:00.000002Z";

    fn row(id: u32, updated_at: &str) -> RawRow {
        let row = format!(r#"{{"unique_key":"{id}",":id":"row-{id}",":updated_at":"{updated_at}"}}"#);
        RawRow { value: row.into(), borough: None, partition: 0 }
    }

    fn rows(ids: &[u32]) -> Vec<RawRow> {
        ids.iter().map(|id| row(*id, ONE)).collect()
    }

    /// Judges a page that follows another; `limit` rows were asked for.
    fn verdict(previous: &[RawRow], page: &[RawRow], limit: usize) -> Verdict {
        let after = previous.last().map(|last| {
            let head = peek(&last.value);
            Cursor::of_row(head.updated_at.unwrap(), head.row_id.as_deref().unwrap(), &last.value)
        });
        let mut succession = Succession::after(after.as_ref());
        page.iter().for_each(|row| succession.note(&peek(&row.value)));
        succession.verdict(page, previous, page.len() >= limit)
    }

    fn code(verdict: Verdict) -> &'static str {
        let Verdict::Wrong { code, .. } = verdict else { panic!("{verdict:?}") };
        code
    }

    #[test]
    fn times_that_fall_are_named_with_both_rows() {
        let detail = |previous: &[RawRow], page: &[RawRow]| {
            let verdict = verdict(previous, page, 9);
            let Verdict::Wrong { code: "page_not_in_order", detail } = verdict else { panic!("{verdict:?}") };
            detail
        };
        let within = detail(&[], &[row(7, TWO), row(8, TWO), row(9, "unreadable"), row(6, ONE), row(5, TWO)]);
        let expected = format!(
            "row 4 (unique_key 6) has :updated_at {ONE} and follows row 1 (unique_key 7), with {TWO}: the"
        );
        assert!(within.starts_with(&expected), "{within}");
        let across = detail(&[row(1, TWO)], &[row(2, ONE)]);
        assert!(across.contains("follows the page before, which ends with :id row-1, with"), "{across}");
    }

    #[test]
    fn equal_and_unreadable_times_are_in_order() {
        let page = [row(9, ONE), row(3, ONE), row(4, "unreadable"), row(5, TWO), row(2, TWO)];
        assert_eq!(verdict(&[], &page, 9), Verdict::Advances);
        assert_eq!(verdict(&rows(&[1]), &page, 5), Verdict::Advances);
    }

    #[test]
    fn a_page_without_news_is_the_end_when_it_is_short() {
        assert_eq!(verdict(&rows(&[1, 2]), &[], 2), Verdict::End);
        assert_eq!(verdict(&rows(&[1, 2]), &rows(&[1, 2]), 3), Verdict::End);
        assert_eq!(verdict(&rows(&[1, 2]), &rows(&[2]), 3), Verdict::End);
        assert_eq!(code(verdict(&rows(&[1, 2]), &rows(&[1, 2]), 2)), "page_does_not_advance");
    }

    #[test]
    fn a_page_that_nothing_goes_on_from_is_published_and_the_last_when_it_is_short() {
        let odd = RawRow { value: "42".into(), borough: None, partition: 0 };
        let page = std::slice::from_ref(&odd);
        assert_eq!(verdict(&rows(&[1]), page, 2), Verdict::LastPage);
        assert_eq!(verdict(&[], page, 2), Verdict::LastPage);
        assert_eq!(code(verdict(&rows(&[1]), page, 1)), "page_does_not_advance");
        // And when it stood on the page before, it is no news at all.
        assert_eq!(verdict(&[odd.clone(), row(1, ONE)], page, 2), Verdict::End);
    }

    #[test]
    fn rows_of_the_page_before_come_again_only_as_its_last_ones_and_first() {
        let previous = rows(&[1, 2, 3]);
        assert_eq!(verdict(&previous, &rows(&[2, 3, 4]), 3), Verdict::Advances);
        assert_eq!(verdict(&previous, &rows(&[3, 4, 5]), 9), Verdict::Advances);
        // A source that sorts backwards, one that does not sort among equal times.
        for page in [&[1, 2][..], &[2], &[4, 3], &[3, 2, 4], &[1, 4]] {
            assert_eq!(code(verdict(&previous, &rows(page), 9)), "page_not_in_order", "{page:?}");
        }
    }
}
