//! A generated city: as many requests as one likes, in constant memory, the same for the same seed.
//!
//! Nothing is kept but the calendar (`calendar`). A row is drawn from its number when it is asked for, so any page can
//! be written without the ones before it.

mod calendar;
mod complaints;
mod draw;
mod life;
mod outcome;
mod places;
mod row;
mod streets;
mod text;

use calendar::{Calendar, Day, Entry};
use complaints::{DOB, KINDS, Kind, Pace};
use draw::{Draw, Weighted};
use life::{Course, Life};
use places::PLACES;

use super::night;
use super::row_id::scramble;
use super::soql::Columns;
use super::table::{Stamp, Table};

/// Requests by hour of the day.
const HOURS: [u64; 24] = [
    657, 430, 119, 79, 73, 91, 134, 226, 415, 494, 528, 511, 481, 475, 474, 457, 463, 448, 469, 480, 520,
    580, 700, 697,
];
/// One request in so many says the same as the one before it: same second, type and place.
const REPEATS: u64 = 100;
const SLOTS: usize = 8_192;

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub requests: u64,
    pub requests_per_day: u64,
    pub seed: u64,
    pub shows_every_version: bool,
    pub visible_after_ms: i64,
}

pub struct City {
    seed: u64,
    calendar: Calendar,
    columns: Columns,
    hours: Weighted,
    places: Weighted,
    /// Kinds by how long a request lives, in winter and in summer.
    kinds: Vec<[Weighted; 2]>,
    shows_every_version: bool,
    visible_after_ms: i64,
}

impl City {
    pub fn new(plan: Plan) -> Self {
        let seed = scramble(plan.seed ^ 0x311);
        let places: Vec<u64> = PLACES.iter().map(|place| place.weight.into()).collect();
        let weights = |age: Age, weight: fn(&Kind) -> u64| {
            let weights: Vec<u64> = KINDS.iter().map(|kind| weight(kind) * age.share(kind)).collect();
            Weighted::new(&weights, SLOTS)
        };
        Self {
            seed,
            calendar: Calendar::new(plan.requests, plan.requests_per_day, seed),
            columns: Columns::default(),
            hours: Weighted::new(&HOURS, SLOTS),
            places: Weighted::new(&places, SLOTS),
            kinds: Age::ALL
                .iter()
                .map(|age| [weights(*age, |kind| kind.cold), weights(*age, |kind| kind.warm)])
                .collect(),
            shows_every_version: plan.shows_every_version,
            visible_after_ms: plan.visible_after_ms,
        }
    }

    /// Returns the draw of what, when and where; a repeated request has it from the one before.
    fn identity(&self, entry: &Entry) -> Draw {
        let request = self.calendar.day(entry.day).first_request + u64::from(entry.rank);
        let repeats = |request: u64| scramble(self.seed ^ request).is_multiple_of(REPEATS);
        let mut source = request;
        if entry.rank > 0 && repeats(request) && !repeats(request - 1) {
            let before = Entry { rank: entry.rank - 1, ..*entry };
            // Their lives must be alike, or the same request would be of two kinds.
            if self.calendar.section(&before).life == self.calendar.section(entry).life {
                source = request - 1;
            }
        }
        Draw::new(self.seed ^ scramble(source))
    }

    /// Returns the local time of creation: within the service day, more often in the evening than at dawn.
    fn created_ms(&self, entry: &Entry, draw: &mut Draw) -> i64 {
        let day = self.calendar.day(entry.day);
        let hour = self.hours.draw(draw) as i64;
        let of_day_ms = (hour * 3_600 + draw.below(3_600) as i64) * 1_000;
        let begins_ms = night::service_day_begins_ms(day.day);
        let midnight_ms = day.day * night::DAY_MS;
        let is_next_date = midnight_ms + of_day_ms < begins_ms;
        let created_ms = midnight_ms + of_day_ms + if is_next_date { night::DAY_MS } else { 0 };
        // Few clocks show a time that does not exist.
        let is_in_gap = hour == 2 && day.gap[usize::from(is_next_date)];
        if is_in_gap && !draw.chance(40_000) { created_ms + 3_600_000 } else { created_ms }
    }

