//! The lines of the council districts, which are drawn anew after each census, and when they were in force.
//!
//! New lines are in force from the first day of the council that was elected under them. `docs/geography.md`
//! says how well the city's own rows agree.

use jiff::Timestamp;

/// One set of lines, by the year of its making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CouncilLines {
    Of2013,
    Of2023,
}

impl CouncilLines {
    /// Every set that there is, oldest first. Those of 2003, in force before, are in no source of the
    /// boundaries.
    pub const ALL: [Self; 2] = [Self::Of2013, Self::Of2023];

    /// Returns the moment from which they were in force: midnight in New York.
    pub const fn since(self) -> Timestamp {
        match self {
            // 2014-01-01 and 2024-01-01, 05:00 in UTC.
            Self::Of2013 => Timestamp::constant(1_388_552_400, 0),
            Self::Of2023 => Timestamp::constant(1_704_085_200, 0),
        }
    }

    /// Returns the lines that were in force at a moment; `None` before the oldest.
    pub fn in_force_at(moment: Timestamp) -> Option<Self> {
        Self::ALL.into_iter().rfind(|lines| lines.since() <= moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_lines_are_in_force_from_the_midnight_of_new_years_day() {
        let at = |moment: &str| CouncilLines::in_force_at(moment.parse().unwrap());
        assert_eq!(at("2013-12-31T23:59:59.999-05:00"), None);
        assert_eq!(at("2014-01-01T00:00:00-05:00"), Some(CouncilLines::Of2013));
        assert_eq!(at("2023-12-31T23:59:59.999-05:00"), Some(CouncilLines::Of2013));
        assert_eq!(at("2024-01-01T00:00:00-05:00"), Some(CouncilLines::Of2023));
        assert!(CouncilLines::ALL.is_sorted_by_key(|lines| lines.since()));
    }
}
