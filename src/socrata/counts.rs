//! The source's own counts, by month of `created_date`: one question for the whole dataset.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::error::SocrataError;
use super::page::Page;
use super::query::{exactly, literal};
use crate::reconciliation::Month;

/// How many months an answer may have: more than the calendar had since there are requests.
pub(super) const MAX_MONTHS: usize = 10_000;

/// Asks for the number of rows and the greatest `:updated_at` of each month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonthsRequest {
    /// Only from this month on.
    pub since: Option<Month>,
    /// Only the months before this one.
    pub until: Option<Month>,
    /// Only rows whose `:updated_at` is not after this.
    pub settled_until: Option<Timestamp>,
}

/// The months that have rows, and what the source said beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub months: Vec<CountedMonth>,
    /// The source's clock when it answered; ours where it has none.
    pub answered_at: Timestamp,
    /// A replica answered that lags: rows may be missing.
    pub out_of_date: bool,
}

/// One month of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedMonth {
    pub month: Month,
    pub rows: i64,
    pub newest: Option<Timestamp>,
}

/// A row of the answer; what is null is left out, and numbers are texts.
#[derive(Deserialize)]
struct Line {
    month: Option<String>,
    requests: Value,
    newest: Option<String>,
}

impl MonthsRequest {
    /// Returns the query parameters.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let select = "date_trunc_ym(created_date) as month,count(*) as requests,max(:updated_at) as newest";
        let mut parameters = vec![("$select", select.to_owned())];
        let bound = |month: Option<Month>, comparison: &str| {
            let (first, _) = month?.days()?;
            Some(format!("created_date {comparison} '{first}T00:00:00.000'"))
        };
        let settled = self.settled_until.map(|at| format!(":updated_at <= {}", literal(&exactly(at))));
        let conditions: Vec<String> =
            [bound(self.since, ">="), bound(self.until, "<"), settled].into_iter().flatten().collect();
        if !conditions.is_empty() {
            parameters.push(("$where", conditions.join(" AND ")));
        }
        parameters.push(("$group", "month".to_owned()));
        parameters.push(("$order", "month".to_owned()));
        parameters.push(("$limit", MAX_MONTHS.to_string()));
        parameters
    }
}

impl Counted {
    pub(super) fn read(page: &Page) -> Result<Self, SocrataError> {
        if page.len() >= MAX_MONTHS {
            let detail = format!("it has {} months, and fewer than {MAX_MONTHS} are understood", page.len());
            return Err(SocrataError::Unexpected { detail });
        }
        let read = |row: bytes::Bytes| {
            CountedMonth::read(&row).ok_or_else(|| {
                let row = String::from_utf8_lossy(&row).chars().take(200).collect::<String>();
                SocrataError::Unexpected { detail: format!("no count of a month: {row}") }
            })
        };
        Ok(Self {
            months: page.rows().map(read).collect::<Result<_, _>>()?,
            answered_at: page.head.answered_at.unwrap_or_else(Timestamp::now),
            out_of_date: page.head.out_of_date,
        })
    }
}

impl CountedMonth {
    fn read(row: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(row).ok()?;
        let month = match &line.month {
            Some(month) => Month::from_word(month.get(..7)?)?,
            None => Month::Unknown,
        };
        let rows = match &line.requests {
            Value::String(text) => text.parse().ok()?,
            number => number.as_i64()?,
        };
        let newest = match &line.newest {
            Some(newest) => Some(newest.parse().ok()?),
            None => None,
        };
        Some(Self { month, rows, newest })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::socrata::PageHead;

    fn counted(body: &'static str) -> Result<Vec<CountedMonth>, SocrataError> {
        let page = Page::slice(Bytes::from_static(body.as_bytes()), PageHead::default()).unwrap();
        Counted::read(&page).map(|counted| counted.months)
    }

    #[test]
    fn months_are_asked_for_once_for_the_whole_dataset() {
        let parameters = MonthsRequest::default().parameters();
        assert_eq!(
            parameters.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["$select", "$group", "$order", "$limit"]
        );
        let bounded = MonthsRequest {
            since: Month::from_word("2026-01"),
            until: Month::from_word("2026-03"),
            settled_until: Some("2026-05-21T01:40:37.582Z".parse().unwrap()),
        };
        let asked = bounded.parameters().into_iter().find(|(name, _)| *name == "$where").unwrap().1;
        assert_eq!(
            asked,
            "created_date >= '2026-01-01T00:00:00.000' AND created_date < '2026-03-01T00:00:00.000' AND \
             :updated_at <= '2026-05-21T01:40:37.582Z'"
        );
    }

    #[test]
    fn counts_are_read_as_texts_and_as_numbers_and_rows_without_a_date_are_a_month_of_their_own() {
        let months = counted(
            r#"[{"month":"2026-04-01T00:00:00.000","requests":"12","newest":"2026-04-02T01:35:00.000Z"},
                {"requests":3}]"#,
        );
        let newest = "2026-04-02T01:35:00Z".parse().ok();
        assert_eq!(
            months.unwrap(),
            [
                CountedMonth { month: Month::from_word("2026-04").unwrap(), rows: 12, newest },
                CountedMonth { month: Month::Unknown, rows: 3, newest: None },
            ]
        );
    }

    #[test]
    fn what_is_no_count_is_an_error_that_quotes_it() {
        for wrong in [
            r#"[{"month":"may","requests":"1"}]"#,
            r#"[{"month":"2026-04-01T00:00:00.000","requests":"many"}]"#,
            r#"[{"month":"2026-04-01T00:00:00.000"}]"#,
            r#"[{"requests":"1","newest":"yesterday"}]"#,
            "[17]",
        ] {
            let error = counted(wrong).unwrap_err();
            assert!(matches!(&error, SocrataError::Unexpected { .. }) && !error.is_transient(), "{error}");
            assert!(error.to_string().contains(wrong.trim_matches(['[', ']'])), "{error}");
        }
    }
}
