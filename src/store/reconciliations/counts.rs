//! Counts the months of the tables.
//!
//! Each month is a statement of its own, over the index on `created_at`: no snapshot is held for longer than
//! one month takes, which is bounded by `database.statement_timeout`. The index has neither what is withdrawn
//! nor `source_updated_at`, so the rows themselves are read, in the order of their creation, in which most of
//! them lie.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::reconciliation::{Month, OurMonth};
use crate::store::{Store, StoreError};

impl Store {
    /// Lists the months in `[since, until)` that the tables have rows of, by as many looks at the index.
    pub async fn our_months(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Vec<Month>, StoreError> {
        let client = self.client().await?;
        let sql = "select created_at from nyc311.service_request_row
                   where created_at >= coalesce($1::timestamptz, '-infinity')
                     and created_at < coalesce($2::timestamptz, 'infinity')
                   order by created_at limit 1";
        let mut months = Vec::new();
        let mut from = since;
        loop {
            let next = self.bounded(async { Ok(client.query_opt(sql, &[&from, &until]).await?) }).await?;
            let Some(row) = next else { return Ok(months) };
            let month = Month::containing(row.get(0));
            months.push(month);
            match month.bounds() {
                Some((_, ends)) if from.is_none_or(|from| ends > from) => from = Some(ends),
                _ => return Ok(months),
            }
        }
    }

    /// Counts one month of the tables, without its dead letters.
    pub async fn count_month(&self, month: Month) -> Result<OurMonth, StoreError> {
        let Some((begins, ends)) = month.bounds() else { return Ok(OurMonth::default()) };
        let client = self.client().await?;
        self.bounded(async {
            let row = client
                .query_one(
                    "select count(*), max(source_updated_at) from nyc311.service_request_row
                     where created_at >= $1 and created_at < $2 and withdrawn_at is null",
                    &[&begins, &ends],
                )
                .await?;
            Ok(OurMonth { count: row.get(0), newest: row.get(1), ..OurMonth::default() })
        })
        .await
    }

    /// Counts what dead letters explain, by month: keys that are in no row of their month, and rows whose key
    /// has a dead letter of another month, or of none.
    pub async fn dead_letters_by_month(&self) -> Result<BTreeMap<Month, (i64, i64)>, StoreError> {
        let client = self.client().await?;
        self.bounded(async {
            let mut found: BTreeMap<Month, (i64, i64)> = BTreeMap::new();
            for row in client.query(DEAD_LETTERS, &[]).await? {
                let Some(month) = Month::from_word(row.get(0)) else { continue };
                let counts = found.entry(month).or_default();
                *counts = (counts.0 + row.get::<_, i64>(1), counts.1 + row.get::<_, i64>(2));
            }
            Ok(found)
        })
        .await
    }
}

/// The month of a letter is that of its `created_date`, whatever else is wrong with its bytes: escaped, they
/// are a text, in which digits and quotes are as they were.
const DEAD_LETTERS: &str = r#"
    with letter as (
        select distinct unique_key, case when unique_key is null then payload_sha256 end as payload_sha256,
               coalesce(substring(encode(payload, 'escape')
                                  from '"created_date"\s*:\s*"(\d{4}-(?:0[1-9]|1[0-2]))-\d\d'),
                        'unknown') as month
        from nyc311.dead_letter
        where state <> 'resolved'
    ), held as (
        select l.unique_key, l.month, to_char(r.created_at at time zone 'America/New_York', 'YYYY-MM') as our_month
        from letter l
        left join nyc311.service_request_row r on r.unique_key = l.unique_key and r.withdrawn_at is null
    )
    select month, count(*), 0::bigint from held where our_month is distinct from month group by 1
    union all
    select our_month, 0, count(distinct unique_key) from held
    where our_month is not null and our_month <> month
    group by 1"#;
