//! Where the walk of a run stands, and how far its cursors may go: decisions over facts, without a clock and
//! I/O.
//!
//! A row is lost where a cursor passes it unseen, so each decision here has its cases in a table, and a test
//! for each row of it. `poll_run` has the argument; when a walk ends is decided in `succession`.

use std::time::Duration;

use jiff::Timestamp;

use super::succession::Previous;
use crate::poll::Window;
use crate::socrata::{Cursor, PageRequest};

/// How far it is certain that every row was visible which the walk has passed, by `:updated_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certain {
    Everything,
    Until(Timestamp),
    Nothing,
}

impl Certain {
    /// Returns what a run may trust of the runs of its poll before it, given the newest row that they have
    /// seen.
    ///
    /// | they have seen | `published` | certain |
    /// |---|---|---|
    /// | nothing | any | everything |
    /// | rows | at the newest of them, or after it | everything |
    /// | rows | before the newest of them: they could not vouch for it | until `published` |
    /// | rows | unset: they could vouch for none | nothing |
    pub(super) fn after_restart(newest_seen: Option<Timestamp>, published: Option<Timestamp>) -> Self {
        match (newest_seen, published) {
            (None, _) => Self::Everything,
            (Some(newest), Some(published)) if newest <= published => Self::Everything,
            (Some(_), Some(published)) => Self::Until(published),
            (Some(_), None) => Self::Nothing,
        }
    }

    /// Returns what is certain behind a page. What is certain never grows: no later page of the walk brings
    /// the rows that were not visible when this one was answered.
    ///
    /// | before | newest row so far | after |
    /// |---|---|---|
    /// | any | none, or one not after `visible_until` | as before |
    /// | everything | one after it | until `visible_until` |
    /// | until a time | one after it | until the earlier of the two |
    /// | nothing | one after it | nothing |
    /// | any | one, and no time was visible for certain | nothing |
    fn behind(self, newest: Option<Timestamp>, visible_until: Option<Timestamp>) -> Self {
        let Some(newest) = newest else { return self };
        let Some(visible_until) = visible_until else { return Self::Nothing };
        if newest <= visible_until {
            return self;
        }
        match self {
            Self::Everything => Self::Until(visible_until),
            Self::Until(until) => Self::Until(until.min(visible_until)),
            Self::Nothing => Self::Nothing,
        }
    }

    /// Returns how far `published` may go.
    ///
    /// | certain | `published` |
    /// |---|---|
    /// | everything | the newest row |
    /// | until a time | the newest row, but not past that time |
    /// | nothing | stays where it is, or unset |
    fn reach(self, newest: Option<Timestamp>) -> Option<Timestamp> {
        match self {
            Self::Everything => newest,
            Self::Until(until) => newest.map(|newest| newest.min(until)),
            Self::Nothing => None,
        }
    }
}

/// Returns from when on a poll without a cursor of its own reads.
///
/// | window | `published` | `poll.initial_since` | since |
/// |---|---|---|---|
/// | open | set | any | `published` |
/// | open | unset | set | `poll.initial_since` |
/// | open | unset | unset | the first row |
/// | of a backfill | any | any | the window's own `since`, or the first row |
pub(super) fn begins_at(
    window: Window,
    published: Option<Timestamp>,
    initial_since: Option<Timestamp>,
) -> Option<Timestamp> {
    if window.is_open() { published.or(initial_since) } else { window.since }
}

/// What a page says that moves cursors.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageFacts<'a> {
    /// The last row of it that can be gone on from.
    pub(super) last: Option<&'a Cursor>,
    pub(super) newest_updated_at: Option<Timestamp>,
    pub(super) answered_at: Timestamp,
    /// A replica that lags has answered.
    pub(super) out_of_date: bool,
}

/// Where the cursors go with a page; none leaves one where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moves {
    /// The poll's own.
    pub(super) cursor: Option<(Timestamp, String)>,
    /// The durable one.
    pub(super) published: Option<Timestamp>,
}

/// Where a run stands; all of it can be found again from the database.
pub(super) struct Walk {
    pub(super) request: PageRequest,
    /// How many pages are published.
    pub(super) page: u64,
    /// The page before, by which one that repeats it is known.
    pub(super) previous: Previous,
    /// The greatest `:updated_at` seen so far in this run.
    newest: Option<Timestamp>,
    certain: Certain,
    /// The walk goes on from the durable cursor, and moves it.
    is_open: bool,
    /// A lagging replica has answered: nothing may move behind that page.
    frozen: bool,
    /// The columns that the source named last, as it wrote them.
    columns: Option<String>,
}

impl Walk {
    /// Begins where the runs before have left off, behind `page` pages.
    pub(super) fn new(request: PageRequest, page: u64, is_open: bool, certain: Certain) -> Self {
        Self {
            request,
            page,
            previous: Previous::default(),
            newest: None,
            certain,
            is_open,
            frozen: false,
            columns: None,
        }
    }

