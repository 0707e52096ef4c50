//! Reads the moments that people and schedulers write: in the settings, in the API and on the command line
//! alike.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    #[error("is not a time of RFC 3339, as 2026-01-31T00:00:00Z, nor a date, as 2026-01-31")]
    Unreadable,
    #[error("is a time without an offset, as Z or -05:00")]
    NoOffset,
    #[error("is not within the years 1900 to 9998")]
    OutOfRange,
}

/// Reads a time with its offset, or a date, which is its midnight in New York, where the city counts its
/// days.
///
/// The source's clock has milliseconds; a finer time is moved up to the next one, which selects the same rows
/// at either end of a half-open window.
pub fn parse_instant(text: &str) -> Result<Timestamp, InstantError> {
    let time = match text.len() {
        10 => date(text)?,
        _ if has_shape_of_rfc_3339(text) => {
            text.parse::<Timestamp>().map_err(|_| InstantError::Unreadable)?
        }
        _ if !text.contains(['[', 'Z', 'z']) && text.parse::<jiff::civil::DateTime>().is_ok() => {
            return Err(InstantError::NoOffset);
        }
        _ => return Err(InstantError::Unreadable),
    };
    let up = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Ceil);
    let time = time.round(up).map_err(|_| InstantError::OutOfRange)?;
    let year = time.to_zoned(TimeZone::UTC).year();
    if (1900..9999).contains(&year) { Ok(time) } else { Err(InstantError::OutOfRange) }
}

fn date(text: &str) -> Result<Timestamp, InstantError> {
    let date = Date::strptime("%Y-%m-%d", text).map_err(|_| InstantError::Unreadable)?;
    let midnight = date.in_tz("America/New_York").map_err(|_| InstantError::Unreadable)?;
    Ok(midnight.timestamp())
}

/// Jiff reads more than RFC 3339 allows (missing seconds, named zones); what is taken here must be plain to
/// every reader.
fn has_shape_of_rfc_3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let fixed = [(4, b"-" as &[u8]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    let zone = text
        .get(19..)
        .map(|rest| rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()))
        .unwrap_or_default();
    let zoned = match zone.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|digit| digit.is_ascii_digit()),
        _ => false,
    };
    zoned && fixed.iter().all(|(at, allowed)| bytes.get(*at).is_some_and(|byte| allowed.contains(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse_instant(text).map_or_else(|error| format!("{error:?}"), |time| time.to_string())
    }

    #[test]
    fn any_offset_is_the_same_moment() {
        for same in [
            "2026-01-31T05:00:00Z",
            "2026-01-31T00:00:00-05:00",
            "2026-01-31T05:00:00.000+00:00",
            "2026-01-31",
        ] {
            assert_eq!(read(same), "2026-01-31T05:00:00Z", "{same}");
        }
        assert_eq!(read("2026-07-01"), "2026-07-01T04:00:00Z");
    }

    #[test]
    fn finer_times_move_up_to_the_next_millisecond() {
        assert_eq!(read("2026-01-31T05:00:00.000001Z"), "2026-01-31T05:00:00.001Z");
        assert_eq!(read("2026-01-31T05:00:00.123Z"), "2026-01-31T05:00:00.123Z");
    }

    #[test]
    fn what_is_not_plain_is_refused() {
        assert_eq!(read("2026-01-31T05:00:00"), "NoOffset");
        assert_eq!(read("1899-12-31T00:00:00Z"), "OutOfRange");
        for unreadable in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-01-31T05:00Z",
            "2026-01-31T05:00:00-05:00[America/New_York]",
            "1769835600",
        ] {
            assert_eq!(read(unreadable), "Unreadable", "{unreadable}");
        }
    }
}
