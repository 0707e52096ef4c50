//! What happens to a request after it is published: a fixed plan, so that a night can be computed.
//!
//! The rows of a service day are numbered by rank. Which ranks change, and how many nights later, is the same
//! for every day: 54.5 % are closed when they first appear, 44 % change later after one of 19 delays, 1.5 %
//! never close. So the changes of a night are ranges of ranks of some earlier days, and nothing has to be
//! remembered.

/// Shares are counted in parts of a day's rows.
pub const PARTS: u64 = 100_000;

/// Delay in nights, and the parts of a day's rows whose last change comes so late. In the rows of a real day
/// 25.9 % still changed after two days, 14.2 % after seven, 4.3 % after thirty.
const LAST_CHANGES: [(u32, u64); 19] = [
    (1, 10_000),
    (2, 8_000),
    (3, 4_000),
    (4, 2_500),
    (5, 2_000),
    (6, 1_600),
    (7, 1_600),
    (10, 3_500),
    (14, 2_900),
    (21, 2_200),
    (30, 1_400),
    (45, 1_200),
    (60, 800),
    (90, 800),
    (120, 500),
    (180, 400),
    (365, 300),
    (678, 150),
    (1_000, 150),
];
const NEVER_CLOSED: u64 = 1_500;
/// A long case is often taken up soon: two nights after it appeared.
const TAKEN_UP_AFTER: u32 = 2;
const LONG_CASE_NIGHTS: u32 = 10;
const TAKEN_UP_PERCENT: u64 = 40;
/// Some changes mend a request that was closed from the start.
const MENDED_PERCENT: u64 = 7;

/// The rows of a day whose lives are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Nights from the first version to the last; none where the first is the last.
    pub last_change: Option<u32>,
    pub is_taken_up: bool,
    pub course: Course,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    ClosedFromTheStart,
    ClosedLater,
    /// Closed from the start, and corrected once.
    Mended,
    NeverClosed,
}

/// What a version says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    First,
    TakenUp,
    Last,
}

impl Life {
    /// Returns the stages that a row goes through, with their delays in nights.
    pub fn stages(self) -> impl Iterator<Item = (Stage, u32)> {
        let taken_up = self.is_taken_up.then_some((Stage::TakenUp, TAKEN_UP_AFTER));
        let last = self.last_change.map(|nights| (Stage::Last, nights));
        [Some((Stage::First, 0)), taken_up, last].into_iter().flatten()
    }

    /// Returns the stage after `stage`, with its delay.
    pub fn after(self, stage: Stage) -> Option<(Stage, u32)> {
        self.stages().skip_while(|(known, _)| *known != stage).nth(1)
    }
}

/// A range of a day's rows, in parts, and their life.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    pub from: u64,
    pub until: u64,
    pub life: Life,
}

/// Returns the sections of a day, without gaps.
pub fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut add = |parts: u64, life: Life| {
        let from = sections.last().map_or(0, |section| section.until);
        sections.push(Section { from, until: from + parts, life });
    };
    for (nights, parts) in LAST_CHANGES {
        let mended = parts * MENDED_PERCENT / 100;
        let taken_up = if nights >= LONG_CASE_NIGHTS { (parts - mended) * TAKEN_UP_PERCENT / 100 } else { 0 };
        let life = |is_taken_up, course| Life { last_change: Some(nights), is_taken_up, course };
        add(mended, life(false, Course::Mended));
        add(taken_up, life(true, Course::ClosedLater));
        add(parts - mended - taken_up, life(false, Course::ClosedLater));
    }
    let unchanged = |course| Life { last_change: None, is_taken_up: false, course };
    add(NEVER_CLOSED, unchanged(Course::NeverClosed));
    let left = PARTS - LAST_CHANGES.iter().map(|(_, parts)| parts).sum::<u64>() - NEVER_CLOSED;
    add(left, unchanged(Course::ClosedFromTheStart));
    sections.retain(|section| section.from < section.until);
    sections
}

/// Returns the first rank of a day of `rows` rows that lies at or past `part`.
pub fn first_rank(part: u64, rows: u32) -> u32 {
    (part * u64::from(rows)).div_ceil(PARTS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_cover_a_day_whatever_its_size() {
        for rows in [0, 1, 2, 3, 17, 999, 10_000, 12_345] {
            let covered: u32 = sections()
                .iter()
                .map(|section| first_rank(section.until, rows) - first_rank(section.from, rows))
                .sum();
            assert_eq!(covered, rows);
        }
    }

    #[test]
    fn about_44_percent_change_later() {
        let later: u64 = sections()
            .iter()
            .filter(|section| section.life.last_change.is_some())
            .map(|section| section.until - section.from)
            .sum();
        assert_eq!(later, 44_000);
    }
}
