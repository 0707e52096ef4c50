//! Which version of which request stands at which place of the source's order.
//!
//! The calendar knows days and nights, never single rows: a run is a stretch of the order in which the rows
//! of one day follow each other by rank. 25 million requests are some 200,000 runs of 24 bytes.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::life::{Section, Stage, first_rank, sections};
use crate::night;
use crate::row_id::scramble;
use crate::stamp::{Stamp, at_millisecond};

/// The last service day, 2026-03-20; the first follows from the number of rows.
const LAST_DAY: i64 = 20_532;
/// Keeps runs within bounds whatever is asked for.
const MAX_DAYS: u64 = 4_000;
/// How many rows share an `:updated_at`, more or less.
const ROWS_PER_TICK: u64 = 5_000;
/// One night in so many is skipped; the next one brings both.
const SKIPPED_NIGHTS: u64 = 40;
/// Requests by weekday, Monday first, in percent of the average.
const WEEKDAYS: [u64; 7] = [106, 104, 102, 101, 101, 94, 92];

/// A service day and its requests.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// Days since 1970.
    pub day: i64,
    /// The number of its first request; requests are numbered by day and rank.
    pub first_request: u64,
    pub requests: u32,
    /// The clocks go forward on this day's date, or on the next: local times from 02:00 to 02:59 do not
    /// exist.
    pub gap: [bool; 2],
    /// May to September.
    pub is_warm: bool,
    /// Shuffles the day's keys: rank times this, plus that, modulo the day's requests.
    shuffle: (u64, u64),
}

impl Day {
    /// Returns the number of a request among the keys: dense, and within a day in no order of anything.
    pub fn key_number(&self, rank: u32) -> u64 {
        let (times, plus) = self.shuffle;
        self.first_request + (u64::from(rank) * times + plus) % u64::from(self.requests.max(1))
    }
}

/// Returns a factor near the golden section of `count` that makes multiplication a permutation.
fn coprime(count: u64) -> u64 {
    let divisor = |mut left: u64, mut right: u64| {
        while right > 0 {
            (left, right) = (right, left % right);
        }
        left
    };
    let start = (count * 618 / 1_000).max(1);
    (start..start + count).find(|factor| divisor(*factor, count) == 1).unwrap_or(1)
}

/// A stretch of the order.
#[derive(Clone, Copy, Debug)]
struct Run {
    first_position: u64,
    /// Every `ticks`th rank from here on.
    first_rank: u32,
    day: u32,
    night: u32,
    tick: u8,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
struct Night {
    night: i64,
    ticks: u8,
}

/// A version: the request by day and rank, and what it has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub day: u32,
    pub rank: u32,
    pub stage: Stage,
    pub updated_at_ms: i64,
}

pub struct Calendar {
    seed: u64,
    days: Vec<Day>,
    nights: Vec<Night>,
    runs: Vec<Run>,
    sections: Vec<Section>,
    versions: u64,
}

impl Calendar {
    pub fn new(requests: u64, requests_per_day: u64, seed: u64) -> Self {
        let sections = sections();
        let days = days(requests, requests_per_day.max(requests / MAX_DAYS).max(1), seed);
        let mut calendar = Self { seed, days, nights: Vec::new(), runs: Vec::new(), sections, versions: 0 };
        calendar.lay_out();
        calendar
    }

    /// Collects what each night brings, and numbers it.
    fn lay_out(&mut self) {
        let mut changes: Vec<(i64, u32, u32, u32, Stage)> = Vec::new();
        for (index, day) in self.days.iter().enumerate() {
            // All rows of a day appear together; what comes later goes by section.
            changes.push((self.night_after(day, 0), index as u32, 0, day.requests, Stage::First));
            for section in &self.sections {
                let from = first_rank(section.from, day.requests);
                let until = first_rank(section.until, day.requests);
                for (stage, nights) in section.life.stages().filter(|(stage, _)| *stage != Stage::First) {
                    if from < until {
                        changes.push((self.night_after(day, nights), index as u32, from, until, stage));
                    }
                }
            }
        }
        changes.sort_unstable_by_key(|(night, day, from, ..)| (*night, *day, *from));
        for of_night in changes.chunk_by(|left, right| left.0 == right.0) {
            let rows: u64 = of_night.iter().map(|(_, _, from, until, _)| u64::from(until - from)).sum();
            let ticks = rows.div_ceil(ROWS_PER_TICK).clamp(2, 16) as u32;
            self.nights.push(Night { night: of_night[0].0, ticks: ticks as u8 });
            for tick in 0..ticks {
                for (_, day, from, until, stage) in of_night {
                    let first_rank = from + (tick + ticks - from % ticks) % ticks;
                    if first_rank < *until {
                        self.runs.push(Run {
                            first_position: self.versions,
                            first_rank,
                            day: *day,
                            night: self.nights.len() as u32 - 1,
                            tick: tick as u8,
                            stage: *stage,
                        });
                        self.versions += u64::from((until - first_rank).div_ceil(ticks));
                    }
                }
            }
        }
    }

    /// Counts the versions of all requests.
    pub fn versions(&self) -> u64 {
        self.versions
    }

    pub fn day(&self, index: u32) -> &Day {
        &self.days[index as usize]
    }

    pub fn entry(&self, position: u64) -> Entry {
        let run =
            &self.runs[self.runs.partition_point(|run| run.first_position <= position).saturating_sub(1)];
        let night = self.nights[run.night as usize];
        let rank = run.first_rank + (position - run.first_position) as u32 * u32::from(night.ticks);
        let updated_at_ms = night::updated_at_ms(night.night, run.tick.into());
        Entry { day: run.day, rank, stage: run.stage, updated_at_ms }
    }

