//! What a version says about the end of its request: status, dates, resolution.

use super::complaints::{AGENCIES, ComplaintKind, DHS, DOB, DOT, NYPD, Pace};
use super::draw::Draw;
use super::life::{Course, Life, Stage};
use crate::night::{DAY_MS, service_day_begins_ms};

const SECOND_MS: i64 = 1_000;
/// A request that is closed when it appears was closed within this time: the night comes 18 hours after the
/// day.
const LONGEST_QUICK_CASE_SECONDS: u64 = 17 * 3_600;
/// 1900-01-01 and 2050-01-01, as blunders have it.
const LONG_AGO_MS: i64 = -2_208_988_800_000;
const FAR_AHEAD_MS: i64 = 2_524_608_000_000;

#[derive(Debug)]
pub struct Outcome {
    pub status: &'static str,
    pub closed_ms: Option<i64>,
    pub resolution: Option<&'static str>,
    pub resolution_ms: Option<i64>,
}

/// The request whose outcome is asked for.
pub struct Case<'a> {
    pub kind: &'a ComplaintKind,
    pub life: Life,
    /// Its service day, and its local time of creation.
    pub day: i64,
    pub created_ms: i64,
}

impl Case<'_> {
    /// Returns what the version at `stage` says. `draw` has to be the same for all stages.
    pub fn outcome(&self, stage: Stage, mut draw: Draw) -> Outcome {
        let closing = self.closing(&mut draw);
        let is_closed = match self.life.course {
            Course::ClosedFromTheStart | Course::Mended => true,
            Course::ClosedLater => stage == Stage::Last,
            Course::NeverClosed => false,
        };
        if !is_closed {
            return self.open(stage, &mut draw);
        }
        let agency = &AGENCIES[self.kind.agency];
        let resolution = draw.pick(agency.closings);
        // More than half of the resolutions are written after the closing, some carry a date alone.
        let written_ms = match draw.below(1_000) {
            0..23 => self.created_ms - self.created_ms.rem_euclid(DAY_MS),
            23..560 => closing.unwrap_or(self.created_ms) + (2 + draw.below(600) as i64) * SECOND_MS,
            _ => closing.unwrap_or(self.created_ms),
        };
        let is_mended = self.life.course == Course::Mended && stage == Stage::Last;
        let (resolution, written_ms) = if is_mended {
            let mended_ms = self.later_ms(&mut draw);
            (agency.closings.last().copied(), mended_ms)
        } else {
            (resolution, written_ms)
        };
        Outcome { status: "Closed", closed_ms: closing, resolution, resolution_ms: Some(written_ms) }
    }

    fn open(&self, stage: Stage, draw: &mut Draw) -> Outcome {
        let status = match (stage, draw.below(100)) {
            (Stage::TakenUp, 0..30) => "Assigned",
            (Stage::TakenUp, _) => "In Progress",
            _ if self.kind.agency == DOB => "Open",
            (_, 0..84) => "In Progress",
            (_, 84..97) => "Open",
            (_, 97) => "Pending",
            (_, 98) => "Assigned",
            _ => "Started",
        };
        // Buildings files its requests as closed in the second in which they come in, and says that they are
        // open.
        let has_closed_date = self.kind.agency == DOB
            || self.kind.agency == DOT && self.life.course == Course::NeverClosed && draw.chance(900_000);
        let progress = AGENCIES[self.kind.agency].progress;
        let is_told = stage == Stage::TakenUp || self.kind.agency == DOB;
        Outcome {
            status,
            closed_ms: has_closed_date.then_some(self.created_ms),
            resolution: is_told.then_some(progress),
            resolution_ms: is_told.then(|| match stage {
                Stage::TakenUp => service_day_begins_ms(self.day + 2) + self.work_time_ms(draw),
                _ => self.created_ms,
            }),
        }
    }

    /// Returns the closing date that the request is given, with the blunders of the real ones.
    fn closing(&self, draw: &mut Draw) -> Option<i64> {
        let agency = self.kind.agency;
        let closed_ms = match self.life {
            Life { course: Course::ClosedLater, .. } => self.later_ms(draw),
            _ => self.created_ms + self.quick_seconds(draw) as i64 * SECOND_MS,
        };
        let midnight_ms = closed_ms - closed_ms.rem_euclid(DAY_MS);
        if agency == DHS && draw.chance(150_000) {
            return None;
        }
        Some(if agency == DOT && draw.chance(56_000) {
            self.created_ms - (1 + draw.below(3 * 86_400) as i64) * SECOND_MS
        } else if draw.chance(7) {
            LONG_AGO_MS
        } else if draw.below(5_000_000) == 0 {
            FAR_AHEAD_MS
        } else if draw.chance(21_000) {
            self.created_ms
        } else if agency != NYPD && midnight_ms >= self.created_ms && draw.chance(170_000) {
            midnight_ms
        } else {
            closed_ms
        })
    }

    fn quick_seconds(&self, draw: &mut Draw) -> u64 {
        match self.kind.pace {
            Pace::Hours => {
                let octave = 240 << draw.below(7);
                octave + draw.below(octave)
            }
            Pace::Days | Pace::Weeks | Pace::Months => 1_800 + draw.below(LONGEST_QUICK_CASE_SECONDS - 1_800),
        }
    }

    /// Returns a time on the day whose night publishes the last change.
    fn later_ms(&self, draw: &mut Draw) -> i64 {
        let nights = i64::from(self.life.last_change.unwrap_or(0));
        service_day_begins_ms(self.day + nights) + self.work_time_ms(draw)
    }

    /// Returns the time since the beginning of a service day: any time for the police, 08:00 to 18:00 for
    /// others.
    fn work_time_ms(&self, draw: &mut Draw) -> i64 {
        let seconds =
            if self.kind.pace == Pace::Hours { draw.below(86_400) } else { 19_200 + draw.below(36_000) };
        seconds as i64 * SECOND_MS
    }
}
