//! Finds and marks what is gone from the source: the keys of a month are collected page by page, what is here
//! and not among them is asked for by key, and what the source then does not have is marked.

use jiff::Timestamp;
use uuid::Uuid;

use crate::fault_point;
use crate::reconciliation::Month;
use crate::store::Store;
use crate::store::StoreError;
use crate::store::queue::LeaseError;

/// Keys of the source, in the order of its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    pub keys: Vec<(i64, Option<Timestamp>)>,
    /// The `:id` of the last row, behind which the walk goes on.
    pub last_row_id: Option<String>,
}

/// A row of ours that may be gone from the source, with the version that it had when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub unique_key: i64,
    pub source_updated_at: Timestamp,
    pub source_version: String,
}

impl Store {
    /// Begins the walk over the keys of a month, with none.
    pub async fn begin_key_walk(&self, id: Uuid, token: Uuid, month: Month) -> Result<(), LeaseError> {
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            let held = transaction
                .execute(
                    "update nyc311.reconciliation set walk_month = $3, walk_row_id = null
                     where reconciliation_id = $1 and lease_token = $2 and state = 'withdrawing'",
                    &[&id, &token, &month.to_string()],
                )
                .await?;
            if held == 0 {
                return Err(LeaseError::Lost);
            }
            transaction.execute("delete from nyc311.reconciliation_key", &[]).await?;
            fault_point!("reconciliation:begin_walk:before");
            transaction.commit().await?;
            fault_point!("reconciliation:begin_walk:after");
            Ok(())
        })
        .await
    }

    /// Keeps a page of keys and moves the walk behind it. Repeating it changes nothing.
    pub async fn record_keys(&self, id: Uuid, token: Uuid, page: &KeyPage) -> Result<(), LeaseError> {
        let (keys, times): (Vec<i64>, Vec<Option<Timestamp>>) = page.keys.iter().copied().unzip();
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            let held = transaction
                .execute(
                    "update nyc311.reconciliation set walk_row_id = $3
                     where reconciliation_id = $1 and lease_token = $2 and state = 'withdrawing'",
                    &[&id, &token, &page.last_row_id],
                )
                .await?;
            if held == 0 {
                return Err(LeaseError::Lost);
            }
            transaction
                .execute(
                    "insert into nyc311.reconciliation_key as k (unique_key, source_updated_at)
                     select unique_key, max(source_updated_at)
                     from unnest($1::bigint[], $2::timestamptz[]) as p (unique_key, source_updated_at)
                     group by unique_key
                     on conflict (unique_key) do update
                     set source_updated_at = greatest(k.source_updated_at, excluded.source_updated_at)",
                    &[&keys, &times],
                )
                .await?;
            fault_point!("reconciliation:keys:before");
            transaction.commit().await?;
            fault_point!("reconciliation:keys:after");
            Ok(())
        })
        .await
    }

    /// Returns the next rows of a month, behind a key, that the source's keys do not have.
    pub async fn rows_without_key(
        &self,
        month: Month,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Gone>, StoreError> {
        let Some((begins, ends)) = month.bounds() else { return Ok(Vec::new()) };
        let client = self.client().await?;
        self.bounded(async {
            let rows = client
                .query(
                    "select r.unique_key, r.source_updated_at, r.source_version
                     from nyc311.service_request_row r
                     where r.created_at >= $1 and r.created_at < $2 and r.withdrawn_at is null
                       and ($3::bigint is null or r.unique_key > $3)
                       and not exists (
                           select from nyc311.reconciliation_key k where k.unique_key = r.unique_key)
                     order by r.unique_key limit $4",
                    &[&begins, &ends, &after, &limit],
                )
                .await?;
            let read = |row: &tokio_postgres::Row| Gone {
                unique_key: row.get(0),
                source_updated_at: row.get(1),
                source_version: row.get(2),
            };
            Ok(rows.iter().map(read).collect())
        })
        .await
    }

    /// Marks rows that were found gone at `found_at`, but for those that have another version by now; returns
    /// how many. The rollups follow in the same transaction.
    pub async fn withdraw(
        &self,
        id: Uuid,
        token: Uuid,
        gone: &[Gone],
        found_at: Timestamp,
    ) -> Result<u64, LeaseError> {
        let keys: Vec<i64> = gone.iter().map(|row| row.unique_key).collect();
        let times: Vec<Timestamp> = gone.iter().map(|row| row.source_updated_at).collect();
        let versions: Vec<&str> = gone.iter().map(|row| row.source_version.as_str()).collect();
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            // In the order of the keys, as every writer takes them.
            let locked = "select from nyc311.service_request_row where unique_key = any ($1)
                          order by unique_key for no key update";
            transaction.query(locked, &[&keys]).await?;
            let marked = transaction
                .execute(
                    "update nyc311.service_request_row r set withdrawn_at = $4
                     from unnest($1::bigint[], $2::timestamptz[], $3::text[])
                         as g (unique_key, source_updated_at, source_version)
                     where r.unique_key = g.unique_key and r.withdrawn_at is null
                       and (r.source_updated_at, r.source_version) = (g.source_updated_at, g.source_version)",
                    &[&keys, &times, &versions, &found_at],
                )
                .await?;
            let counted = i64::try_from(marked).map_err(|_| StoreError::other("a count is out of range"))?;
            let held = transaction
                .execute(
                    "update nyc311.reconciliation set withdrawn = withdrawn + $3
                     where reconciliation_id = $1 and lease_token = $2 and state = 'withdrawing'",
                    &[&id, &token, &counted],
                )
                .await?;
            if held == 0 {
                return Err(LeaseError::Lost);
            }
            fault_point!("reconciliation:withdraw:before");
            transaction.commit().await?;
            fault_point!("reconciliation:withdraw:after");
            Ok(marked)
        })
        .await
    }

    /// Ends the walk over a month: notes what its keys have told of it, and forgets them.
    pub async fn end_key_walk(&self, id: Uuid, token: Uuid, month: Month) -> Result<(), LeaseError> {
        let Some((begins, ends)) = month.bounds() else { return Ok(()) };
        let mut client = self.client().await?;
        self.leased(async {
            let transaction = client.transaction().await?;
            let held = transaction
                .execute(
                    "update nyc311.reconciliation set walk_month = null, walk_row_id = null
                     where reconciliation_id = $1 and lease_token = $2 and state = 'withdrawing'",
                    &[&id, &token],
                )
                .await?;
            if held == 0 {
                return Err(LeaseError::Lost);
            }
            transaction.execute(TELL_OF_KEYS, &[&id, &month.to_string(), &begins, &ends]).await?;
            transaction.execute("delete from nyc311.reconciliation_key", &[]).await?;
            fault_point!("reconciliation:end_walk:before");
            transaction.commit().await?;
            fault_point!("reconciliation:end_walk:after");
            Ok(())
        })
        .await
    }
}

/// A version that differs by less than a millisecond is the same: not every answer tells them apart.
const TELL_OF_KEYS: &str = "
    update nyc311.reconciliation_month m
    set action = 'withdraw', keys_missing = f.missing, keys_changed = f.changed
    from (
        select count(*) filter (where r.unique_key is null and d.unique_key is null) as missing,
               count(*) filter (
                   where r.source_updated_at - k.source_updated_at not between '-999 us' and '999 us') as changed
        from nyc311.reconciliation_key k
        left join nyc311.service_request_row r
            on r.unique_key = k.unique_key and r.created_at >= $3 and r.created_at < $4
        left join (select distinct unique_key from nyc311.dead_letter where state <> 'resolved') d
            on d.unique_key = k.unique_key
    ) f
    where m.reconciliation_id = $1 and m.month = $2";
