//! The quality flags: what was repaired and what is doubted, one bit each.
//!
//! A bit, once given, keeps its meaning for ever: new flags take the next free one, dropped ones leave a
//! hole. The texts here are the ones that the table `quality_flag` and `docs/quality.md` show.

use std::fmt;

/// What a flag means and when it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagInfo {
    /// The flag is the bit `1 << bit` of `quality_flags`.
    pub bit: u8,
    pub name: &'static str,
    /// `repair`: a value was filled in, corrected or emptied; `doubt`: a value stands as stated, and is
    /// questionable.
    pub kind: &'static str,
    pub meaning: &'static str,
    pub rule: &'static str,
}

/// A set of quality flags, as the table stores it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct QualityFlags(i64);

impl QualityFlags {
    /// Returns the bits as the table stores them.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// Returns the set with these bits; bits that no flag has are dropped.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits & EVERY)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the flag with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.iter().find(|flag| flag.name == name).map(|flag| Self(1 << flag.bit))
    }

    /// Walks the names of the flags in the set, by bit.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            // Takes the lowest bit away; nothing is left of zero.
            rest &= rest.wrapping_sub(1);
            NAMES.get(bit).copied()
        })
    }
}

impl fmt::Debug for QualityFlags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

macro_rules! flags {
    ($($bit:literal $constant:ident $name:literal $kind:ident: $meaning:literal, $rule:literal;)*) => {
        impl QualityFlags {
            $(#[doc = $meaning] pub const $constant: Self = Self(1 << $bit);)*
        }

        /// Every flag, by bit.
        pub static ALL: &[FlagInfo] = &[
            $(FlagInfo { bit: $bit, name: $name, kind: stringify!($kind), meaning: $meaning, rule: $rule },)*
        ];

        const EVERY: i64 = 0 $(| 1 << $bit)*;

        /// Names by bit; a bit that no flag has is never in a set.
        const NAMES: [&str; 64] = {
            let mut names = [""; 64];
            $(names[$bit] = $name;)*
            names
        };
    };
}

flags! {
    // The row as it came.
    0 SOURCE_TIME_MISSING "source_time_missing" doubt:
        "The row came without a readable :updated_at.",
        "source_updated_at is :created_at, or 1970-01-01 where that is missing too";
    1 VALUE_UNREADABLE "value_unreadable" doubt:
        "A value is not of its column's kind: a number, a date or a text that cannot be read as one.",
        "the column is empty; the value stands in stated, or in details where it is an array or an object";
    2 NUL_STRIPPED "nul_stripped" repair:
        "A text had NUL characters, which PostgreSQL cannot hold.",
        "NUL removed from columns and details";
    3 TEXT_DAMAGED "text_damaged" doubt:
        "A text has characters that were lost before it came here.",
        "half a surrogate pair, or U+FFFD; the half pair becomes U+FFFD";

    // Words.
    4 BLANKS_COLLAPSED "blanks_collapsed" repair:
        "A text had blanks around it or several in a row.",
        "trimmed; runs of blanks, tabs, line ends and no-break spaces become one blank";
    5 NOT_AVAILABLE_EMPTIED "not_available_emptied" repair:
        "A value said only that there is nothing to say.",
        "N/A or Unspecified, in any case, or an empty text becomes null, also in numbers and dates; in status, borough, community_board and open_data_channel_type the words are answers";
    6 DOUBLE_ENCODING_REPAIRED "double_encoding_repaired" repair:
        "A text had been encoded as UTF-8 twice.",
        "a whole run of characters beyond ASCII reads as UTF-8 once more, pairs only if they begin with Â or Ã";
    7 AGENCY_NAME_STANDARDISED "agency_name_standardised" repair:
        "The agency's name differs from the one name of its code.",
        "the name of the agency table replaces it";
    8 AGENCY_NAME_FILLED "agency_name_filled" repair:
        "The row names no agency beside its code.",
        "the name of the agency table fills it";
    9 COMPLAINT_TYPE_RESPELLED "complaint_type_respelled" repair:
        "The complaint type is spelt differently elsewhere.",
        "types that differ only by case take the spelling of the category table";
    10 COMPLAINT_TYPE_UNKNOWN "complaint_type_unknown" doubt:
        "The complaint type is not in the category table.",
        "category is other; first letters are capitals, so that spellings meet";
    11 AGENCY_MISSING "agency_missing" doubt:
        "The row names no agency.",
        "agency is Unspecified";
    12 COMPLAINT_TYPE_MISSING "complaint_type_missing" doubt:
        "The row names no complaint type.",
        "complaint_type is Unspecified, category is other";

    // State.
    13 STATUS_MISSING "status_missing" doubt:
        "The row has no status, or an unspecified one.",
        "state is unknown; the request counts as open unless it has a closed date, that of DOB at its creation aside";
    14 STATUS_UNKNOWN "status_unknown" doubt:
        "The status is none that is known.",
        "state is unknown; the request counts as open unless it has a closed date, that of DOB at its creation aside";
    15 CLOSED_WITHOUT_DATE "closed_without_date" doubt:
        "The status says closed, but there is no closed date.",
        "no response time";
    16 CLOSED_DATE_WHILE_OPEN "closed_date_while_open" doubt:
        "There is a closed date, but the status says open, in progress or pending.",
        "both are kept; no response time";

    // Time.
    17 TIME_IN_DST_GAP "time_in_dst_gap" repair:
        "A time lies in the hour that the clock skips in March.",
        "moved forward by an hour";
    18 REPEATED_HOUR_RESOLVED "repeated_hour_resolved" repair:
        "A time lies in the hour that the clock repeats in November, and the order of events says in which of the two.",
        "created is not after closed, and nothing that has happened is after :updated_at";
    19 REPEATED_HOUR_AMBIGUOUS "repeated_hour_ambiguous" doubt:
        "A time lies in the hour that the clock repeats in November, and nothing says in which of the two.",
        "the first is taken; an hour may be missing";
    20 CREATED_AT_MIDNIGHT "created_at_midnight" doubt:
        "Created at exactly midnight: the city knows the day only.",
        "00:00:00 on New York's clock, or on that of the stated offset";
    21 CREATED_AFTER_PUBLICATION "created_after_publication" doubt:
        "Created after the version that says so.",
        "created_at > :updated_at";
    22 CLOSED_PLACEHOLDER_EMPTIED "closed_placeholder_emptied" repair:
        "The closed date is a placeholder of 1899 or 1900.",
        "year 1900 or before, with an offset or without; closed_at is empty";
    23 CLOSED_AFTER_PUBLICATION "closed_after_publication" doubt:
        "Closed after the version that says so.",
        "closed_at > :updated_at; no response time";
    24 CLOSED_BEFORE_CREATED "closed_before_created" doubt:
        "Closed before it was created.",
        "closed_at < created_at; no response time";
    25 CLOSED_EQUALS_CREATED "closed_equals_created" doubt:
        "Closed in the second of its creation, often by rule of the agency.",
        "closed_at = created_at";
    26 CLOSED_AT_MIDNIGHT "closed_at_midnight" doubt:
        "Closed at exactly midnight: the city knows the day only.",
        "00:00:00 on New York's clock, or on that of the stated offset";
    27 RESOLUTION_BEFORE_CREATED "resolution_before_created" doubt:
        "The resolution was updated before the request was created; often a date without a time.",
        "resolution_updated_at < created_at";
    28 RESOLUTION_AFTER_CLOSED "resolution_after_closed" doubt:
        "The resolution was updated after the request was closed.",
        "resolution_updated_at > closed_at";
    29 RESOLUTION_AFTER_PUBLICATION "resolution_after_publication" doubt:
        "The resolution was updated after the version that says so.",
        "resolution_updated_at > :updated_at";
    30 DUE_BEFORE_CREATED "due_before_created" doubt:
        "Due before it was created.",
        "due_at < created_at";
    31 OTHER_PLACEHOLDER_EMPTIED "other_placeholder_emptied" repair:
        "The due date or the resolution date is a placeholder of 1899 or 1900.",
        "year 1900 or before, with an offset or without; the column is empty";

    // Place.
    32 BOROUGH_FROM_POINT "borough_from_point" repair:
        "No borough was stated; the point lies in this one.",
        "first source of a missing borough";
    33 BOROUGH_FROM_ZIP "borough_from_zip" repair:
        "No borough was stated; the ZIP lies in this one alone.",
        "second source of a missing borough";
    34 BOROUGH_FROM_COMMUNITY_BOARD "borough_from_community_board" repair:
        "No borough was stated; the community board names this one.",
        "third source of a missing borough";
    35 BOROUGH_UNKNOWN "borough_unknown" doubt:
        "No borough was stated, and nothing else in the row tells it.",
        "borough is empty";
    36 BOROUGH_DIFFERS_FROM_POINT "borough_differs_from_point" doubt:
        "The point lies in another borough than the stated one.",
        "the stated one stands; Marble Hill (10463) and Rikers Island (11370) are right as they are";
    37 ZIP_CUT "zip_cut" repair:
        "The ZIP had the four digits of a delivery route (ZIP+4).",
        "the first five digits stand";
    38 ZIP_IMPOSSIBLE "zip_impossible" repair:
        "The ZIP cannot be one: wrong length, letters, or a number that is not given out.",
        "incident_zip is empty";
    39 ZIP_DIFFERS_FROM_POINT "zip_differs_from_point" doubt:
        "The point lies in the area of another ZIP than the stated one.",
        "the stated one stands; zcta has the other";
    40 POINT_INCOMPLETE "point_incomplete" doubt:
        "Only one of latitude and longitude is stated.",
        "no place is computed";
    41 POINT_AT_ZERO "point_at_zero" doubt:
        "The point is (0, 0), in the Atlantic.",
        "no place is computed";
    42 POINT_WHOLE_DEGREES "point_whole_degrees" doubt:
        "The point has whole degrees, which no geocoder of the city gives.",
        "no place is computed";
    43 POINT_OUTSIDE_CITY "point_outside_city" doubt:
        "The point lies on no land of the five boroughs.",
        "in no borough's polygon; no place is computed";
    44 COMMUNITY_DISTRICT_FROM_POINT "community_district_from_point" repair:
        "No community board was stated; the point lies in this district.",
        "missing, Unspecified or unknown community_board";
    45 COMMUNITY_BOARD_UNKNOWN "community_board_unknown" doubt:
        "The community board is none of the 59 boards and 12 joint-interest areas.",
        "community_district comes from the point, if there is one";
    46 COMMUNITY_BOARD_DIFFERS_FROM_POINT "community_board_differs_from_point" doubt:
        "The point lies in another community district than the stated one.",
        "the stated one stands";
    47 COUNCIL_DISTRICT_FROM_POINT "council_district_from_point" repair:
        "No council district was stated; the point lies in this one.",
        "missing council_district; by the lines in force when it was created";
    48 COUNCIL_DISTRICT_DIFFERS_FROM_POINT "council_district_differs_from_point" doubt:
        "The point lies in another council district than the stated one.",
        "the stated one stands; by the lines in force when it was created, and not where those are not known";
    49 POLICE_PRECINCT_FROM_POINT "police_precinct_from_point" repair:
        "No police precinct was stated; the point lies in this one.",
        "missing police_precinct";
    50 POLICE_PRECINCT_DIFFERS_FROM_POINT "police_precinct_differs_from_point" doubt:
        "The point lies in another police precinct than the stated one.",
        "the stated one stands";
    51 BBL_DIFFERS_FROM_BOROUGH "bbl_differs_from_borough" doubt:
        "The tax lot (BBL) lies in another borough than the request.",
        "first digit of bbl; both stand; Marble Hill and Rikers Island are right as they are";
    52 BBL_IMPOSSIBLE "bbl_impossible" repair:
        "The tax lot cannot be one.",
        "not ten digits that begin with a borough's number 1 to 5, or block 0; bbl is empty";
    53 ZIP_OUTSIDE_CITY "zip_outside_city" doubt:
        "The ZIP is none of the city's.",
        "in no ZIP area of the city, not 11002, and its first three digits are not the city's alone; it stands";

    // Time, continued.
    54 CREATED_PLACEHOLDER "created_placeholder" doubt:
        "The created date is a placeholder of 1899 or 1900.",
        "year 1900 or before; created_at stands, since a request must have one, as if no offset were stated; no response time";
    55 CREATED_AT_NOON "created_at_noon" doubt:
        "Created at exactly noon: the city may know the day only.",
        "12:00:00 on New York's clock, or on that of the stated offset; the Department of Sanitation wrote its derelict vehicles of 2023 so";

    // Place, continued.
    56 COUNCIL_DISTRICT_BY_LINES_OF_2013 "council_district_by_lines_of_2013" repair:
        "The council district that was filled in is one of the lines of 2013.",
        "council_district_from_point of a request from before 2024-01-01, when the lines of 2023 came into force";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_names_are_unique_and_fit_the_column() {
        for (index, flag) in ALL.iter().enumerate() {
            assert!(flag.bit < 63, "{}", flag.name);
            assert!(matches!(flag.kind, "repair" | "doubt"), "{}", flag.name);
            for other in ALL.iter().skip(index + 1) {
                assert!(flag.bit < other.bit && flag.name != other.name, "{} {}", flag.name, other.name);
            }
        }
    }

    #[test]
    fn names_and_bits_are_inverse() {
        for flag in ALL {
            let one = QualityFlags::from_name(flag.name).unwrap();
            assert_eq!(one.bits(), 1 << flag.bit);
            assert_eq!(one.names().collect::<Vec<_>>(), [flag.name]);
        }
        assert_eq!(QualityFlags::from_bits(-1).names().count(), ALL.len());
    }
}
