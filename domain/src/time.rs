//! From the city's clock to the world's.
//!
//! The city writes local New York time without an offset, `2026-04-11T23:28:40.000`. Two hours a year make
//! that unclear:
//!
//! - **The gap.** On the second Sunday of March the clock jumps from 02:00 to 03:00. A time in between never
//!   was; it is read with the offset before the jump, so 02:30 becomes 03:30 daylight time.
//! - **The repeated hour.** On the first Sunday of November the clock goes back from 02:00 to 01:00, and
//!   01:30 happens twice. Where the order of events decides which one it was, it decides; elsewhere the first
//!   is taken.
//!
//! The rules of the zone come from jiff's compiled-in database. They are laid out once as a table of
//! transitions, because a look-up in it takes a tenth of the time; a test proves both equal around every
//! transition.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The zone of every local time in the data.
const NEW_YORK: &str = "America/New_York";

/// Local time, as seconds since 1970-01-01T00:00:00 on the city's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime {
    seconds: i64,
    nanosecond: i32,
}

/// What a stated time says: a moment, or a reading of the city's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedTime {
    /// With `Z` or an offset: the moment, and what the clock reads by which it is written.
    Instant {
        moment: Timestamp,
        written: LocalTime,
    },
    Local(LocalTime),
}

/// The moments that a reading of New York's clock can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Once(Timestamp),
    /// The reading never was; the moment that it would have been without the jump.
    InGap(Timestamp),
    Twice {
        first: Timestamp,
        second: Timestamp,
    },
}

impl LocalTime {
    /// Says whether the clock reads exactly midnight, which is how a date without a time is written.
    pub const fn is_midnight(self) -> bool {
        self.seconds.rem_euclid(86_400) == 0 && self.nanosecond == 0
    }

    /// Says whether the clock reads exactly noon, which is how some agencies write a date without a time.
    pub const fn is_noon(self) -> bool {
        self.seconds.rem_euclid(86_400) == 43_200 && self.nanosecond == 0
    }

    /// Returns the first reading of a year.
    pub const fn first_of_year(year: i64) -> Self {
        Self { seconds: seconds_of(year, 1, 1, 0, 0, 0), nanosecond: 0 }
    }

    /// Returns what the clock in New York reads at a moment.
    pub fn at(moment: Timestamp) -> Self {
        let offset = TRANSITIONS.zone.to_offset(moment);
        let (seconds, nanosecond) = seconds_and_nanosecond(moment);
        Self { seconds: seconds + i64::from(offset.seconds()), nanosecond }
    }

    /// Returns the moments that this reading means in New York.
    pub fn in_new_york(self) -> Option<Moment> {
        let table = &*TRANSITIONS;
        let local = self.seconds;
        if local >= table.end {
            return self.by_jiff();
        }
        let after = table.transitions.partition_point(|transition| transition.from <= local);
        let Some(transition) = after.checked_sub(1).and_then(|last| table.transitions.get(last)) else {
            return self.by_jiff();
        };
        let at = |offset: i32| Timestamp::new(local - i64::from(offset), self.nanosecond).ok();
        if local >= transition.until {
            return at(transition.offset_after).map(Moment::Once);
        }
        let (before, later) = (at(transition.offset_before)?, at(transition.offset_after)?);
        Some(if transition.offset_after > transition.offset_before {
            Moment::InGap(before)
        } else {
            Moment::Twice { first: before, second: later }
        })
    }

    /// Asks the zone database itself: years before 1884 and from 2200 on.
    fn by_jiff(self) -> Option<Moment> {
        use jiff::tz::AmbiguousOffset;
        let civil = jiff::tz::Offset::UTC.to_datetime(Timestamp::new(self.seconds, self.nanosecond).ok()?);
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(civil).ok();
        Some(match TRANSITIONS.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => Moment::Once(at(offset)?),
            AmbiguousOffset::Gap { before, .. } => Moment::InGap(at(before)?),
            AmbiguousOffset::Fold { before, after } => {
                Moment::Twice { first: at(before)?, second: at(after)? }
            }
        })
    }
}

