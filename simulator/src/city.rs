//! A generated city: as many requests as one likes, in constant memory, the same for the same seed.
//!
//! Nothing is kept but the calendar (`calendar`). A row is drawn from its number when it is asked for, so any
//! page can be written without the ones before it.

mod calendar;
mod complaints;
mod draw;
mod life;
mod model;
mod outcome;
mod places;
mod row;
mod streets;
mod text;

use self::model::Model;
use crate::night;
use crate::soql::KnownColumns;
use crate::stamp::Stamp;
use crate::table::Table;

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
    model: Model,
    columns: KnownColumns,
    shows_every_version: bool,
    visible_after_ms: i64,
}

impl City {
    pub fn new(plan: Plan) -> Self {
        Self {
            model: Model::new(plan.requests, plan.requests_per_day, plan.seed),
            columns: KnownColumns::default(),
            shows_every_version: plan.shows_every_version,
            visible_after_ms: plan.visible_after_ms,
        }
    }

    fn visible_at_ms(&self, updated_at_ms: i64, request: u64) -> i64 {
        updated_at_ms + night::lateness_ms(self.visible_after_ms, request)
    }
}

impl Table for City {
    fn len(&self) -> u64 {
        self.model.calendar.versions()
    }

    fn stamp(&self, position: u64) -> Stamp {
        self.model.calendar.stamp(&self.model.calendar.entry(position))
    }

    fn is_shown(&self, position: u64, now_ms: i64) -> bool {
        let entry = self.model.calendar.entry(position);
        let request = self.model.calendar.stamp(&entry).row_number;
        if self.visible_at_ms(entry.updated_at_ms, request) > now_ms {
            return false;
        }
        self.shows_every_version
            || self
                .model
                .calendar
                .superseded_at_ms(&entry)
                .is_none_or(|updated_at_ms| self.visible_at_ms(updated_at_ms, request) > now_ms)
    }

    fn write_row(&self, position: u64, out: &mut Vec<u8>) {
        row::write(&self.model, &self.model.calendar.entry(position), out);
    }

    fn created_date(&self, position: u64) -> Option<i64> {
        let entry = self.model.calendar.entry(position);
        Some(self.model.created_ms(&entry, &mut self.model.identity(&entry)))
    }

    fn publishes_after_creation(&self) -> bool {
        true
    }

    fn columns(&self) -> &KnownColumns {
        &self.columns
    }

    /// Returns the time by which every request can be seen, though not every change that is still to come.
    fn all_visible_at_ms(&self) -> i64 {
        self.model.calendar.last_new_at_ms() + self.visible_after_ms
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::soql::read_floating;

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
            assert_eq!(field(":updated_at"), crate::soql::write_fixed(stamp.updated_at));
            assert_eq!(crate::row_id::hidden_number(field(":id").as_bytes()), stamp.row_number);
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
