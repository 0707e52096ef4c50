//! Finds the rows that PostgreSQL refuses, by trying parts of the batch in transactions that are rolled
//! back: one bad row costs about as much again as the batch itself.

use super::encode::Encoded;
use crate::store::{Store, StoreError};

/// A row that is refused also when it is alone.
pub(super) struct RefusedRow {
    /// Its index in [`Encoded::rows`].
    pub(super) index: usize,
    pub(super) detail: String,
}

impl Store {
    /// Returns the rows of `chosen` that are refused by themselves; none when only their combination is.
    pub(super) async fn find_refused(
        &self,
        encoded: &Encoded,
        chosen: &[usize],
    ) -> Result<Vec<RefusedRow>, StoreError> {
        let mut refused = Vec::new();
        let mut parts = vec![chosen];
        while let Some(part) = parts.pop() {
            let Err(error) = self.try_rows(encoded, part).await else { continue };
            let StoreError::Refused { sqlstate, detail, .. } = error else { return Err(error) };
            match part {
                [] => {}
                [index] => {
                    refused
                        .push(RefusedRow { index: *index, detail: format!("{}: {detail}", sqlstate.code()) });
                }
                _ => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right, left]);
                }
            }
        }
        Ok(refused)
    }

    /// Does to the facts and the rollups all that a write does, and takes it back.
    async fn try_rows(&self, encoded: &Encoded, chosen: &[usize]) -> Result<(), StoreError> {
        let mut client = self.writing_client().await?;
        self.bounded(async {
            let transaction = client.transaction().await?;
            self.copy_incoming(&transaction, encoded, chosen).await?;
            super::store_incoming(&transaction, None).await?;
            super::apply_rollups(&transaction).await?;
            transaction.rollback().await?;
            Ok(())
        })
        .await
    }
}