/// A change of the offset from UTC, on the local clock: readings in `from..until` are in the gap or happen
/// twice.
struct Transition {
    from: i64,
    until: i64,
    offset_before: i32,
    offset_after: i32,
}

struct Transitions {
    zone: TimeZone,
    transitions: Vec<Transition>,
    /// Readings from here on are not in the table.
    end: i64,
}

static TRANSITIONS: LazyLock<Transitions> = LazyLock::new(|| {
    // The database is compiled in, so the zone is always found; were it not, the offset would be UTC's, and
    // the tests would say so.
    let zone = TimeZone::get(NEW_YORK).unwrap_or(TimeZone::UTC);
    let start = Timestamp::from_second(seconds_of(1883, 1, 1, 0, 0, 0)).unwrap_or(Timestamp::MIN);
    let end = seconds_of(2200, 1, 1, 0, 0, 0);
    let mut offset_before = zone.to_offset(start).seconds();
    let mut transitions = Vec::new();
    for transition in zone.following(start) {
        let moment = transition.timestamp().as_second();
        if moment >= end {
            break;
        }
        let offset_after = transition.offset().seconds();
        if offset_after != offset_before {
            let (low, high) = (offset_before.min(offset_after), offset_before.max(offset_after));
            let (from, until) = (moment + i64::from(low), moment + i64::from(high));
            transitions.push(Transition { from, until, offset_before, offset_after });
        }
        offset_before = offset_after;
    }
    Transitions { zone, transitions, end }
});

/// Reads a stated time: `2026-04-11T23:28:40.000`, the same with a blank for the `T`, a date alone, or any of
/// them with `Z` or an offset.
pub fn parse(stated: &str) -> Option<StatedTime> {
    let bytes = stated.as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = date else { return None };
    let (century, year) = (two(y0, y1)?, two(y2, y3)?);
    let (year, month, day) = (century * 100 + year, two(m0, m1)?, two(d0, d1)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let (seconds, nanosecond, zone) = match rest {
        [] => (0, 0, rest),
        [b'T' | b't' | b' ', h0, h1, b':', n0, n1, b':', s0, s1, fraction @ ..] => {
            let (hour, minute, second) = (two(*h0, *h1)?, two(*n0, *n1)?, two(*s0, *s1)?);
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            let (nanosecond, zone) = parse_fraction(fraction)?;
            (hour * 3_600 + minute * 60 + second, nanosecond, zone)
        }
        _ => return None,
    };
    let local = LocalTime { seconds: days * 86_400 + seconds, nanosecond };
    match parse_offset(zone)? {
        None => Some(StatedTime::Local(local)),
        Some(offset) => {
            let moment = Timestamp::new(local.seconds - offset, nanosecond).ok()?;
            Some(StatedTime::Instant { moment, written: local })
        }
    }
}

/// Reads a moment: a time that names its offset. The system fields of the source are of this kind.
pub fn parse_instant(stated: &str) -> Option<Timestamp> {
    match parse(stated)? {
        StatedTime::Instant { moment, .. } => Some(moment),
        StatedTime::Local(_) => None,
    }
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { None } else { Some(i64::from(tens * 10 + ones)) }
}

/// Reads `.123` at the start; digits beyond the ninth are dropped.
fn parse_fraction(bytes: &[u8]) -> Option<(i32, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(b".000")
        && !rest.first().is_some_and(u8::is_ascii_digit)
    {
        return Some((0, rest));
    }
    let Some(digits) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, rest) = digits.split_at(length);
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some((padded.fold(0_i32, |number, digit| number * 10 + i32::from(digit - b'0')), rest))
}

