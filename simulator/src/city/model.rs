//! What a seed decides: which request is made when, where, and about what.

use super::calendar::{Calendar, Day, Entry};
use super::complaints::{ComplaintKind, DOB, KINDS, Pace};
use super::draw::{Draw, Weighted};
use super::life::{Course, Life};
use super::places::PLACES;
use crate::night;
use crate::row_id::scramble;

/// Requests by hour of the day.
const HOURS: [u64; 24] = [
    657, 430, 119, 79, 73, 91, 134, 226, 415, 494, 528, 511, 481, 475, 474, 457, 463, 448, 469, 480, 520,
    580, 700, 697,
];
/// One request in so many says the same as the one before it: same second, type and place.
const REPEATS: u64 = 100;
const SLOTS: usize = 8_192;

/// The calendar of a city, and the weights by which its requests are drawn.
pub struct Model {
    pub seed: u64,
    pub calendar: Calendar,
    pub places: Weighted,
    hours: Weighted,
    /// Kinds by how long a request lives, in winter and in summer.
    kinds: Vec<[Weighted; 2]>,
}

impl Model {
    pub fn new(requests: u64, requests_per_day: u64, seed: u64) -> Self {
        let seed = scramble(seed ^ 0x311);
        let places: Vec<u64> = PLACES.iter().map(|place| place.weight.into()).collect();
        let weights = |age: Age, weight: fn(&ComplaintKind) -> u64| {
            let weights: Vec<u64> = KINDS.iter().map(|kind| weight(kind) * age.share(kind)).collect();
            Weighted::new(&weights, SLOTS)
        };
        Self {
            seed,
            calendar: Calendar::new(requests, requests_per_day, seed),
            places: Weighted::new(&places, SLOTS),
            hours: Weighted::new(&HOURS, SLOTS),
            kinds: Age::ALL
                .iter()
                .map(|age| [weights(*age, |kind| kind.cold), weights(*age, |kind| kind.warm)])
                .collect(),
        }
    }

    /// Returns the draw of what, when and where; a repeated request has it from the one before.
    pub fn identity(&self, entry: &Entry) -> Draw {
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
    pub fn created_ms(&self, entry: &Entry, draw: &mut Draw) -> i64 {
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

    /// Draws what the request is about, as its time of year and its life have it.
    pub fn kind(&self, day: &Day, life: Life, draw: &mut Draw) -> &'static ComplaintKind {
        let [cold, warm] = &self.kinds[Age::of(life) as usize];
        &KINDS[if day.is_warm { warm } else { cold }.draw(draw)]
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
    fn share(self, kind: &ComplaintKind) -> u64 {
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