    fn kind(&self, day: &Day, life: Life, draw: &mut Draw) -> &'static Kind {
        let [cold, warm] = &self.kinds[Age::of(life) as usize];
        &KINDS[if day.is_warm { warm } else { cold }.draw(draw)]
    }

    fn visible_at_ms(&self, updated_at_ms: i64, request: u64) -> i64 {
        updated_at_ms + night::lateness_ms(self.visible_after_ms, request)
    }
}

impl Table for City {
    fn len(&self) -> u64 {
        self.calendar.versions()
    }

    fn stamp(&self, position: u64) -> Stamp {
        self.calendar.stamp(&self.calendar.entry(position))
    }

    fn is_shown(&self, position: u64, now_ms: i64) -> bool {
        let entry = self.calendar.entry(position);
        let request = self.calendar.stamp(&entry).row_number;
        if self.visible_at_ms(entry.updated_at_ms, request) > now_ms {
            return false;
        }
        self.shows_every_version
            || self
                .calendar
                .superseded_at_ms(&entry)
                .is_none_or(|updated_at_ms| self.visible_at_ms(updated_at_ms, request) > now_ms)
    }

    fn write_row(&self, position: u64, out: &mut Vec<u8>) {
        row::write(self, &self.calendar.entry(position), out);
    }

    fn created_date(&self, position: u64) -> Option<i64> {
        let entry = self.calendar.entry(position);
        Some(self.created_ms(&entry, &mut self.identity(&entry)))
    }

    fn publishes_after_creation(&self) -> bool {
        true
    }

    fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Returns the time by which every request can be seen, though not every change that is still to come.
    fn all_visible_at_ms(&self) -> i64 {
        self.calendar.last_new_at_ms() + self.visible_after_ms
    }
}

/// How long a request lives: what is quickly done is mostly noise, what takes a year is mostly trees.
#[derive(Clone, Copy)]
enum Age {
    Quick,
    Days,
    Weeks,
    Months,
    Longer,
    Forever,
}

impl Age {
    const ALL: [Self; 6] = [Self::Quick, Self::Days, Self::Weeks, Self::Months, Self::Longer, Self::Forever];

    fn of(life: Life) -> Self {
        match (life.course, life.last_change) {
            (Course::NeverClosed, _) => Self::Forever,
            (Course::ClosedFromTheStart | Course::Mended, _) | (_, None) => Self::Quick,
            (Course::ClosedLater, Some(nights)) => match nights {
                0..=3 => Self::Days,
                4..=14 => Self::Weeks,
                15..=60 => Self::Months,
                _ => Self::Longer,
            },
        }
    }

