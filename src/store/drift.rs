//! Notices when the source says something in new words: a column, a status, an agency, a complaint type.
//!
//! The words of rows are noted in the transaction that writes the rows, the columns that the source names in
//! the one that records the page. What is noted is a function of the versions seen, but for our clocks
//! (promise 6), as long as the source speaks: one that makes words up without end is noted in part only,
//! since what a batch says is held in memory and in one statement (promise 10). A store remembers what is
//! noted already, so that a batch without news costs no statement.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use nyc311_domain::{QualityFlags, ServiceRequest, TermKind};
use parking_lot::Mutex;
use tokio_postgres::{Row, Transaction};

use super::{Store, StoreError};
use crate::telemetry::events;
use crate::telemetry::labels::DriftChange;

/// A word is noted by its beginning: it has to fit the key of a table, and no word of the city's is longer.
const MAX_CHARS: usize = 200;
/// Words of one batch; more are passed over. All of the city's history has fewer than a thousand.
const MAX_IN_BATCH: usize = 5_000;
/// A stream of ever new words must not fill the memory: beyond this everything is forgotten, and noted once
/// more.
const MAX_REMEMBERED: usize = 20_000;
/// Words of one batch that the log names; the rest is in the table.
const MAX_TOLD: usize = 20;

/// Words by kind, each with the earliest version that has it; none where its versions have no time.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    words: HashMap<TermKind, HashMap<String, Option<Timestamp>>>,
    /// All words of all kinds.
    count: usize,
}

/// One noted word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub kind: TermKind,
    pub value: String,
    pub known: bool,
    pub first_source_updated_at: Option<Timestamp>,
    pub first_seen_at: Timestamp,
    pub vanished_at: Option<Timestamp>,
}

/// What a store knows to be noted.
pub(super) type Remembered = Arc<Mutex<Terms>>;

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    one.is_some_and(|one| other.is_none_or(|other| one < other))
}

fn beginning(word: &str) -> &str {
    word.char_indices().nth(MAX_CHARS).map_or(word, |(end, _)| word.get(..end).unwrap_or(word))
}

impl Terms {
    /// Adds the words of a request.
    pub(super) fn add(&mut self, request: &ServiceRequest<'_>) {
        let dated = !request.quality_flags.contains(QualityFlags::SOURCE_TIME_MISSING);
        let at = dated.then_some(request.source_updated_at);
        for (kind, word) in request.terms() {
            let word = beginning(&word);
            if self.count < MAX_IN_BATCH || self.has(kind, word) {
                self.note(kind, word, at);
            }
        }
    }

    fn has(&self, kind: TermKind, word: &str) -> bool {
        self.words.get(&kind).is_some_and(|words| words.contains_key(word))
    }

    fn note(&mut self, kind: TermKind, word: &str, at: Option<Timestamp>) {
        let words = self.words.entry(kind).or_default();
        match words.get_mut(word) {
            Some(first) if earlier(at, *first) => *first = at,
            Some(_) => {}
            None => {
                words.insert(word.to_owned(), at);
                self.count += 1;
            }
        }
    }

    /// Returns what is not in `remembered`, or there with a later version only, in the order of the table's
    /// key.
    fn news(&self, remembered: &Self) -> Vec<(TermKind, &str, Option<Timestamp>)> {
        let is_news = |kind: &TermKind, word: &str, at| {
            let noted = remembered.words.get(kind).and_then(|words| words.get(word));
            noted.is_none_or(|noted| earlier(at, *noted))
        };
        let mut news: Vec<_> = self
            .words
            .iter()
            .flat_map(|(kind, words)| words.iter().map(move |(word, at)| (*kind, word.as_str(), *at)))
            .filter(|(kind, word, at)| is_news(kind, word, *at))
            .collect();
        news.sort_unstable_by(|a, b| (a.0.as_str(), a.1).cmp(&(b.0.as_str(), b.1)));
        news
    }
}

