//! Whether a page follows the one before it, as the walk by (`:updated_at`, `:id`) needs it.
//!
//! A walk ends at an empty page: a source may give fewer rows than it was asked for at any time. What comes
//! again is no news either: a short page that brings nothing but the last rows of the page before is the end
//! too, and so is a short one without a row to go on from. A full page that does not advance, one whose times
//! fall, and one with rows of the page before that cannot follow it end the poll with an error before
//! anything of them is published: the source does not sort as it is asked to, and to go on would pass over
//! rows.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use nyc311_domain::RawHead;

use crate::kafka::RawRow;
use crate::socrata::Cursor;

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

/// The page before.
#[derive(Default)]
pub(super) struct Previous {
    pub(super) rows: Arc<[RawRow]>,
    /// Which of them the walk goes on from; those after it cannot be gone on from and may come again.
    pub(super) last: Option<usize>,
}

/// Watches the rows of a page in their order.
pub(super) struct Succession<'a> {
    after: Option<&'a Cursor>,
    /// For each row, whether it has a time.
    timed: Vec<bool>,
    greatest: Option<(Timestamp, String)>,
    /// The last row that can be gone on from, and the last one that can only because the page has no better:
    /// it lacks its `unique_key`.
    last: Option<Place>,
    last_without_key: Option<Place>,
    /// A row has the time of the row that the page follows, or an earlier one.
    touches_cursor: bool,
    /// The first two rows that stand in the wrong order, in words.
    disorder: Option<String>,
}

