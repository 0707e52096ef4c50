//! Reads durations and numbers as people write them, and says in their words what is wrong.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("is empty")]
    Empty,
    #[error("has no unit")]
    NoUnit,
    #[error("has the unit `{0}`, which is none of ms, s, m, h and d")]
    UnknownUnit(String),
    #[error("is longer than can be counted")]
    TooLong,
    #[error("is not a duration")]
    Unreadable,
}

/// Reads a number with its unit, or several: `100ms`, `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    use humantime::DurationError as Error;
    let text = text.trim();
    humantime::parse_duration(text).map_err(|error| match error {
        Error::Empty => DurationError::Empty,
        Error::NumberOverflow => DurationError::TooLong,
        _ if text.parse::<f64>().is_ok() => DurationError::NoUnit,
        Error::UnknownUnit { unit, .. } if unit.is_empty() => DurationError::NoUnit,
        Error::UnknownUnit { unit, .. } => DurationError::UnknownUnit(unit),
        _ => DurationError::Unreadable,
    })
}

/// Reads the duration of a flag or a request, and says what to write instead of a wrong one.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .map_err(|error| format!("{error}; write a number and its unit, as 100ms, 30s, 1h or 7d"))
}

/// Writes a duration as it is read, in its largest units.
pub fn written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Returns a reader of numbers within bounds, for a flag.
pub fn number<T>(
    bounds: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| match text.trim().parse::<T>() {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(format!("is not a number from {} to {}", bounds.start(), bounds.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_durations_are_told_apart_in_words() {
        use DurationError::*;
        for (text, expected) in [
            ("", Empty),
            ("15", NoUnit),
            ("1.5", NoUnit),
            ("1h 15", NoUnit),
            ("3 fortnights", UnknownUnit("fortnights".to_owned())),
            ("soon", Unreadable),
            ("-1s", Unreadable),
            ("99999999999999999999s", TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(expected), "{text:?}");
        }
        assert_eq!(parse_duration(" 1h 30m "), Ok(Duration::from_secs(5_400)));
        assert_eq!(
            duration("soon").unwrap_err(),
            "is not a duration; write a number and its unit, as 100ms, 30s, 1h or 7d"
        );
    }

    #[test]
    fn wrong_numbers_are_told_their_bounds() {
        let limit = number(1..=500u16);
        assert_eq!(limit("7"), Ok(7));
        for wrong in ["", "0", "501", "99999999999999999999", "many", "1.5"] {
            assert_eq!(limit(wrong), Err("is not a number from 1 to 500".to_owned()), "{wrong:?}");
        }
    }
}
