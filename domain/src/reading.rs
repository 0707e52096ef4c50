//! What a date of a request says, in whichever form it is written.
//!
//! A date comes as a reading of the city's clock, or with `Z` or an offset beside it. Rules that look at the
//! clock rather than at the moment (a placeholder, a day without a time) must judge both alike, so they ask a
//! [`Reading`] and never the text:
//!
//! - **A placeholder** is a text that some system writes where it knows no date, `1900-01-01T00:00:00.000`; a
//!   `Z` behind it makes no moment of it. So it is read as if nothing stood behind it, and all its forms
//!   become one.
//! - **Midnight and noon** mean that the hour is not known, and a system may have filled it in on the clock
//!   that it writes by, or on New York's before it wrote the moment in UTC. Either is enough.

use jiff::Timestamp;

use crate::time::{self, LocalTime, Moment, StatedTime};

/// Dates before this one, as a rule of 1899 or 1900, are placeholders for a date that is not known.
const END_OF_PLACEHOLDERS: LocalTime = LocalTime::first_of_year(1901);

/// A date as stated, and the moments that it can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The clock that the date is written by, and New York's; one and the same where no offset is stated.
    clocks: [LocalTime; 2],
    pub(crate) moment: Moment,
}

impl Reading {
    /// Reads a date; `None` for what is none.
    pub(crate) fn of(stated: &str) -> Option<Self> {
        match time::parse(stated.trim())? {
            StatedTime::Instant { moment, written } if written >= END_OF_PLACEHOLDERS => {
                Some(Self { clocks: [written, LocalTime::at(moment)], moment: Moment::Once(moment) })
            }
            StatedTime::Local(local) | StatedTime::Instant { written: local, .. } => {
                Some(Self { clocks: [local; 2], moment: local.in_new_york()? })
            }
        }
    }

    pub(crate) fn is_placeholder(self) -> bool {
        self.clocks.iter().any(|clock| *clock < END_OF_PLACEHOLDERS)
    }

    pub(crate) fn is_midnight(self) -> bool {
        self.clocks.iter().any(|clock| clock.is_midnight())
    }

    pub(crate) fn is_noon(self) -> bool {
        self.clocks.iter().any(|clock| clock.is_noon())
    }

    /// Returns the moment, of two the first.
    pub(crate) fn first(self) -> Timestamp {
        match self.moment {
            Moment::Once(moment) | Moment::InGap(moment) | Moment::Twice { first: moment, .. } => moment,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(stated: &str) -> Reading {
        Reading::of(stated).unwrap_or_else(|| panic!("{stated} is no date"))
    }

    #[test]
    fn every_form_of_a_placeholder_is_the_same_placeholder() {
        for date in ["1899-12-30", "1900-01-01", "1900-12-31"] {
            let local = reading(&format!("{date}T00:00:00.000"));
            assert!(local.is_placeholder() && local.is_midnight());
            for time in ["T00:00:00", "T00:00:00.000", " 00:00:00.000000", "t00:00:00.0"] {
                for offset in ["", "Z", "z", "+00:00", "-05:00", "-0500", "+0000", "+14:00", "-12:00"] {
                    assert_eq!(reading(&format!(" {date}{time}{offset} ")), local, "{date}{time}{offset}");
                }
            }
            assert_eq!(reading(date), local);
        }
        // Written in 1901, but by the city's clock still in 1900.
        assert!(reading("1901-01-01T03:00:00Z").is_placeholder());
        assert!(!reading("1901-01-01T05:00:00Z").is_placeholder());
    }

    #[test]
    fn midnight_and_noon_are_those_of_the_writer_or_of_the_city() {
        for midnight in
            ["2026-05-10", "2026-05-10T00:00:00Z", "2026-05-10T00:00:00-04:00", "2026-05-10T04:00:00.000Z"]
        {
            assert!(reading(midnight).is_midnight() && !reading(midnight).is_noon(), "{midnight}");
        }
        for noon in [
            "2026-05-10T12:00:00",
            "2026-05-10T12:00:00.000+00:00",
            "2026-05-10T12:00:00-04:00",
            "2026-01-10T17:00:00Z",
        ] {
            assert!(reading(noon).is_noon() && !reading(noon).is_midnight(), "{noon}");
        }
        for neither in [
            "2026-05-10T05:00:00Z",
            "2026-05-10T00:00:01Z",
            "2026-05-10T04:00:00.001Z",
            "2026-01-10T16:00:00Z",
        ] {
            assert!(!reading(neither).is_midnight() && !reading(neither).is_noon(), "{neither}");
        }
    }

    proptest! {
        /// However a moment is written, its clock in New York, its moment and what they mean are the same,
        /// but for what the written clock itself says: that may be one more midnight or noon.
        #[test]
        fn every_form_of_a_moment_means_the_same(
            second in -2_240_000_000_i64..4_102_444_800, offset_min in -14 * 60..=14 * 60_i64, whole in any::<bool>(),
        ) {
            let second = if whole { second - second.rem_euclid(21_600) } else { second };
            let moment = Timestamp::from_second(second).unwrap();
            let clock = LocalTime::at(moment);
            // The two readings of the repeated hour are one clock and two moments.
            prop_assume!(clock.in_new_york() == Some(Moment::Once(moment)));
            let text = |offset_min: i64| {
                let civil = Timestamp::from_second(second + offset_min * 60).unwrap().to_string();
                let sign = if offset_min < 0 { '-' } else { '+' };
                let (hours, minutes) = (offset_min.abs() / 60, offset_min.abs() % 60);
                (civil.trim_end_matches('Z').to_owned(), format!("{sign}{hours:02}:{minutes:02}"))
            };
            let written = |(civil, offset): (String, String)| reading(&format!("{civil}{offset}"));
            let local = [4, 5].map(|hours| reading(&text(-hours * 60).0)).into_iter().find(|local| local.clocks == [clock; 2]).unwrap();
            prop_assert_eq!(local.first(), moment);
            for other in [written(text(offset_min)), written(text(0)), reading(&moment.to_string())] {
                let [by_writer, by_city] = other.clocks;
                prop_assert_eq!(other.is_placeholder(), local.is_placeholder() || by_writer < END_OF_PLACEHOLDERS);
                if !other.is_placeholder() {
                    prop_assert_eq!(other.moment, local.moment);
                    prop_assert_eq!(by_city, clock);
                    prop_assert_eq!(other.is_midnight(), local.is_midnight() || by_writer.is_midnight());
                    prop_assert_eq!(other.is_noon(), local.is_noon() || by_writer.is_noon());
                }
            }
        }
    }
}
