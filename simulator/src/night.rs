//! When the city publishes: one batch a night, about 01:35 UTC, 19 to 43 hours after the fact.

use crate::row_id::scramble;

pub const DAY_MS: i64 = 86_400_000;
/// A service day ends at this local time; what came before it is published the next night.
const DAY_BEGINS_MS: i64 = (2 * 60 + 40) * 60_000;
/// Between two batches of one night.
const TICK_MS: i64 = 2_014;

/// Returns the service day (days since 1970) that a local time falls in.
pub fn service_day(local_ms: i64) -> i64 {
    (local_ms - DAY_BEGINS_MS).div_euclid(DAY_MS)
}

/// Returns the local time at which a service day begins.
pub fn service_day_begins_ms(day: i64) -> i64 {
    day * DAY_MS + DAY_BEGINS_MS
}

/// Returns the night (days since 1970, UTC) in which a service day is published.
pub fn night_of(service_day: i64) -> i64 {
    service_day + 2
}

/// Returns `:created_at` of the rows that a night brings, 01:33:00 to 01:34:59.
pub fn created_at_ms(night: i64) -> i64 {
    night * DAY_MS + 93 * 60_000 + (scramble(night as u64) % 120_000) as i64
}

/// Returns `:updated_at` of the rows of one batch of a night; many rows share it. The first is at 01:36:00 to
/// 01:39:29.
pub fn updated_at_ms(night: i64, tick: u64) -> i64 {
    night * DAY_MS + 96 * 60_000 + (scramble(!night as u64) % 210_000) as i64 + tick as i64 * TICK_MS
}

/// Returns how long after its stamp a row appears: a part of `visible_after` that hangs on the row.
pub fn lateness_ms(visible_after_ms: i64, row_number: u64) -> i64 {
    let quarters = (scramble(row_number ^ 0x1a7e) & 3) as i64 + 1;
    visible_after_ms / 4 * quarters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::{read_floating, write_fixed};
    use crate::stamp::at_millisecond;

    #[test]
    fn rows_appear_19_to_43_hours_after_creation() {
        let night = |local: &str| night_of(service_day(read_floating(local).unwrap().as_millisecond()));
        // New York is four hours behind: 02:45 there is 06:45 UTC.
        assert_eq!(night("2026-05-19T02:45:00.000"), night("2026-05-20T02:39:59.999"));
        let published = write_fixed(at_millisecond(updated_at_ms(night("2026-05-19T02:45:00.000"), 0)));
        assert!(published.starts_with("2026-05-21T01:3"), "{published}");
    }

    #[test]
    fn creation_is_stamped_before_the_update() {
        for night in 18_000..22_000 {
            assert!(created_at_ms(night) < updated_at_ms(night, 0));
            assert!(updated_at_ms(night, 5) < night * DAY_MS + 100 * 60_000);
        }
    }
}
