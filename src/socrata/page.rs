//! A page of the source: the answer's body, and where its rows lie in it.
//!
//! A row is never decoded and written again: what `row` returns is a view of the very bytes that the source
//! sent, and that is what `nyc311.raw` carries (promise 2).

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;
use nyc311_json::{JsonError, elements};

/// What the source says about its answer beside the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageHead {
    /// When the question was sent, by our clock: what the answer shows was there no earlier than this.
    pub asked_at: Option<Timestamp>,
    /// `Date`: the source's clock when it answered. The durable cursor keeps its distance from it.
    pub answered_at: Option<Timestamp>,
    /// `X-SODA2-Data-Out-Of-Date`: a replica answered that lags. Its rows are good, but they may not be all.
    pub out_of_date: bool,
    /// `X-SODA2-Truth-Last-Modified` and `X-SODA2-Secondary-Last-Modified`: by how much it lags.
    pub truth_modified_at: Option<Timestamp>,
    pub replica_modified_at: Option<Timestamp>,
    /// `X-SODA2-Fields`: the names of the columns, as the JSON array that the source sent.
    pub fields: Option<String>,
}

/// The rows of one answer, in the order of the source.
#[derive(Clone, Debug)]
pub struct Page {
    body: Bytes,
    rows: Vec<Range<usize>>,
    pub head: PageHead,
}

impl Page {
    /// Slices a body into its rows. Accepts every array whose elements can be told apart, whatever they are:
    /// a row that is no object, or not quite JSON, is the enricher's to refuse, since one bad record must not
    /// hold up its neighbours (promise 8).
    pub fn slice(body: Bytes, head: PageHead) -> Result<Self, JsonError> {
        let rows = elements(&body)?;
        Ok(Self { body, rows, head })
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns row `index` as a slice that shares the page's memory.
    pub fn row(&self, index: usize) -> Option<Bytes> {
        self.rows.get(index).map(|range| self.body.slice(range.clone()))
    }

    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Bytes> + ExactSizeIterator + '_ {
        self.rows.iter().map(|range| self.body.slice(range.clone()))
    }

    /// Returns the answer as it came.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(body: &'static str) -> Result<Page, JsonError> {
        Page::slice(Bytes::from_static(body.as_bytes()), PageHead::default())
    }

    #[test]
    fn rows_are_the_bytes_of_the_answer() {
        let body = "[{\"a\": \"\\u00e9\",  \"b\":1.50}\n,42\n, {\"c\":[]} ]\n";
        let page = slice(body).unwrap();
        let rows: Vec<Bytes> = page.rows().collect();
        assert_eq!(rows, ["{\"a\": \"\\u00e9\",  \"b\":1.50}", "42", "{\"c\":[]}"]);
        assert_eq!(rows[1].as_ptr(), body[body.find("42").unwrap()..].as_ptr());
        assert_eq!((page.len(), page.row(3)), (3, None));
    }

    #[test]
    fn an_empty_array_is_an_empty_page() {
        assert!(slice(" [ ] ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for body in ["", "{}", "null", "<html>", "[1,]", "[1", "[] []", "[{]}"] {
            assert!(slice(body).is_err(), "{body}");
        }
    }
}