    /// Returns how likely a kind is to live so long.
    fn share(self, kind: &Kind) -> u64 {
        if kind.agency == DOB && matches!(self, Self::Quick) {
            return 0;
        }
        let shares = match kind.pace {
            Pace::Hours => [1_000, 250, 30, 10, 0, 5],
            Pace::Days => [350, 1_000, 800, 300, 100, 100],
            Pace::Weeks => [100, 500, 1_000, 1_000, 500, 500],
            Pace::Months => [50, 100, 300, 1_000, 1_500, 1_500],
        };
        shares[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::soql::read_floating;
    use serde_json::Value;

    fn city(requests: u64) -> City {
        City::new(Plan {
            requests,
            requests_per_day: 10_000,
            seed: 5,
            shows_every_version: true,
            visible_after_ms: 0,
        })
    }

    fn rows(city: &City) -> Vec<Value> {
        (0..city.len())
            .map(|position| {
                let mut row = Vec::new();
                city.write_row(position, &mut row);
                serde_json::from_slice(&row).unwrap()
            })
            .collect()
    }

    fn per_million(rows: &[Value], meets: impl Fn(&Value) -> bool) -> u64 {
        rows.iter().filter(|row| meets(row)).count() as u64 * 1_000_000 / rows.len() as u64
    }

    #[test]
    fn rows_are_of_full_width() {
        let city = city(10_000);
        let mut page = Vec::new();
        for position in 0..5_000 {
            city.write_row(position, &mut page);
        }
        assert!((1_300..1_480).contains(&(page.len() / 5_000)), "{}", page.len() / 5_000);
    }

    #[test]
    fn what_the_table_says_is_what_the_row_says() {
        let city = city(3_000);
        for position in (0..city.len()).step_by(7) {
            let mut text = Vec::new();
            city.write_row(position, &mut text);
            let row: Value = serde_json::from_slice(&text).unwrap();
            let field = |name: &str| row[name].as_str().unwrap();
            let stamp = city.stamp(position);
            let created = read_floating(field("created_date")).map(|created| created.as_millisecond());
            assert_eq!(created, city.created_date(position));
            assert_eq!(field(":updated_at"), crate::simulator::soql::write_fixed(stamp.updated_at));
            assert_eq!(crate::simulator::row_id::hidden_number(field(":id").as_bytes()), stamp.row_number);
            assert!(city.created_date(position).unwrap() < stamp.updated_at.as_millisecond());
            assert_eq!(city.first_at_or_after(stamp), position);
        }
    }

    #[test]
    fn columns_are_those_of_the_dataset() {
        let city = city(2_000);
        for row in rows(&city) {
            assert!(row.as_object().unwrap().keys().all(|name| city.columns().kind(name).is_some()), "{row}");
        }
    }

    #[test]
    fn council_districts_are_those_of_the_lines_in_force() {
        let differs = nyc311_domain::QualityFlags::COUNCIL_DISTRICT_DIFFERS_FROM_POINT;
        let city = City::new(Plan {
            requests: 12_000,
            requests_per_day: 10,
            seed: 5,
            shows_every_version: true,
            visible_after_ms: 0,
        });
        let mut older = 0;
        for position in 0..city.len() {
            let mut row = Vec::new();
            city.write_row(position, &mut row);
            let request = nyc311_domain::enrich(&row).unwrap();
            if request.created_at < nyc311_domain::geography::CouncilLines::Of2023.since() {
                older += 1;
                assert!(!request.quality_flags.contains(differs), "{}", String::from_utf8_lossy(&row));
            }
        }
        assert!(older > 3_000, "{older}");
    }

    #[test]
    fn defects_come_at_the_rates_of_the_real_ones() {
        let rows = rows(&city(20_000));
        let latest: std::collections::HashMap<&str, &Value> =
            rows.iter().map(|row| (row["unique_key"].as_str().unwrap(), row)).collect();
        let rows: Vec<Value> = latest.into_values().cloned().collect();
        assert_eq!(rows.len(), 20_000);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("").to_owned();
        let closed = |row: &Value| text(row, "closed_date");
        let is_closed = |row: &Value| row["status"] == "Closed";
        let rate = |meets: &dyn Fn(&Value) -> bool| per_million(&rows, meets);
        for (name, found, expected) in [
            ("zip missing", rate(&|row| row.get("incident_zip").is_none()), 16_200),
            ("point missing", rate(&|row| row.get("latitude").is_none()), 19_300),
            (
                "borough unknown",
                rate(&|row| matches!(text(row, "borough").as_str(), "" | "Unspecified")),
                2_400,
            ),
            ("closed at midnight", rate(&|row| closed(row).ends_with("T00:00:00.000")), 67_600),
            ("closed when created", rate(&|row| closed(row) == text(row, "created_date")), 24_200),
            (
                "closed before created",
                rate(&|row| !closed(row).is_empty() && closed(row) < text(row, "created_date")),
                2_800,
            ),
            ("closed without date", rate(&|row| is_closed(row) && closed(row).is_empty()), 3_000),
            ("open with date", rate(&|row| !is_closed(row) && !closed(row).is_empty()), 3_700),
            ("not closed", rate(&|row| !is_closed(row)), 15_000),
        ] {
            assert!((expected / 2..expected * 2).contains(&found), "{name}: {found}, not about {expected}");
        }
    }
}
