//! The questions that are put to the source, in its dialect (SoQL).

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit};

/// The column that a window is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowOn {
    UpdatedAt,
    CreatedDate,
}

/// The last row that a poll has seen, from which it goes on.
///
/// `row_id` is a token for the next page of the same poll and nothing else: the source orders ids by a number that
/// their text hides, so it is never compared here and never outlives the poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub updated_at: Timestamp,
    pub row_id: String,
}

/// One page of a walk by the pair (`:updated_at`, `:id`).
///
/// The pair is the only walk that loses nothing: about 5,000 rows share one `:updated_at`, and `$offset` shifts while
/// the table moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub on: WindowOn,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub after: Option<Cursor>,
    pub limit: usize,
}

impl PageRequest {
    /// Returns the query parameters, without `$where` where nothing is asked.
    pub fn parameters(&self, columns: &[String]) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("$select", select(columns))];
        let conditions = self.conditions();
        if !conditions.is_empty() {
            parameters.push(("$where", conditions.join(" AND ")));
        }
        parameters.push(("$order", ":updated_at,:id".to_owned()));
        parameters.push(("$limit", self.limit.to_string()));
        parameters
    }

    fn conditions(&self) -> Vec<String> {
        let mut conditions = Vec::new();
        if let Some(cursor) = &self.after {
            let time = literal(&instant(cursor.updated_at));
            let id = literal(&cursor.row_id);
            conditions.push(format!(":updated_at >= {time} AND (:updated_at > {time} OR :id > {id})"));
        }
        let (column, written): (_, fn(Timestamp) -> String) = match self.on {
            WindowOn::UpdatedAt => (":updated_at", instant),
            WindowOn::CreatedDate => ("created_date", new_york),
        };
        // A cursor on the window's own column lies inside the window, so it stands for its beginning.
        if let Some(since) = self.since
            && !(self.after.is_some() && self.on == WindowOn::UpdatedAt)
        {
            conditions.push(format!("{column} >= {}", literal(&written(since))));
        }
        if let Some(until) = self.until {
            conditions.push(format!("{column} < {}", literal(&written(until))));
        }
        conditions
    }
}

/// Returns `:*,*`, so that a new column arrives by itself and a missing one is no error, or the named columns.
/// The system fields and the two columns without which no row can be stored are always asked for.
fn select(columns: &[String]) -> String {
    if columns.is_empty() {
        return ":*,*".to_owned();
    }
    let mut names = vec![":*"];
    for required in ["unique_key", "created_date"] {
        if !columns.iter().any(|column| column == required) {
            names.push(required);
        }
    }
    names.extend(columns.iter().map(String::as_str).filter(|column| *column != ":*"));
    names.join(",")
}

/// Quotes a text; a quote inside is doubled.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rounds up to the source's millisecond: for whole milliseconds `x`, `x >= t` and `x < t` then keep their meaning.
fn round_up(at: Timestamp) -> Timestamp {
    let floor = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
    if floor >= at { floor } else { floor.checked_add(1.millisecond()).unwrap_or(at) }
}

/// Writes a point in time as system fields are written: UTC, milliseconds, `Z`.
fn instant(at: Timestamp) -> String {
    format!("{:.3}", round_up(at))
}

/// Writes a point in time as the city's own columns are written: New York local time without offset.
fn new_york(at: Timestamp) -> String {
    let zone = TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC);
    let local = zone.to_datetime(round_up(at));
    format!("{:.3}", local.round(Unit::Millisecond).unwrap_or(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn request(on: WindowOn) -> PageRequest {
        PageRequest { on, since: None, until: None, after: None, limit: 10 }
    }

    fn filter(request: &PageRequest) -> Option<String> {
        let parameters = request.parameters(&[]);
        parameters.into_iter().find(|(name, _)| *name == "$where").map(|(_, value)| value)
    }

    #[test]
    fn walks_by_the_pair() {
        let after =
            Cursor { updated_at: at("2026-05-21T01:40:37.582Z"), row_id: "row-2km5_iap3-4ew6".into() };
        let page = PageRequest {
            since: Some(at("2026-01-01T00:00:00Z")),
            until: Some(at("2026-06-01T00:00:00Z")),
            after: Some(after),
            ..request(WindowOn::UpdatedAt)
        };
        assert_eq!(
            page.parameters(&[]),
            [
                ("$select", ":*,*".to_owned()),
                (
                    "$where",
                    ":updated_at >= '2026-05-21T01:40:37.582Z' AND (:updated_at > '2026-05-21T01:40:37.582Z' OR :id \
                     > 'row-2km5_iap3-4ew6') AND :updated_at < '2026-06-01T00:00:00.000Z'"
                        .to_owned()
                ),
                ("$order", ":updated_at,:id".to_owned()),
                ("$limit", "10".to_owned()),
            ]
        );
    }

    #[test]
    fn asks_for_everything_without_a_window() {
        assert_eq!(filter(&request(WindowOn::UpdatedAt)), None);
    }

    #[test]
    fn a_quote_in_an_id_cannot_leave_its_literal() {
        let after = Cursor { updated_at: at("2026-01-01T00:00:00Z"), row_id: "x' OR 'a'='a".into() };
        let asked = filter(&PageRequest { after: Some(after), ..request(WindowOn::UpdatedAt) }).unwrap();
        assert!(asked.ends_with(":id > 'x'' OR ''a''=''a')"), "{asked}");
    }

    #[test]
    fn creation_is_asked_for_in_new_york_time() {
        let page = PageRequest {
            since: Some(at("2026-01-15T05:00:00Z")),
            until: Some(at("2026-07-15T04:00:00Z")),
            after: Some(Cursor { updated_at: at("2026-02-01T01:36:00Z"), row_id: "row-1".into() }),
            ..request(WindowOn::CreatedDate)
        };
        let asked = filter(&page).unwrap();
        assert!(asked.starts_with(":updated_at >= '2026-02-01T01:36:00.000Z' AND ("), "{asked}");
        assert!(
            asked.ends_with(
                "AND created_date >= '2026-01-15T00:00:00.000' AND created_date < '2026-07-15T00:00:00.000'"
            ),
            "{asked}"
        );
    }

    #[test]
    fn bounds_below_the_millisecond_keep_their_meaning() {
        assert_eq!(instant(at("2026-01-01T00:00:00.0001Z")), "2026-01-01T00:00:00.001Z");
        assert_eq!(instant(at("1969-12-31T23:59:59.9991Z")), "1970-01-01T00:00:00.000Z");
        assert_eq!(instant(at("2026-01-01T00:00:00.5Z")), "2026-01-01T00:00:00.500Z");
    }

    #[test]
    fn named_columns_narrow_the_answer() {
        let columns = ["agency".to_owned(), "unique_key".to_owned()];
        assert_eq!(select(&columns), ":*,created_date,agency,unique_key");
    }
}