impl Store {
    /// Notes the words of a batch; returns those that nobody had noted before, to be told of after the
    /// commit.
    pub(super) async fn note_terms(
        &self,
        transaction: &Transaction<'_>,
        terms: &Terms,
    ) -> Result<Vec<Term>, StoreError> {
        let (mut kinds, mut values, mut known, mut times) = (vec![], vec![], vec![], vec![]);
        for (kind, word, at) in terms.news(&self.remembered.lock()) {
            kinds.push(kind.as_str());
            values.push(word.to_owned());
            known.push(kind.knows(word));
            times.push(at);
        }
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let rows = transaction
            .query(
                "insert into nyc311.source_term as t (kind, value, known, first_source_updated_at)
                 select kind, value, known, at
                 from unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[])
                     as n (kind, value, known, at)
                 order by kind collate \"C\", value collate \"C\"
                 on conflict (kind, value) do update
                 set first_source_updated_at = excluded.first_source_updated_at
                 where excluded.first_source_updated_at < t.first_source_updated_at
                    or t.first_source_updated_at is null and excluded.first_source_updated_at is not null
                 returning kind, value, known, first_source_updated_at, first_seen_at, vanished_at,
                           -- a row that was inserted, not updated, has no deleter
                           t.xmax = 0 as is_new",
                &[&kinds, &values, &known, &times],
            )
            .await?;
        rows.iter().filter(|row| row.get("is_new")).map(Term::read).collect()
    }

    /// Remembers what a committed batch has noted, and tells of what is new to the rules.
    pub(super) fn terms_noted(&self, terms: &Terms, new: &[Term]) {
        let mut remembered = self.remembered.lock();
        if remembered.count > MAX_REMEMBERED {
            *remembered = Terms::default();
        }
        for (kind, words) in &terms.words {
            for (word, at) in words {
                remembered.note(*kind, word, *at);
            }
        }
        drop(remembered);
        tell_all(new.iter().filter(|term| !term.known).map(|term| (term, DriftChange::Appeared)));
    }

    /// Lists the noted words, the newest first: what is worth a look, or all.
    pub async fn terms(&self, all: bool, limit: i64) -> Result<Vec<Term>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select kind, value, known, first_source_updated_at, first_seen_at, vanished_at
                     from nyc311.source_term
                     where $1 or not known or vanished_at is not null
                     order by greatest(first_seen_at, vanished_at) desc, kind, value limit $2",
                    &[&all, &limit],
                )
                .await?;
            rows.iter().map(Term::read).collect()
        })
        .await
    }
}

/// Notes the columns that the source names, and, where it was asked for all of them, which are gone; returns
/// what to tell of after the commit.
pub(super) async fn note_columns(
    transaction: &Transaction<'_>,
    columns: &NamedColumns,
) -> Result<Vec<(Term, DriftChange)>, StoreError> {
    let mut names: Vec<String> = columns.names.iter().map(|name| beginning(name).replace('\0', "")).collect();
    names.sort_unstable();
    names.dedup();
    let known: Vec<bool> = names.iter().map(|name| TermKind::Column.knows(name)).collect();
    let appeared = transaction
        .query(
            "insert into nyc311.source_term as t (kind, value, known)
             select 'column', value, known
             from unnest($1::text[], $2::boolean[]) as n (value, known)
             order by value collate \"C\"
             on conflict (kind, value) do update set vanished_at = null where t.vanished_at is not null
             returning kind, value, known, first_source_updated_at, first_seen_at, vanished_at",
            &[&names, &known],
        )
        .await?;
    let mut changes = Vec::new();
    for row in &appeared {
        let term = Term::read(row)?;
        if !term.known {
            changes.push((term, DriftChange::Appeared));
        }
    }
    if columns.complete {
        let vanished = transaction
            .query(
                "update nyc311.source_term set vanished_at = now()
                 where kind = 'column' and vanished_at is null and value <> all ($1)
                   -- system fields and computed regions are the portal's, which need not name them
                   and value not like ':%'
                 returning kind, value, known, first_source_updated_at, first_seen_at, vanished_at",
                &[&names],
            )
            .await?;
        for row in &vanished {
            changes.push((Term::read(row)?, DriftChange::Vanished));
        }
    }
    Ok(changes)
}

