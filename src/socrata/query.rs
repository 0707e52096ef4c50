//! The questions that are put to the source, in its dialect (SoQL).

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, TimestampRound, ToSpan, Unit};
use nyc311_domain::is_system_field;

use super::row::stated_updated_at;
use crate::poll::WindowOn;

/// The last row that a poll has seen, from which it goes on.
///
/// `row_id` is a token for the next page of the same poll and nothing else: the source orders ids by a number
/// that their text hides, so it is never compared here and never outlives the poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub updated_at: Timestamp,
    /// `:updated_at` as the row has it, which is sent back: a source may tell times apart that ours cannot.
    /// None for a cursor that comes from the database.
    pub stated: Option<String>,
    pub row_id: String,
}

impl Cursor {
    /// Returns the cursor of a row that has `updated_at` and `row_id`.
    pub fn of_row(updated_at: Timestamp, row_id: &str, row: &[u8]) -> Self {
        Self { updated_at, stated: stated_updated_at(row), row_id: row_id.to_owned() }
    }

    /// Says whether both stand at the same row.
    pub fn is_at(&self, other: &Self) -> bool {
        (self.updated_at, &self.row_id) == (other.updated_at, &other.row_id)
    }
}

/// One page of a walk by the pair (`:updated_at`, `:id`).
///
/// The pair is the only walk that loses nothing: about 5,000 rows share one `:updated_at`, and `$offset`
/// shifts while the table moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub on: WindowOn,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub after: Option<Cursor>,
    pub limit: usize,
}

impl PageRequest {
    /// Returns the query parameters, without `$where` where nothing is asked.
    pub fn parameters(&self, columns: &[String]) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("$select", select(columns))];
        let conditions = self.conditions();
        if !conditions.is_empty() {
            parameters.push(("$where", conditions.join(" AND ")));
        }
        parameters.push(("$order", ":updated_at,:id".to_owned()));
        parameters.push(("$limit", self.limit.to_string()));
        parameters
    }

    fn conditions(&self) -> Vec<String> {
        let mut conditions = Vec::new();
        if let Some(cursor) = &self.after {
            let time = literal(&cursor.stated.clone().unwrap_or_else(|| exactly(cursor.updated_at)));
            let id = literal(&cursor.row_id);
            conditions.push(format!(":updated_at >= {time} AND (:updated_at > {time} OR :id > {id})"));
        }
        let (column, since, until) = match self.on {
            WindowOn::UpdatedAt => {
                (":updated_at", self.since.map(exactly), self.until.map(round_up).map(exactly))
            }
            WindowOn::CreatedDate => {
                ("created_date", self.since.map(first_reading), self.until.map(end_of_readings))
            }
        };
        // A cursor on the window's own column lies inside the window, so it stands for its beginning.
        if let Some(since) = since
            && !(self.after.is_some() && self.on == WindowOn::UpdatedAt)
        {
            conditions.push(format!("{column} >= {}", literal(&since)));
        }
        if let Some(until) = until {
            conditions.push(format!("{column} < {}", literal(&until)));
        }
        conditions
    }
}

/// Returns `:*,*`, so that a new column arrives by itself and a missing one is no error, or the named
/// columns. The two columns without which no row can be stored are always asked for, and so are all system
/// fields, unless some are named: then these alone, among which the settings want the four that are needed.
fn select(columns: &[String]) -> String {
    let named = |name: &str| columns.iter().any(|column| column == name);
    let (system, own): (Vec<&str>, Vec<&str>) =
        columns.iter().map(String::as_str).partition(|column| is_system_field(column));
    let (every_system, every_own) = (system.is_empty() || named(":*"), own.is_empty() || named("*"));
    // The source wants the stars first, and no column beside the star that it is part of.
    let stars =
        [(":*", every_system), ("*", every_own)].into_iter().filter(|(_, all)| *all).map(|(star, _)| star);
    let mut names: Vec<&str> = stars.collect();
    if !every_own {
        names.extend(["unique_key", "created_date"].into_iter().filter(|required| !named(required)));
    }
    let rest = columns.iter().map(String::as_str);
    names.extend(rest.filter(|column| if is_system_field(column) { !every_system } else { !every_own }));
    names.join(",")
}