/// A row that can be gone on from.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    /// It is another one than the page follows.
    advances: bool,
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
            timed: Vec::new(),
            greatest: after.map(before),
            last: None,
            last_without_key: None,
            touches_cursor: false,
            disorder: None,
        }
    }

    /// Notes the next row. Rows with equal times may stand in any order, for the source alone can compare
    /// ids.
    pub(super) fn note(&mut self, head: &RawHead<'_>) {
        let is_cursor = self.after.is_some_and(|after| {
            head.updated_at == Some(after.updated_at) && head.row_id.as_deref() == Some(&after.row_id)
        });
        self.timed.push(head.updated_at.is_some());
        let Some(updated_at) = head.updated_at else { return };
        self.touches_cursor |= self.after.is_some_and(|after| updated_at <= after.updated_at);
        if head.row_id.is_some() {
            let place = Some(Place { index: self.timed.len() - 1, advances: !is_cursor });
            if head.unique_key.is_some() {
                self.last = place;
            } else {
                self.last_without_key = place;
            }
        }
        let (row, key) = (self.timed.len(), head.unique_key.as_deref().unwrap_or("unknown"));
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

    fn place(&self) -> Option<Place> {
        self.last.or(self.last_without_key)
    }

    /// Returns which row the walk goes on from.
    pub(super) fn last(&self) -> Option<usize> {
        self.place().map(|place| place.index)
    }

    /// Judges the page, of which every row has been noted. The first line that fits decides.
    ///
    /// | the page's rows | a row to go on from | full | verdict |
    /// |---|---|---|---|
    /// | none | | | end |
    /// | the last of the page before, or such without a time, and no other | | no | end |
    /// | the last of the page before, or such without a time, and no other | | yes | does not advance |
    /// | one of the page before, where it cannot stand | | | not in order |
    /// | one with an earlier time than a row before it, or the page before | | | not in order |
    /// | others | another than the page follows | | advances |
    /// | others | none, or the one that the page follows | no | last page |
    /// | others | none, or the one that the page follows | yes | does not advance |
    pub(super) fn verdict(self, rows: &[RawRow], previous: &Previous, is_full: bool) -> Verdict {
        if rows.is_empty() {
            return Verdict::End;
        }
        let may_come_again = self.touches_cursor || !self.timed.contains(&true);
        let again = if may_come_again { self.comes_again(rows, previous) } else { Again::Nothing };
        let wrong = |code, detail: String| Verdict::Wrong { code, detail };
        let after = self.after.map_or("the beginning".to_owned(), |after| {
            format!(":updated_at {}, :id {}", after.updated_at, after.row_id)
        });
        match (again, is_full) {
            (Again::All, false) => {
                tracing::info!("the source repeats its last rows, there are no others");
                return Verdict::End;
            }
            (Again::All, true) => {
                let detail = format!("a full page after {after} brings only rows of the page before");
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
        let stuck = match self.place() {
            Some(Place { advances: true, .. }) => return Verdict::Advances,
            _ if !is_full => return Verdict::LastPage,
            Some(_) => "ends where it began",
            None => "has no row with :updated_at and :id to go on from",
        };
        wrong("page_does_not_advance", format!("a full page after {after} {stuck}"))
    }

    /// Finds the rows that were on the page before, byte for byte.
    fn comes_again(&self, rows: &[RawRow], previous: &Previous) -> Again {
        let sum = |row: &RawRow| crc32fast::hash(&row.value);
        let known: HashMap<u32, usize> =
            previous.rows.iter().enumerate().map(|(index, row)| (sum(row), index)).collect();
        let (mut all, mut is_new, mut latest) = (true, false, None);
        for (index, (row, timed)) in rows.iter().zip(&self.timed).enumerate() {
            let found =
                known.get(&sum(row)).copied().filter(|found| previous.rows[*found].value == row.value);
            match found {
                None => {
                    all = false;
                    is_new |= timed;
                }
                // Nothing could be asked for that is after it.
                Some(found) if !timed || previous.last.is_none_or(|last| found > last) => {}
                // A source that compares less finely than it sorts repeats the last rows of a page, in their
                // order.
                Some(found) if !is_new && latest <= Some(found) => latest = Some(found),
                Some(_) => return Again::OutOfPlace(index + 1),
            }
        }
        match latest {
            // The row that was asked on from is not the last of them, but would be in a source that sorts.
            Some(_) if latest != previous.last => Again::OutOfPlace(1),
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
    use nyc311_domain::peek;

    use super::*;

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
        let mut before = Succession::after(None);
        previous.iter().for_each(|row| before.note(&peek(&row.value)));
        let last = before.last();
        let after = last.map(|last| {
            let row = &previous[last].value;
            let head = peek(row);
            Cursor::of_row(head.updated_at.unwrap(), head.row_id.as_deref().unwrap(), row)
        });
        let previous = &Previous { rows: previous.into(), last };
        let mut succession = Succession::after(after.as_ref());
        page.iter().for_each(|row| succession.note(&peek(&row.value)));
        succession.verdict(page, previous, page.len() >= limit)
    }

    fn code(verdict: Verdict) -> &'static str {
        let Verdict::Wrong { code, .. } = verdict else { panic!("{verdict:?}") };
        code
    }

    #[test]
    fn a_page_without_any_key_is_gone_on_from_by_its_times_and_ids() {
        let rows = |texts: &[&str]| -> Vec<RawRow> {
            let row = |text: &&str| RawRow { value: text.to_string().into(), borough: None, partition: 0 };
            texts.iter().map(row).collect()
        };
        for (texts, last) in [
            (vec![r#"{":updated_at":"2026-05-01T01:36:00Z",":id":"a"}"#], Some(0)),
            (vec![r#"{":updated_at":"2026-05-01T01:36:00Z",":id":"a","unique_key":null}"#], Some(0)),
            (
                vec![
                    r#"{":updated_at":"2026-05-01T01:36:00Z",":id":"a","unique_key":"1"}"#,
                    r#"{":updated_at":"2026-05-01T01:36:00Z",":id":"b"}"#,
                ],
                Some(0),
            ),
            (vec![r#"{":updated_at":"2026-05-01T01:36:00Z","unique_key":"1"}"#], None),
        ] {
            let rows = rows(&texts);
            let mut succession = Succession::after(None);
            rows.iter().for_each(|row| succession.note(&peek(&row.value)));
            assert_eq!(succession.last(), last, "{texts:?}");
            let verdict = succession.verdict(&rows, &Previous::default(), true);
            assert_eq!(verdict == Verdict::Advances, last.is_some(), "{verdict:?}");
        }
    }

    #[test]
    fn each_line_of_the_table_has_its_verdict() {
        let timeless = row(8, "unreadable");
        // It can be gone on from, being the only one with a time and an id, but it is where the page before
        // ended: a source that tells times apart by what ours cannot see gives it another text.
        let cursor_again = RawRow {
            value: format!(r#"{{":id":"row-1",":updated_at":"{ONE}","changed":true}}"#).into(),
            borough: None,
            partition: 0,
        };
        let (stuck, disordered) = (|| Err("page_does_not_advance"), || Err("page_not_in_order"));
        for (line, previous, page, limit, expected) in [
            (1, rows(&[1]), vec![], 2, Ok(Verdict::End)),
            (2, rows(&[1, 2]), rows(&[2]), 2, Ok(Verdict::End)),
            (3, rows(&[1, 2]), rows(&[2]), 1, stuck()),
            (4, rows(&[1, 2]), rows(&[1, 3]), 9, disordered()),
            (5, rows(&[1]), vec![row(2, TWO), row(3, ONE)], 9, disordered()),
            (5, vec![row(1, TWO)], vec![row(2, ONE)], 9, disordered()),
            (6, rows(&[1]), vec![row(2, TWO)], 9, Ok(Verdict::Advances)),
            (6, rows(&[1]), vec![row(2, TWO)], 1, Ok(Verdict::Advances)),
            (6, rows(&[1]), rows(&[1, 2]), 2, Ok(Verdict::Advances)),
            (7, rows(&[1]), vec![timeless.clone()], 2, Ok(Verdict::LastPage)),
            (7, rows(&[1]), vec![cursor_again.clone()], 2, Ok(Verdict::LastPage)),
            (8, rows(&[1]), vec![timeless], 1, stuck()),
            (8, rows(&[1]), vec![cursor_again], 1, stuck()),
        ] {
            let judged = match verdict(&previous, &page, limit) {
                Verdict::Wrong { code, .. } => Err(code),
                verdict => Ok(verdict),
            };
            assert_eq!(judged, expected, "line {line}, {limit} rows were asked for");
        }
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
    fn a_row_with_a_time_and_without_a_key_may_come_again_after_the_row_that_is_gone_on_from() {
        let keyless = RawRow {
            value: format!(r#"{{":id":"row-9",":updated_at":"{ONE}"}}"#).into(),
            borough: None,
            partition: 0,
        };
        let previous = [row(1, ONE), keyless.clone()];
        assert_eq!(verdict(&previous, &[keyless.clone(), row(2, ONE)], 2), Verdict::Advances);
        assert_eq!(verdict(&previous, std::slice::from_ref(&keyless), 2), Verdict::End);
        assert_eq!(code(verdict(&previous, std::slice::from_ref(&keyless), 1)), "page_does_not_advance");
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