    /// Returns whether a replica that lags has answered.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Takes a page that Kafka has, and returns where the cursors go with it. `lag` is how long a row may
    /// stay invisible after the time that it is stamped with.
    ///
    /// | a replica that lags has answered | window | the poll's cursor | `published` |
    /// |---|---|---|---|
    /// | never | open | behind the page | as far as is certain |
    /// | never | of a backfill | behind the page | stays |
    /// | now, or for a page before | any | stays | stays |
    ///
    /// Behind a page without a row to go on from, or with an id that PostgreSQL cannot hold, the poll's
    /// cursor stays too.
    pub(super) fn take(&mut self, page: &PageFacts<'_>, lag: Duration) -> Moves {
        self.page += 1;
        self.frozen |= page.out_of_date;
        self.newest = self.newest.max(page.newest_updated_at);
        self.certain = self.certain.behind(self.newest, page.answered_at.checked_sub(lag).ok());
        if self.frozen {
            return Moves { cursor: None, published: None };
        }
        let published = if self.is_open { self.certain.reach(self.newest) } else { None };
        Moves { cursor: page.last.and_then(durable), published }
    }

    /// Hears which columns the source names with a page; returns them where they are news.
    ///
    /// | a replica that lags has answered | the columns | returned | from then on |
    /// |---|---|---|---|
    /// | yes | any | none: it says nothing about what there is now | as before |
    /// | no | those of the page before, or none | none | these |
    /// | no | others | these | these |
    pub(super) fn hear_columns(&mut self, named: Option<&str>, out_of_date: bool) -> Option<String> {
        if out_of_date {
            return None;
        }
        let news = named.filter(|named| self.columns.as_deref() != Some(named)).map(str::to_owned);
        self.columns = named.map(str::to_owned);
        news
    }
}