/// Quotes a text; a quote inside is doubled.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rounds up to a whole millisecond, finer than which not every source compares. A window that ends a little
/// later holds a few rows too many, which changes nothing.
fn round_up(at: Timestamp) -> Timestamp {
    let floor = round_down(at);
    if floor >= at { floor } else { floor.checked_add(1.millisecond()).unwrap_or(at) }
}

fn round_down(at: Timestamp) -> Timestamp {
    let floor = TimestampRound::new().smallest(Unit::Millisecond).mode(jiff::RoundMode::Floor);
    at.round(floor).unwrap_or(at)
}

/// Writes a point in time as system fields are written: UTC, milliseconds, `Z`; with more digits where it has
/// more, since what is asked from a time on must not begin after it.
pub(super) fn exactly(at: Timestamp) -> String {
    match at.subsec_nanosecond() {
        nanosecond if nanosecond % 1_000_000 == 0 => format!("{at:.3}"),
        nanosecond if nanosecond % 1_000 == 0 => format!("{at:.6}"),
        _ => format!("{at:.9}"),
    }
}

/// Returns the least reading of New York's clock that can mean `since` or later, as the city's own columns
/// are written: local time without offset.
///
/// In autumn an hour of readings happens twice, in spring one does not happen at all and is read with the
/// offset before the jump. Which offset a row meant is decided when it is enriched, so a window asks for each
/// reading that any of them puts inside: around a change of the clock for up to an hour more than it shows in
/// the end.
fn first_reading(since: Timestamp) -> String {
    let since = round_down(since);
    format!("{:.3}", readings(since).into_iter().min().unwrap_or_default())
}

/// Returns the reading of New York's clock from which on every one means `until` or later.
fn end_of_readings(until: Timestamp) -> String {
    let until = round_up(until);
    format!("{:.3}", readings(until).into_iter().max().unwrap_or_default())
}

