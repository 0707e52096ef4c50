//! Long texts that many rows repeat, each of which is stored once: a row has the number of the text instead.
//!
//! The number is the beginning of the text's SHA-256, so the encoder knows it without asking, and a database
//! that was restored from a backup is not trusted to have what it had: each transaction brings the texts of
//! its rows along.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;

use super::statements;
use crate::store::StoreError;

/// A text of fewer bytes takes hardly more room than its number.
const MIN_BYTES: usize = 16;

/// The texts of a batch, by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: HashMap<String, Option<i64>>,
    by_number: BTreeMap<i64, String>,
}

impl Texts {
    /// Returns what stands in the column of a text, and what in the column of its number.
    pub(super) fn of<'a>(&mut self, text: Option<&'a str>) -> (Option<&'a str>, Option<i64>) {
        let number = text.and_then(|text| self.number_of(text));
        (if number.is_some() { None } else { text }, number)
    }

    /// Returns the number by which a text is stored; none where it has to stay in its row, since it is short,
    /// or another text of the batch has its number.
    fn number_of(&mut self, text: &str) -> Option<i64> {
        if text.len() < MIN_BYTES {
            return None;
        }
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = number(text);
        let of_another = self.by_number.contains_key(&number);
        if !of_another {
            self.by_number.insert(number, text.to_owned());
        }
        let number = (!of_another).then_some(number);
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Stores the texts that are new. A text whose number the database gave to another one goes back into the
    /// rows that were copied.
    pub(super) async fn store(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if self.by_number.is_empty() {
            return Ok(());
        }
        let numbers: Vec<i64> = self.by_number.keys().copied().collect();
        let values: Vec<&str> = self.by_number.values().map(String::as_str).collect();
        transaction.batch_execute(statements::LOCK_ROWS_FIRST).await?;
        transaction.execute(statements::STORE_TEXTS, &[&numbers, &values]).await?;
        let taken: Vec<i64> = transaction
            .query(statements::TAKEN_NUMBERS, &[&numbers, &values])
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        if !taken.is_empty() {
            let values: Vec<&str> =
                taken.iter().filter_map(|number| self.by_number.get(number)).map(String::as_str).collect();
            for columns in statements::NUMBERED {
                transaction.execute(&statements::keep_texts(columns), &[&taken, &values]).await?;
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    i64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_numbered_once_and_a_short_one_stays_where_it_is() {
        let mut texts = Texts::default();
        let long = "The Department of Buildings investigated this complaint.";
        assert_eq!(texts.number_of(long), Some(number(long)));
        assert_eq!(texts.number_of(long), Some(number(long)));
        assert_eq!(texts.number_of("short"), None);
        assert_eq!(texts.by_number.len(), 1);
    }

    #[test]
    fn of_two_texts_with_one_number_the_second_stays_where_it_is() {
        let mut texts = Texts::default();
        let (one, other) = ("one text of some length", "another text of some length");
        texts.by_number.insert(number(other), one.to_owned());
        assert_eq!(texts.number_of(other), None);
        assert_eq!(texts.number_of(other), None);
    }
}
