//! The units that bounds and defaults are written in, and how durations and sizes are shown.

use std::fmt;
use std::time::Duration;

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub const fn hours(hours: u64) -> Duration {
    minutes(hours * 60)
}

pub const fn days(days: u64) -> Duration {
    hours(days * 24)
}

/// Writes a duration in the greatest unit that shows it exactly.
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let unit = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .into_iter()
            .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
        match unit {
            Some((unit, name)) => write!(formatter, "{}{name}", millis / unit),
            None if millis == 0 => formatter.write_str("0s"),
            None => write!(formatter, "{millis}ms"),
        }
    }
}

/// Writes a size in the greatest unit that shows it exactly.
pub fn size(bytes: usize) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}