/// Tells of the changes of one batch or page.
pub(super) fn tell_all<'a>(changes: impl Iterator<Item = (&'a Term, DriftChange)>) {
    let mut untold: usize = 0;
    for (index, (term, change)) in changes.enumerate() {
        let in_log = index < MAX_TOLD;
        events::source_changed(term.kind, &term.value, change, in_log);
        untold += usize::from(!in_log);
    }
    if untold > 0 {
        events::source_changed_more(untold);
    }
}

fn kind_named(word: &str) -> Option<TermKind> {
    TermKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

/// Tells whether the rules know a noted word.
pub(super) fn knows(kind: &str, value: &str) -> bool {
    kind_named(kind).is_some_and(|kind| kind.knows(value))
}

/// Brings up to date which of the noted words the rules know: they may have learnt some.
pub(super) async fn judge_terms(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let rows = transaction.query("select kind, value, known from nyc311.source_term", &[]).await?;
    let (mut kinds, mut values): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for row in &rows {
        let (kind, value, known): (&str, &str, bool) = (row.get(0), row.get(1), row.get(2));
        if knows(kind, value) != known {
            kinds.push(kind);
            values.push(value);
        }
    }
    if !kinds.is_empty() {
        transaction
            .execute(
                "update nyc311.source_term t set known = not t.known
                 from unnest($1::text[], $2::text[]) as n (kind, value)
                 where t.kind = n.kind and t.value = n.value",
                &[&kinds, &values],
            )
            .await?;
    }
    Ok(())
}

/// The columns that the source names in an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedColumns {
    pub names: Vec<String>,
    /// The source was asked for all that it has.
    pub complete: bool,
}

impl Term {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let unknown = || StoreError::other("source_term.kind holds an unknown word");
        Ok(Self {
            kind: kind_named(row.get("kind")).ok_or_else(unknown)?,
            value: row.get("value"),
            known: row.get("known"),
            first_source_updated_at: row.get("first_source_updated_at"),
            first_seen_at: row.get("first_seen_at"),
            vanished_at: row.get("vanished_at"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_or_earlier_is_news() {
        let at = |day: i64| Some(Timestamp::from_second(day * 86_400).unwrap());
        let mut noted = Terms::default();
        noted.note(TermKind::Agency, "NYPD", at(5));
        noted.note(TermKind::Status, "Open", None);
        let mut terms = Terms::default();
        terms.note(TermKind::Agency, "NYPD", at(5));
        terms.note(TermKind::Status, "Open", None);
        assert_eq!(terms.news(&noted), []);
        terms.note(TermKind::Agency, "NYPD", at(4));
        terms.note(TermKind::Agency, "NYPD", at(6));
        terms.note(TermKind::Status, "Open", at(7));
        terms.note(TermKind::Column, "mood", at(1));
        let expected = [
            (TermKind::Agency, "NYPD", at(4)),
            (TermKind::Column, "mood", at(1)),
            (TermKind::Status, "Open", at(7)),
        ];
        assert_eq!(terms.news(&noted), expected);
    }

    #[test]
    fn a_batch_that_makes_words_up_is_noted_in_part() {
        let noisy = |from: usize| {
            let members: Vec<String> = (from..from + 4_000).map(|word| format!("\"w{word}\":1")).collect();
            format!(
                "{{\"unique_key\":\"1\",\"created_date\":\"2026-04-12T01:18:41.000\",{}}}",
                members.join(",")
            )
        };
        let mut terms = Terms::default();
        for row in [noisy(0), noisy(4_000), noisy(0)] {
            terms.add(&nyc311_domain::enrich(row.as_bytes()).unwrap());
        }
        assert_eq!(terms.count, MAX_IN_BATCH);
        assert_eq!(terms.news(&Terms::default()).len(), MAX_IN_BATCH);
        assert_eq!(terms.news(&terms), []);
    }

    #[test]
    fn long_words_are_noted_by_their_beginning() {
        assert_eq!(beginning(&"é".repeat(300)), "é".repeat(MAX_CHARS));
        assert_eq!(beginning("short"), "short");
    }
}