/// Returns what New York's clock reads by each offset that is in force within an hour.
fn readings(at: Timestamp) -> [DateTime; 3] {
    let zone = TimeZone::get("America/New_York").unwrap_or(TimeZone::UTC);
    [-1, 0, 1].map(|hours| {
        let near = at.checked_add(SignedDuration::from_hours(hours)).unwrap_or(at);
        zone.to_offset(near).to_datetime(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn request(on: WindowOn) -> PageRequest {
        PageRequest { on, since: None, until: None, after: None, limit: 10 }
    }

    fn filter(request: &PageRequest) -> Option<String> {
        let parameters = request.parameters(&[]);
        parameters.into_iter().find(|(name, _)| *name == "$where").map(|(_, value)| value)
    }

    #[test]
    fn walks_by_the_pair() {
        let after = Cursor {
            updated_at: at("2026-05-21T01:40:37.582Z"),
            stated: None,
            row_id: "row-2km5_iap3-4ew6".into(),
        };
        let page = PageRequest {
            since: Some(at("2026-01-01T00:00:00Z")),
            until: Some(at("2026-06-01T00:00:00Z")),
            after: Some(after),
            ..request(WindowOn::UpdatedAt)
        };
        assert_eq!(
            page.parameters(&[]),
            [
                ("$select", ":*,*".to_owned()),
                (
                    "$where",
                    ":updated_at >= '2026-05-21T01:40:37.582Z' AND (:updated_at > '2026-05-21T01:40:37.582Z' OR :id \
                     > 'row-2km5_iap3-4ew6') AND :updated_at < '2026-06-01T00:00:00.000Z'"
                        .to_owned()
                ),
                ("$order", ":updated_at,:id".to_owned()),
                ("$limit", "10".to_owned()),
            ]
        );
    }

    #[test]
    fn asks_for_everything_without_a_window() {
        assert_eq!(filter(&request(WindowOn::UpdatedAt)), None);
    }

    #[test]
    fn a_quote_in_an_id_cannot_leave_its_literal() {
        let after =
            Cursor { updated_at: at("2026-01-01T00:00:00Z"), stated: None, row_id: "x' OR 'a'='a".into() };
        let asked = filter(&PageRequest { after: Some(after), ..request(WindowOn::UpdatedAt) }).unwrap();
        assert!(asked.ends_with(":id > 'x'' OR ''a''=''a')"), "{asked}");
    }

    #[test]
    fn creation_is_asked_for_in_new_york_time() {
        let page = PageRequest {
            since: Some(at("2026-01-15T05:00:00Z")),
            until: Some(at("2026-07-15T04:00:00Z")),
            after: Some(Cursor {
                updated_at: at("2026-02-01T01:36:00Z"),
                stated: None,
                row_id: "row-1".into(),
            }),
            ..request(WindowOn::CreatedDate)
        };
        let asked = filter(&page).unwrap();
        assert!(asked.starts_with(":updated_at >= '2026-02-01T01:36:00.000Z' AND ("), "{asked}");
        assert!(
            asked.ends_with(
                "AND created_date >= '2026-01-15T00:00:00.000' AND created_date < '2026-07-15T00:00:00.000'"
            ),
            "{asked}"
        );
    }

    #[test]
    fn a_window_finer_than_milliseconds_leaves_nothing_out() {
        let page = PageRequest {
            since: Some(at("2026-01-01T00:00:00.000100Z")),
            until: Some(at("2026-01-02T00:00:00.000100Z")),
            ..request(WindowOn::UpdatedAt)
        };
        assert_eq!(
            filter(&page).unwrap(),
            ":updated_at >= '2026-01-01T00:00:00.000100Z' AND :updated_at < '2026-01-02T00:00:00.001Z'"
        );
        assert_eq!(exactly(at("2026-01-01T00:00:00.5Z")), "2026-01-01T00:00:00.500Z");
        assert_eq!(exactly(at("2026-01-01T00:00:00.123456789Z")), "2026-01-01T00:00:00.123456789Z");
        assert_eq!(exactly(round_up(at("1969-12-31T23:59:59.9991Z"))), "1970-01-01T00:00:00.000Z");
        assert_eq!(exactly(round_down(at("1969-12-31T23:59:59.9991Z"))), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_row_is_followed_by_its_own_text() {
        for stated in [
            "2026-05-11T01:37:29.631250Z",
            "2026-05-11T01:37:29.6312504567891Z",
            "2026-05-10T21:37:29.63125-04:00",
        ] {
            let row = format!("{{\":id\":\"row-1\",\":updated_at\":\" {stated} \"}}");
            let updated_at = nyc311_domain::peek(row.as_bytes()).updated_at.unwrap();
            let after = Some(Cursor::of_row(updated_at, "row-1", row.as_bytes()));
            let asked = filter(&PageRequest { after, ..request(WindowOn::UpdatedAt) }).unwrap();
            assert_eq!(
                asked,
                format!(":updated_at >= '{stated}' AND (:updated_at > '{stated}' OR :id > 'row-1')")
            );
        }
        let after = Some(Cursor {
            updated_at: at("2026-05-11T01:37:29.63125Z"),
            stated: None,
            row_id: "row-1".into(),
        });
        let asked = filter(&PageRequest { after, ..request(WindowOn::UpdatedAt) }).unwrap();
        assert!(asked.starts_with(":updated_at >= '2026-05-11T01:37:29.631250Z' AND"), "{asked}");
    }

    /// Returns every moment that the program may place a `created_date` at.
    fn moments(reading: &str) -> Vec<Timestamp> {
        use nyc311_domain::time::{Moment, StatedTime, parse};
        let Some(StatedTime::Local(local)) = parse(reading) else { panic!("{reading}") };
        match local.in_new_york().unwrap() {
            Moment::Once(moment) | Moment::InGap(moment) => vec![moment],
            Moment::Twice { first, second } => vec![first, second],
        }
    }

    /// Minutes around the changes of the clock of many years, and around days without one.
    fn minute() -> impl Strategy<Value = DateTime> {
        let changes = [
            "1918-03-31",
            "1942-02-09",
            "1945-09-30",
            "1967-04-30",
            "1974-01-06",
            "1975-02-23",
            "1987-04-05",
            "2006-10-29",
            "2007-03-11",
            "2019-11-03",
            "2024-03-10",
            "2024-11-03",
            "2025-11-02",
            "2026-03-08",
            "2026-07-01",
            "2030-11-03",
        ];
        (prop::sample::select(changes.to_vec()), -300_i64..540).prop_map(|(day, minutes)| {
            let midnight = day.parse::<jiff::civil::Date>().unwrap().at(0, 0, 0, 0);
            midnight.checked_add(minutes.minutes()).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_window_on_creation_asks_for_every_row_that_may_lie_in_it(
            reading in minute(),
            (from, minutes) in (-400_i64..400, 1_i64..400),
            millis in 0_i64..2,
        ) {
            let reading = format!("{reading:.3}");
            for moment in moments(&reading) {
                // Windows around the moment, so that many hold it and many miss it by little.
                let since = moment + SignedDuration::from_mins(from) + SignedDuration::from_millis(millis);
                let until = since + SignedDuration::from_mins(minutes);
                let (first, end) = (first_reading(since), end_of_readings(until));
                if since <= moment && moment < until {
                    prop_assert!(first <= reading && reading < end, "{reading} is {moment}, in {since}..{until}");
                }
                // And not for much more: an hour around a change.
                let slack = SignedDuration::from_hours(1);
                if !(since - slack..until + slack).contains(&moment) && moments(&reading).len() == 1 {
                    prop_assert!(reading < first || end <= reading, "{reading} is {moment}, far from {since}..{until}");
                }
            }
        }
    }

    #[test]
    fn windows_that_meet_in_the_repeated_hour_leave_no_reading_out() {
        let asked = |since: &str, until: &str| (first_reading(at(since)), end_of_readings(at(until)));
        let (first, end) = asked("2024-11-03T05:00:00Z", "2024-11-03T06:00:00Z");
        assert!(
            first.as_str() <= "2024-11-03T01:00:00.000" && end.as_str() >= "2024-11-03T02:00:00.000",
            "{first} {end}"
        );
        let (first, end) = asked("2024-11-03T06:00:00Z", "2024-11-03T07:00:00Z");
        assert!(
            first.as_str() <= "2024-11-03T01:00:00.000" && end.as_str() >= "2024-11-03T02:00:00.000",
            "{first} {end}"
        );
        let (first, _) = asked("2024-11-03T07:00:00Z", "2024-11-03T08:00:00Z");
        assert_eq!(first, "2024-11-03T02:00:00.000");
        let (first, _) = asked("2026-03-08T07:30:00Z", "2026-03-08T08:00:00Z");
        assert_eq!(first, "2026-03-08T02:30:00.000");
    }

    #[test]
    fn named_columns_narrow_the_answer() {
        let columns = ["agency".to_owned(), "unique_key".to_owned()];
        assert_eq!(select(&columns), ":*,created_date,agency,unique_key");
    }

    #[test]
    fn named_system_fields_narrow_the_answer_too() {
        let select = |columns: &str| select(&columns.split(',').map(str::to_owned).collect::<Vec<_>>());
        let four = ":id,:updated_at,:version,:created_at";
        assert_eq!(select(four), format!("*,{four}"));
        assert_eq!(select(&format!("*,{four}")), format!("*,{four}"));
        assert_eq!(select(&format!("{four},agency")), format!("unique_key,created_date,{four},agency"));
        assert_eq!(select(&format!("{four},:@computed_region_x,*,agency,:sid")), format!("*,{four},:sid"));
        assert_eq!(
            select("agency,:@computed_region_x"),
            ":*,unique_key,created_date,agency,:@computed_region_x"
        );
        assert_eq!(select(":*,*"), ":*,*");
        assert_eq!(select(":*,:id,agency"), ":*,unique_key,created_date,agency");
    }
}