/// Returns what of a cursor outlives the run: PostgreSQL takes no text with NUL, so the poll goes on from an
/// earlier page after a restart.
fn durable(Cursor { updated_at, row_id, .. }: &Cursor) -> Option<(Timestamp, String)> {
    (!row_id.contains('\0')).then(|| (*updated_at, row_id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::WindowOn;

    const LAG: Duration = Duration::from_secs(600);

    /// The `minute`th minute of a day.
    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_778_457_600 + minute * 60).unwrap()
    }

    fn walk(is_open: bool, certain: Certain) -> Walk {
        let request =
            PageRequest { on: WindowOn::UpdatedAt, since: None, until: None, after: None, limit: 10 };
        Walk::new(request, 0, is_open, certain)
    }

    fn cursor(minute: i64, row_id: &str) -> Cursor {
        Cursor { updated_at: at(minute), stated: None, row_id: row_id.to_owned() }
    }

    /// A page that ends with a row of the minute `newest` and was answered in the minute `answered`.
    fn page(last: &Cursor, answered: i64) -> PageFacts<'_> {
        PageFacts {
            last: Some(last),
            newest_updated_at: Some(last.updated_at),
            answered_at: at(answered),
            out_of_date: false,
        }
    }

    #[test]
    fn a_restart_trusts_what_the_runs_before_could_vouch_for() {
        use Certain::{Everything, Nothing, Until};
        for (newest_seen, published, certain) in [
            (None, None, Everything),
            (None, Some(at(5)), Everything),
            (Some(at(5)), Some(at(5)), Everything),
            (Some(at(4)), Some(at(5)), Everything),
            (Some(at(6)), Some(at(5)), Until(at(5))),
            (Some(at(6)), None, Nothing),
        ] {
            assert_eq!(
                Certain::after_restart(newest_seen, published),
                certain,
                "{newest_seen:?} {published:?}"
            );
        }
    }

    #[test]
    fn what_is_certain_never_grows() {
        use Certain::{Everything, Nothing, Until};
        for before in [Everything, Until(at(3)), Nothing] {
            assert_eq!(before.behind(None, Some(at(5))), before);
            assert_eq!(before.behind(None, None), before);
            assert_eq!(before.behind(Some(at(5)), Some(at(5))), before);
            assert_eq!(before.behind(Some(at(1)), None), Nothing);
        }
        assert_eq!(Everything.behind(Some(at(6)), Some(at(5))), Until(at(5)));
        assert_eq!(Until(at(3)).behind(Some(at(6)), Some(at(5))), Until(at(3)));
        assert_eq!(Until(at(7)).behind(Some(at(6)), Some(at(5))), Until(at(5)));
        assert_eq!(Nothing.behind(Some(at(6)), Some(at(5))), Nothing);
    }

    #[test]
    fn published_goes_to_the_newest_row_and_never_past_what_is_certain() {
        use Certain::{Everything, Nothing, Until};
        assert_eq!(Everything.reach(Some(at(6))), Some(at(6)));
        assert_eq!(Everything.reach(None), None);
        assert_eq!(Until(at(5)).reach(Some(at(6))), Some(at(5)));
        assert_eq!(Until(at(5)).reach(Some(at(4))), Some(at(4)));
        assert_eq!(Until(at(5)).reach(None), None);
        assert_eq!(Nothing.reach(Some(at(6))), None);
    }

    #[test]
    fn an_open_poll_begins_at_published_and_a_backfill_where_it_was_told_to() {
        let backfill =
            |since| Window { on: WindowOn::CreatedDate, since, until: Some(Timestamp::UNIX_EPOCH) };
        for (window, published, initial, since) in [
            (Window::OPEN, Some(at(5)), Some(at(1)), Some(at(5))),
            (Window::OPEN, Some(at(5)), None, Some(at(5))),
            (Window::OPEN, None, Some(at(1)), Some(at(1))),
            (Window::OPEN, None, None, None),
            (backfill(Some(at(2))), Some(at(5)), Some(at(1)), Some(at(2))),
            (backfill(None), Some(at(5)), Some(at(1)), None),
        ] {
            assert_eq!(begins_at(window, published, initial), since, "{window:?}");
        }
    }

    #[test]
    fn both_cursors_follow_a_page_of_an_open_walk() {
        let mut walk = walk(true, Certain::Everything);
        let moves = walk.take(&page(&cursor(5, "a"), 60), LAG);
        assert_eq!(moves, Moves { cursor: Some((at(5), "a".to_owned())), published: Some(at(5)) });
        assert_eq!(walk.page, 1);
    }

    #[test]
    fn published_stays_before_rows_that_may_not_be_visible_yet_also_on_later_pages() {
        let mut walk = walk(true, Certain::Everything);
        assert_eq!(walk.take(&page(&cursor(55, "a"), 60), LAG).published, Some(at(50)));
        // Hours later all of it would be visible, but the rows between were passed already.
        let moves = walk.take(&page(&cursor(58, "b"), 600), LAG);
        assert_eq!(moves, Moves { cursor: Some((at(58), "b".to_owned())), published: Some(at(50)) });
    }

    #[test]
    fn a_resumed_walk_goes_no_further_than_the_runs_before_could_vouch_for() {
        let mut limited = walk(true, Certain::Until(at(50)));
        assert_eq!(limited.take(&page(&cursor(58, "b"), 600), LAG).published, Some(at(50)));
        let mut distrustful = walk(true, Certain::Nothing);
        let moves = distrustful.take(&page(&cursor(58, "b"), 600), LAG);
        assert_eq!(moves, Moves { cursor: Some((at(58), "b".to_owned())), published: None });
    }

    #[test]
    fn a_backfill_moves_its_own_cursor_alone() {
        let moves = walk(false, Certain::Everything).take(&page(&cursor(5, "a"), 60), LAG);
        assert_eq!(moves, Moves { cursor: Some((at(5), "a".to_owned())), published: None });
    }

    #[test]
    fn no_cursor_moves_behind_a_page_of_a_replica_that_lags() {
        for is_open in [true, false] {
            let mut walk = walk(is_open, Certain::Everything);
            let last = cursor(5, "a");
            let nothing = Moves { cursor: None, published: None };
            assert_eq!(walk.take(&PageFacts { out_of_date: true, ..page(&last, 60) }, LAG), nothing);
            assert!(walk.is_frozen());
            assert_eq!(walk.take(&page(&cursor(6, "b"), 60), LAG), nothing);
        }
    }

    #[test]
    fn the_polls_cursor_stays_where_it_cannot_be_kept() {
        let mut walk = walk(true, Certain::Everything);
        let unkeepable = cursor(5, "a\0");
        let moves = walk.take(&page(&unkeepable, 60), LAG);
        assert_eq!(moves, Moves { cursor: None, published: Some(at(5)) });
        let moves = walk.take(&PageFacts { last: None, ..page(&unkeepable, 60) }, LAG);
        assert_eq!(moves, Moves { cursor: None, published: Some(at(5)) });
    }

    #[test]
    fn columns_are_news_once_and_never_from_a_replica_that_lags() {
        let mut walk = walk(true, Certain::Everything);
        assert_eq!(walk.hear_columns(Some("a"), true), None);
        assert_eq!(walk.hear_columns(Some("a"), false).as_deref(), Some("a"));
        assert_eq!(walk.hear_columns(Some("a"), false), None);
        assert_eq!(walk.hear_columns(Some("b"), false).as_deref(), Some("b"));
        assert_eq!(walk.hear_columns(None, false), None);
        assert_eq!(walk.hear_columns(Some("b"), false).as_deref(), Some("b"));
    }
}