    pub fn stamp(&self, entry: &Entry) -> Stamp {
        let request = self.day(entry.day).first_request + u64::from(entry.rank);
        Stamp { updated_at: at_millisecond(entry.updated_at_ms), row_number: request }
    }

    pub fn section(&self, entry: &Entry) -> &Section {
        let requests = self.day(entry.day).requests;
        let next = self.sections.partition_point(|section| first_rank(section.from, requests) <= entry.rank);
        // Of sections that are empty on a small day, the last one that begins here is the one with the rank
        // in it.
        &self.sections[next.saturating_sub(1)]
    }

    /// Returns when the version after this one is stamped.
    pub fn superseded_at_ms(&self, entry: &Entry) -> Option<i64> {
        let (_, nights) = self.section(entry).life.after(entry.stage)?;
        let number = self.night_after(self.day(entry.day), nights);
        let index = self.nights.binary_search_by_key(&number, |night| night.night).ok()?;
        let night = self.nights[index];
        Some(night::updated_at_ms(number, (entry.rank % u32::from(night.ticks)).into()))
    }

    /// Returns `:created_at` of a day's rows.
    pub fn created_at_ms(&self, day: u32) -> i64 {
        night::created_at_ms(self.night_after(self.day(day), 0))
    }

    /// Returns when the last batch with new requests is stamped.
    pub fn last_new_at_ms(&self) -> i64 {
        self.days.last().map_or(0, |day| night::updated_at_ms(self.night_after(day, 0), 16))
    }

    /// Returns the night so many nights after a day's rows appear.
    fn night_after(&self, day: &Day, nights: u32) -> i64 {
        self.not_skipped(self.not_skipped(night::night_of(day.day)) + i64::from(nights))
    }

    fn not_skipped(&self, mut night: i64) -> i64 {
        while scramble(self.seed ^ scramble(night as u64)).is_multiple_of(SKIPPED_NIGHTS) {
            night += 1;
        }
        night
    }
}

/// Deals the requests out to days, the last day first, so that a city ends when every other one ends.
fn days(requests: u64, per_day: u64, seed: u64) -> Vec<Day> {
    let mut days = Vec::new();
    let (mut left, mut day) = (requests, LAST_DAY);
    while left > 0 {
        // 1970-01-01 was a Thursday.
        let weekday = (day + 3).rem_euclid(7) as usize;
        let noise = 90 + scramble(seed ^ day as u64) % 21;
        let count = (per_day * WEEKDAYS[weekday] * noise / 10_000).clamp(1, left).min(u32::MAX.into());
        days.push(Day {
            day,
            first_request: 0,
            requests: count as u32,
            gap: [has_gap(day), has_gap(day + 1)],
            is_warm: date(day).is_some_and(|date| (5..10).contains(&date.month())),
            shuffle: (coprime(count), scramble(seed ^ !day as u64) % count),
        });
        left -= count;
        day -= 1;
    }
    days.reverse();
    let mut first_request = 0;
    for day in &mut days {
        day.first_request = first_request;
        first_request += u64::from(day.requests);
    }
    days
}

fn date(day: i64) -> Option<Date> {
    let days = i32::try_from(day).ok()?;
    Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

/// Says whether the clocks of New York go forward on a day.
fn has_gap(day: i64) -> bool {
    match (TimeZone::get("America/New_York"), date(day)) {
        (Ok(zone), Some(date)) => {
            matches!(zone.to_ambiguous_timestamp(date.at(2, 30, 0, 0)).offset(), AmbiguousOffset::Gap { .. })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_order_is_the_sources_order() {
        let calendar = Calendar::new(5_000, 300, 1);
        let stamps: Vec<Stamp> =
            (0..calendar.versions()).map(|position| calendar.stamp(&calendar.entry(position))).collect();
        assert!(stamps.is_sorted_by(|left, right| left < right));
    }

    #[test]
    fn each_request_appears_once_and_changes_as_planned() {
        let calendar = Calendar::new(5_000, 300, 2);
        let mut versions: HashMap<u64, Vec<Entry>> = HashMap::new();
        for position in 0..calendar.versions() {
            let entry = calendar.entry(position);
            versions.entry(calendar.stamp(&entry).row_number).or_default().push(entry);
        }
        assert_eq!(versions.len(), 5_000);
        for entries in versions.values() {
            let planned: Vec<Stage> =
                calendar.section(&entries[0]).life.stages().map(|(stage, _)| stage).collect();
            assert!(entries.iter().map(|entry| entry.stage).eq(planned));
            for (entry, next) in entries.iter().zip(&entries[1..]) {
                assert_eq!(calendar.superseded_at_ms(entry), Some(next.updated_at_ms));
            }
            assert_eq!(calendar.superseded_at_ms(&entries[entries.len() - 1]), None);
        }
        let changed = versions.values().filter(|entries| entries.len() > 1).count();
        assert!((2_000..2_400).contains(&changed), "{changed}");
    }

    #[test]
    fn keys_are_unique_and_in_no_order() {
        let calendar = Calendar::new(3_000, 1_000, 3);
        for day in &calendar.days {
            let mut keys: Vec<u64> = (0..day.requests).map(|rank| day.key_number(rank)).collect();
            assert!(!keys.is_sorted());
            keys.sort_unstable();
            assert!(keys.into_iter().eq(day.first_request..day.first_request + u64::from(day.requests)));
        }
    }

    #[test]
    fn a_city_of_one_request_or_none_is_a_city() {
        assert_eq!(Calendar::new(0, 10, 1).versions(), 0);
        assert!(Calendar::new(1, 10_000, 1).versions() >= 1);
    }

    #[test]
    fn the_clocks_go_forward_in_march() {
        // 2026-03-08.
        assert!(has_gap(20_520) && !has_gap(20_519));
    }
}