/// Reads nothing, `Z` or `+hh:mm`; the offset is in seconds.
fn parse_offset(bytes: &[u8]) -> Option<Option<i64>> {
    match *bytes {
        [] => Some(None),
        [b'Z' | b'z'] => Some(Some(0)),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] | [sign @ (b'+' | b'-'), h0, h1, m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            Some(Some(if sign == b'-' { -offset } else { offset }))
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant's algorithm: years
/// begin in March).
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns year, month and day of a number of days since 1970-01-01.
const fn civil_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

const fn seconds_of(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> i64 {
    days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
}

/// Takes a moment apart into the second that it lies in, also before 1970, and the nanosecond of it.
fn seconds_and_nanosecond(moment: Timestamp) -> (i64, i32) {
    let (seconds, nanosecond) = (moment.as_second(), moment.subsec_nanosecond());
    if nanosecond < 0 { (seconds - 1, nanosecond + 1_000_000_000) } else { (seconds, nanosecond) }
}

/// Appends a moment as RFC 3339 in UTC, with as many digits of the second (none, 3, 6 or 9) as it needs.
pub fn write_rfc3339(moment: Timestamp, out: &mut Vec<u8>) {
    let (seconds, nanosecond) = seconds_and_nanosecond(moment);
    let (year, month, day) = civil_of_days(seconds.div_euclid(86_400));
    let second_of_day = seconds.rem_euclid(86_400);
    if !(0..=9_999).contains(&year) {
        // jiff writes such years with a sign and six digits; none comes from the city.
        out.extend_from_slice(moment.to_string().as_bytes());
        return;
    }
    push_digits(out, year, 4);
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, day, 2);
    out.push(b'T');
    push_digits(out, second_of_day / 3_600, 2);
    out.push(b':');
    push_digits(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    push_digits(out, second_of_day % 60, 2);
    let nanosecond = i64::from(nanosecond);
    if nanosecond != 0 {
        out.push(b'.');
        if nanosecond % 1_000_000 == 0 {
            push_digits(out, nanosecond / 1_000_000, 3);
        } else if nanosecond % 1_000 == 0 {
            push_digits(out, nanosecond / 1_000, 6);
        } else {
            push_digits(out, nanosecond, 9);
        }
    }
    out.push(b'Z');
}

#[inline]
fn push_digits(out: &mut Vec<u8>, number: i64, width: usize) {
    let mut digits = [b'0'; 9];
    let mut rest = number;
    for digit in digits.iter_mut().take(width).rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    out.extend(digits.iter().take(width));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local(text: &str) -> LocalTime {
        match parse(text) {
            Some(StatedTime::Local(local)) => local,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn local_times_follow_the_seasons() {
        assert_eq!(
            local("2026-01-15T12:00:00.000").in_new_york(),
            Some(Moment::Once(moment("2026-01-15T17:00:00Z")))
        );
        assert_eq!(
            local("2026-07-15T12:00:00.000").in_new_york(),
            Some(Moment::Once(moment("2026-07-15T16:00:00Z")))
        );
    }

    #[test]
    fn time_in_the_gap_moves_forward_by_an_hour() {
        assert_eq!(
            local("2026-03-08T01:59:59.999").in_new_york(),
            Some(Moment::Once(moment("2026-03-08T06:59:59.999Z")))
        );
        assert_eq!(
            local("2026-03-08T02:30:00.000").in_new_york(),
            Some(Moment::InGap(moment("2026-03-08T07:30:00Z")))
        );
        assert_eq!(
            local("2026-03-08T03:00:00.000").in_new_york(),
            Some(Moment::Once(moment("2026-03-08T07:00:00Z")))
        );
    }

    #[test]
    fn repeated_hour_has_two_moments() {
        let twice =
            Moment::Twice { first: moment("2026-11-01T05:30:00Z"), second: moment("2026-11-01T06:30:00Z") };
        assert_eq!(local("2026-11-01T01:30:00.000").in_new_york(), Some(twice));
        assert_eq!(
            local("2026-11-01T02:00:00.000").in_new_york(),
            Some(Moment::Once(moment("2026-11-01T07:00:00Z")))
        );
    }

    #[test]
    fn table_equals_jiff_around_every_transition() {
        assert!(TRANSITIONS.transitions.len() > 400);
        for transition in &TRANSITIONS.transitions {
            for edge in [transition.from, transition.until, (transition.from + transition.until) / 2] {
                for step in [-86_400, -3_600, -1, 0, 1, 3_600, 86_400, 86_400 * 90] {
                    let reading = LocalTime { seconds: edge + step, nanosecond: 0 };
                    assert_eq!(reading.in_new_york(), reading.by_jiff(), "{reading:?}");
                }
            }
        }
        for year in 1850..2300 {
            let reading = LocalTime { seconds: seconds_of(year, 6, 1, 12, 0, 0), nanosecond: 0 };
            assert_eq!(reading.in_new_york(), reading.by_jiff(), "{year}");
        }
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for text in [
            "",
            "2026",
            "2026-02-29T00:00:00",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-01-01T24:00:00",
            "2026-01-01T00:60:00",
            "2026-01-01T00:00:61",
            "2026-01-01T00:00:00.",
            "2026-01-01T00:00:00.1x",
            "2026-01-01T00:00:00+25:00",
            "04/11/2026 11:28:40 PM",
            "２０２６-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_with_an_offset_are_moments() {
        assert_eq!(parse_instant("2026-04-13T01:37:29.631Z"), Some(moment("2026-04-13T01:37:29.631Z")));
        assert_eq!(parse_instant("2026-04-13T01:37:29-04:00"), Some(moment("2026-04-13T05:37:29Z")));
        assert_eq!(parse_instant("2026-04-13T01:37:29"), None);
    }

    #[test]
    fn midnight_and_noon_are_read_from_the_clock_and_years_begin_on_it() {
        assert!(local("1900-01-01").is_midnight());
        assert!(!local("1900-01-01T00:00:00.001").is_midnight());
        assert!(local("2023-02-28T12:00:00.000").is_noon());
        assert!(!local("2023-02-28T12:00:01").is_noon() && !local("2023-02-28").is_noon());
        assert_eq!(local("1901-01-01"), LocalTime::first_of_year(1901));
        assert!(local("1900-12-31T23:59:59.999") < LocalTime::first_of_year(1901));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            if let Some(StatedTime::Local(local)) = parse(&text) {
                let _ = local.in_new_york();
            }
        }

        #[test]
        fn every_reading_equals_jiff(seconds in -100_000_000_000_i64..250_000_000_000, nanosecond in 0..1_000_000_000) {
            let reading = LocalTime { seconds, nanosecond };
            prop_assert_eq!(reading.in_new_york(), reading.by_jiff());
        }

        #[test]
        fn clock_of_a_moment_equals_jiff(seconds in -60_000_000_000_i64..250_000_000_000, nanosecond in 0..1_000_000_000) {
            let moment = Timestamp::new(seconds, nanosecond).unwrap();
            let civil = TRANSITIONS.zone.to_datetime(moment);
            let as_if_utc = jiff::tz::Offset::UTC.to_timestamp(civil).unwrap();
            let (seconds, nanosecond) = seconds_and_nanosecond(as_if_utc);
            prop_assert_eq!(LocalTime::at(moment), LocalTime { seconds, nanosecond });
        }

        #[test]
        fn written_moments_read_back(seconds in -60_000_000_000_i64..250_000_000_000, unit in prop_oneof![Just(1), Just(1_000), Just(1_000_000)], fraction in 0..1_000_000_000) {
            let moment = Timestamp::new(seconds, fraction / unit * unit).unwrap();
            let mut out = Vec::new();
            write_rfc3339(moment, &mut out);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.parse::<Timestamp>().unwrap(), moment);
            prop_assert_eq!(parse_instant(&text), Some(moment));
        }
    }
}
