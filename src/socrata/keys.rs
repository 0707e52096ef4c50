//! Keys of the source and nothing else of its rows: a month of them page by page, or those of a list that
//! exist.

use std::collections::BTreeSet;

use jiff::Timestamp;
use nyc311_domain::peek;

use super::page::Page;
use super::query::literal;
use super::row::salvaged;
use crate::reconciliation::Month;

/// Asks for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysRequest {
    pub which: WhichKeys,
    pub limit: usize,
}

/// Which keys are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichKeys {
    /// Those of a month, in the order of the rows' ids, behind one of them. A row keeps its id as long as it
    /// is there, and one that comes during the walk comes behind all others.
    OfMonth { month: Month, after: Option<String> },
    /// Those of a list.
    Listed(Vec<i64>),
}

/// The keys of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub rows: Vec<(i64, Option<Timestamp>)>,
    /// The `:id` of the last row that has one.
    pub last_row_id: Option<String>,
    /// How many rows came, also those without a key.
    pub len: usize,
    /// When it was asked, by our clock.
    pub asked_at: Timestamp,
    /// A replica answered that lags: rows may be missing.
    pub out_of_date: bool,
}

impl KeysRequest {
    /// Returns the query parameters.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut conditions = Vec::new();
        match &self.which {
            WhichKeys::OfMonth { month, after } => {
                if let Some((first, next)) = month.days() {
                    conditions.push(format!(
                        "created_date >= '{first}T00:00:00.000' AND created_date < '{next}T00:00:00.000'"
                    ));
                }
                conditions.extend(after.iter().map(|after| format!(":id > {}", literal(after))));
            }
            WhichKeys::Listed(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| literal(&key.to_string())).collect();
                conditions.push(format!("unique_key in ({})", keys.join(",")));
            }
        }
        vec![
            ("$select", ":id,:updated_at,unique_key".to_owned()),
            ("$where", conditions.join(" AND ")),
            ("$order", ":id".to_owned()),
            ("$limit", self.limit.to_string()),
        ]
    }
}

impl Keys {
    pub(super) fn read(page: &Page) -> Self {
        let (mut rows, mut last_row_id) = (Vec::with_capacity(page.len()), None);
        for row in page.rows() {
            // One that is not quite JSON has its key all the same.
            let salvaged = salvaged(&row);
            let head = peek(&salvaged);
            if let Some(key) = head.unique_key.and_then(|key| key.trim().parse().ok()) {
                rows.push((key, head.updated_at));
            }
            last_row_id = head.row_id.map(|id| id.into_owned()).or(last_row_id);
        }
        Self {
            rows,
            last_row_id,
            len: page.len(),
            asked_at: page.head.asked_at.unwrap_or_else(Timestamp::now),
            out_of_date: page.head.out_of_date,
        }
    }

    /// Tells which of these keys did not come.
    pub fn lack<'k>(&self, keys: &'k [i64]) -> impl Iterator<Item = &'k i64> {
        let there: BTreeSet<i64> = self.rows.iter().map(|(key, _)| *key).collect();
        keys.iter().filter(move |key| !there.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::socrata::PageHead;

    #[test]
    fn a_month_is_walked_by_id_with_as_few_bytes_as_can_be() {
        let month = Month::from_word("2026-12").unwrap();
        let request =
            KeysRequest { which: WhichKeys::OfMonth { month, after: Some("row-1'".into()) }, limit: 7 };
        assert_eq!(
            request.parameters(),
            [
                ("$select", ":id,:updated_at,unique_key".to_owned()),
                (
                    "$where",
                    "created_date >= '2026-12-01T00:00:00.000' AND created_date < '2027-01-01T00:00:00.000' \
                     AND :id > 'row-1'''"
                        .to_owned()
                ),
                ("$order", ":id".to_owned()),
                ("$limit", "7".to_owned()),
            ]
        );
        let listed = KeysRequest { which: WhichKeys::Listed(vec![7, 8]), limit: 2 }.parameters();
        assert_eq!(listed[1], ("$where", "unique_key in ('7','8')".to_owned()));
    }

    #[test]
    fn keys_are_read_and_those_that_are_not_there_told() {
        let body = r#"[{":id":"row-a",":updated_at":"2026-05-21T01:40:37.582Z","unique_key":"7"},
                       {":id":"row-b","unique_key":"x"},{"unique_key":9}, 17]"#;
        let page = Page::slice(Bytes::from_static(body.as_bytes()), PageHead::default()).unwrap();
        let keys = Keys::read(&page);
        assert_eq!(keys.rows[0], (7, "2026-05-21T01:40:37.582Z".parse().ok()));
        assert_eq!((keys.len, keys.last_row_id.as_deref()), (4, Some("row-b")));
        assert_eq!(keys.lack(&[6, 7, 8]).copied().collect::<Vec<_>>(), [6, 8]);
    }
}
