//! Why a row cannot be used at all.

use std::error::Error;
use std::fmt;

/// A row that goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// A stable code, one of [`Rejection::REASONS`].
    pub reason: &'static str,
    /// The field of the row that is to blame.
    pub field: Option<&'static str>,
    pub detail: String,
    /// The row's key, where it could be read.
    pub unique_key: Option<i64>,
}

impl Rejection {
    pub const NOT_UTF8: &str = "not_utf8";
    pub const NOT_AN_OBJECT: &str = "not_an_object";
    pub const MISSING_UNIQUE_KEY: &str = "missing_unique_key";
    pub const BAD_UNIQUE_KEY: &str = "bad_unique_key";
    pub const MISSING_CREATED_DATE: &str = "missing_created_date";
    pub const BAD_CREATED_DATE: &str = "bad_created_date";

    /// Every reason that there is.
    pub const REASONS: [&str; 6] = [
        Self::NOT_UTF8,
        Self::NOT_AN_OBJECT,
        Self::MISSING_UNIQUE_KEY,
        Self::BAD_UNIQUE_KEY,
        Self::MISSING_CREATED_DATE,
        Self::BAD_CREATED_DATE,
    ];
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.detail)
    }
}

impl Error for Rejection {}
