//! What a request's status says about its life: the state.
//!
//! The state follows from `status` alone. `closed_date` is no state: every Department of Buildings row
//! arrives with a closed date equal to the created date while its status says Open.

use jiff::Timestamp;

/// The small set of states that every spelling of a status maps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Open,
    InProgress,
    Pending,
    Closed,
    Cancelled,
    Unknown,
}

/// Every spelling of a status seen so far, in small letters.
const SPELLINGS: [(&str, State); 14] = [
    ("closed", State::Closed),
    ("in progress", State::InProgress),
    ("open", State::Open),
    ("pending", State::Pending),
    ("assigned", State::InProgress),
    ("started", State::InProgress),
    ("email sent", State::InProgress),
    ("draft", State::Open),
    ("new", State::Open),
    ("unassigned", State::Open),
    ("cancel", State::Cancelled),
    ("cancelled", State::Cancelled),
    ("canceled", State::Cancelled),
    ("unspecified", State::Unknown),
];

/// Statuses that name the state first and then a detail, in small letters: `Closed - By Other`,
/// `Open - Pending`.
const BEGINNINGS: [(&str, State); 2] = [("closed -", State::Closed), ("open -", State::Open)];

/// Agencies that set the closed date to the created one by rule, whatever became of the request, so that such
/// a date says nothing: all 2,151 rows of the Department of Buildings of April to June 2026 came so while
/// their status said Open.
const CLOSED_ON_CREATION: [&str; 1] = ["DOB"];

impl State {
    pub const ALL: [Self; 6] =
        [Self::Open, Self::InProgress, Self::Pending, Self::Closed, Self::Cancelled, Self::Unknown];

    /// Reads a status in any case. `None` for a spelling that is not known, which is worth a look.
    pub fn from_status(status: &str) -> Option<Self> {
        let status = status.trim();
        let begins = |beginning: &str| {
            status.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
        };
        let spelt = SPELLINGS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(status));
        spelt.or_else(|| BEGINNINGS.iter().find(|(beginning, _)| begins(beginning))).map(|(_, state)| *state)
    }

    /// Returns the state's name in the tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Pending => "pending",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Says whether someone still waits for the city. Where the status says nothing, a closed date is the
    /// only evidence there is, unless it is one by rule (`CLOSED_ON_CREATION`).
    pub fn is_open(self, agency: &str, created_at: Timestamp, closed_at: Option<Timestamp>) -> bool {
        match self {
            Self::Open | Self::InProgress | Self::Pending => true,
            Self::Closed | Self::Cancelled => false,
            Self::Unknown => closed_at
                .is_none_or(|closed_at| closed_at == created_at && CLOSED_ON_CREATION.contains(&agency)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_date_that_an_agency_sets_by_rule_closes_nothing() {
        let [created, later] = [0, 60].map(|second| Timestamp::from_second(second).unwrap());
        let is_open = |state: State, agency, closed_at| state.is_open(agency, created, closed_at);
        assert!(is_open(State::Unknown, "DOB", Some(created)));
        assert!(!is_open(State::Unknown, "DOB", Some(later)));
        assert!(!is_open(State::Unknown, "NYPD", Some(created)));
        assert!(is_open(State::Unknown, "NYPD", None));
        // Where the status speaks, dates do not count.
        assert!(!is_open(State::Closed, "DOB", Some(created)));
        assert!(is_open(State::Open, "NYPD", Some(later)));
    }

    #[test]
    fn every_spelling_maps_to_one_state_in_any_case() {
        for (status, state) in [
            ("Closed", State::Closed),
            ("CLOSED", State::Closed),
            ("In Progress", State::InProgress),
            ("Pending", State::Pending),
            ("Open", State::Open),
            ("Assigned", State::InProgress),
            ("Started", State::InProgress),
            ("Cancel", State::Cancelled),
            ("Unspecified", State::Unknown),
            ("Closed - Testing", State::Closed),
            ("CLOSED - By Other", State::Closed),
            ("Open - Pending", State::Open),
            ("open - ", State::Open),
        ] {
            assert_eq!(State::from_status(status), Some(state), "{status}");
        }
        for status in ["Escalated", "Opened - Pending", "Closed by other", "Pending - Closed - x", "Closéd -"]
        {
            assert_eq!(State::from_status(status), None, "{status}");
        }
    }
}
