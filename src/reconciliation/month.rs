//! The months of `created_date`, as New York's calendar has them.
//!
//! No change of the clock touches the midnight that a month begins with, so the source, which knows the wall
//! clock alone, and the tables, which hold points in time, cut the same months.

use std::fmt;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A month, or none: a row of the source may have no `created_date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Month {
    /// By its first day.
    Of(Date),
    Unknown,
}

/// How the month of rows without `created_date` is written.
const UNKNOWN: &str = "unknown";

impl Month {
    /// Returns the month that a point in time lies in, in New York.
    pub fn containing(at: Timestamp) -> Self {
        Self::Of(at.to_zoned(new_york()).date().first_of_month())
    }

    /// Reads a month as it is written, `2026-05` or `unknown`.
    pub fn from_word(word: &str) -> Option<Self> {
        if word == UNKNOWN {
            return Some(Self::Unknown);
        }
        let (year, month) = word.split_once('-')?;
        let (year, month): (i16, i8) = (year.parse().ok()?, month.parse().ok()?);
        (word.len() == 7).then_some(())?;
        Date::new(year, month, 1).ok().map(Self::Of)
    }

    /// Returns the first moment of the month and that of the next one.
    pub fn bounds(self) -> Option<(Timestamp, Timestamp)> {
        let Self::Of(first) = self else { return None };
        Some((midnight(first), midnight(next(first))))
    }

    /// Returns the first day of the month and that of the next one.
    pub fn days(self) -> Option<(Date, Date)> {
        let Self::Of(first) = self else { return None };
        Some((first, next(first)))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(first) => write!(formatter, "{:04}-{:02}", first.year(), first.month()),
            Self::Unknown => formatter.write_str(UNKNOWN),
        }
    }
}

fn next(first: Date) -> Date {
    // The calendar ends with a December.
    first.checked_add(1.month()).unwrap_or(date(9999, 12, 31))
}

fn midnight(day: Date) -> Timestamp {
    let midnight = day.to_zoned(new_york()).map(|midnight| midnight.timestamp());
    midnight.unwrap_or(Timestamp::MAX)
}

fn new_york() -> TimeZone {
    TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_begins_at_its_midnight_in_new_york() {
        for (month, begins, ends) in [
            ("2026-01", "2026-01-01T05:00:00Z", "2026-02-01T05:00:00Z"),
            // The clock is changed on the 8th.
            ("2026-03", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"),
            // It is changed on the very first day, two hours after its midnight.
            ("2026-11", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
            ("2025-12", "2025-12-01T05:00:00Z", "2026-01-01T05:00:00Z"),
        ] {
            let read = Month::from_word(month).unwrap();
            assert_eq!(read.bounds(), Some((at(begins), at(ends))), "{month}");
            assert_eq!(Month::containing(at(begins)), read);
            assert!(Month::containing(at(ends)) > read, "{month}");
            assert_eq!(read.to_string(), month);
        }
        assert_eq!(Month::containing(at("2026-05-01T03:59:59Z")).to_string(), "2026-04");
    }

    #[test]
    fn what_has_no_month_has_no_bounds_and_other_words_are_none() {
        assert_eq!(Month::from_word("unknown"), Some(Month::Unknown));
        assert_eq!(Month::Unknown.bounds(), None);
        assert_eq!(Month::Unknown.to_string(), "unknown");
        for wrong in ["", "2026", "2026-13", "2026-00", "2026-1", "202605", "2026-05-01", "may"] {
            assert_eq!(Month::from_word(wrong), None, "{wrong}");
        }
    }
}
