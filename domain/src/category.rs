//! What kind of thing a complaint type is, and how it is spelt.
//!
//! `domain/data/categories.csv` is the table: one line for each complaint type, and a second one where an
//! agency means something else by it (`Plumbing` is a building's permit matter for the Department of
//! Buildings, a tenant's repair for Housing Preservation). To teach a new type, add its line in the spelling
//! that the city uses most, and raise [`crate::RULES_REVISION`].

use std::sync::LazyLock;

/// Complaint type, agency (empty: any) and category.
const TABLE: &str = include_str!("../data/categories.csv");

/// The category of what is in no line.
pub const OTHER: &str = "other";

/// Every category there is.
pub const CATEGORIES: [&str; 13] = [
    "noise",
    "heat and hot water",
    "housing conditions",
    "parking and vehicles",
    "street and traffic",
    "sanitation",
    "water and sewer",
    "trees and parks",
    "buildings and construction",
    "consumer",
    "health",
    "homeless",
    OTHER,
];

/// A complaint type of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComplaintType {
    /// The one spelling for all cases.
    pub spelling: &'static str,
    pub category: &'static str,
}

struct Line {
    spelling: &'static str,
    agency: &'static str,
    category: &'static str,
}

/// Lines by a hash of their type in small letters, so that one look finds every spelling.
static LINES: LazyLock<Vec<Vec<Line>>> = LazyLock::new(|| {
    let mut buckets: Vec<Vec<Line>> = (0..BUCKETS).map(|_| Vec::new()).collect();
    for line in lines() {
        if let Some(bucket) = buckets.get_mut(bucket_of(line.spelling)) {
            bucket.push(line);
        }
    }
    buckets
});

const BUCKETS: usize = 512;

fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().skip(1).filter_map(|line| {
        // No type has a comma in its name; a test sees to it that every line is read.
        let mut cells = line.split(',');
        Some(Line { spelling: cells.next()?, agency: cells.next()?, category: cells.next()? })
    })
}

#[inline]
fn bucket_of(complaint_type: &str) -> usize {
    let hash = complaint_type.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01B3)
    });
    (hash >> 40) as usize % BUCKETS
}

/// Finds a complaint type as one agency uses it, in any case.
pub fn complaint_type(stated: &str, agency: &str) -> Option<ComplaintType> {
    let mut found: Option<&Line> = None;
    for line in LINES.get(bucket_of(stated))? {
        if line.spelling.eq_ignore_ascii_case(stated) && (line.agency.is_empty() || line.agency == agency) {
            found = match found {
                Some(known) if !known.agency.is_empty() => Some(known),
                _ => Some(line),
            };
        }
    }
    let line = found?;
    Some(ComplaintType { spelling: line.spelling, category: line.category })
}

/// Says whether the table has a complaint type, for whatever agency.
pub fn is_known(complaint_type: &str) -> bool {
    let bucket = LINES.get(bucket_of(complaint_type));
    bucket.is_some_and(|lines| lines.iter().any(|line| line.spelling.eq_ignore_ascii_case(complaint_type)))
}

/// Spells a complaint type that is in no line so that those which differ only by case are one: first letters
/// are capitals.
pub fn spell_unknown(stated: &str) -> String {
    let mut spelt = String::with_capacity(stated.len());
    let mut inside_word = false;
    for character in stated.chars() {
        let character = if inside_word {
            only(character.to_lowercase()).unwrap_or(character)
        } else {
            only(character.to_uppercase()).unwrap_or(character)
        };
        spelt.push(character);
        inside_word = character.is_alphanumeric() || character == '\'' || character == '’';
    }
    spelt
}

/// Returns the character of the other case if it is a single one. `ß` in capitals is `SS`, of which the
/// second would be small next time.
fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    characters.next().filter(|_| characters.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn table_is_whole() {
        assert_eq!(lines().count(), TABLE.lines().count() - 1);
        let mut seen = HashSet::new();
        for line in lines() {
            assert!(CATEGORIES.contains(&line.category), "{}: {}", line.spelling, line.category);
            assert!(
                seen.insert((line.spelling.to_lowercase(), line.agency)),
                "{} is there twice",
                line.spelling
            );
            assert_eq!(line.spelling, line.spelling.trim());
        }
        // A type has one spelling, whatever the agency, and one line for agencies that no line names.
        for line in lines() {
            let known =
                complaint_type(line.spelling, "no agency").unwrap_or_else(|| panic!("{}", line.spelling));
            assert_eq!(known.spelling, line.spelling);
        }
        assert_eq!(TABLE.lines().map(|line| line.split(',').count()).max(), Some(3));
    }

    #[test]
    fn types_that_differ_by_case_are_one() {
        for stated in ["PLUMBING", "Plumbing", "plumbing"] {
            assert_eq!(complaint_type(stated, "DOB").unwrap().spelling, "Plumbing");
        }
        assert_eq!(complaint_type("Heat/Hot Water", "HPD").unwrap().spelling, "HEAT/HOT WATER");
    }

    #[test]
    fn category_depends_on_the_agency() {
        assert_eq!(complaint_type("Plumbing", "DOB").unwrap().category, "buildings and construction");
        assert_eq!(complaint_type("PLUMBING", "HPD").unwrap().category, "housing conditions");
        assert_eq!(complaint_type("Noise - Residential", "NYPD").unwrap().category, "noise");
        assert_eq!(complaint_type("Bed Bugs from Mars", "NYPD"), None);
        for (kind, agency, category) in [
            // Chemicals and oil on the street, not in the water.
            ("Hazardous Materials", "DEP", "health"),
            // Sellers without a licence, whoever fines them.
            ("Vendor Enforcement", "DSNY", "consumer"),
            // Kits to test the tap water.
            ("Lead", "DEP", "water and sewer"),
            // Litter; potholes and the like are another department's.
            ("Highway Condition", "DSNY", "sanitation"),
            ("Highway Condition", "DOT", "street and traffic"),
            // Absent from a pool or a beach that the Department of Health inspects.
            ("Lifeguard", "DOHMH", "health"),
        ] {
            assert_eq!(complaint_type(kind, agency).unwrap().category, category, "{kind} of {agency}");
        }
    }

    #[test]
    fn unknown_types_that_differ_by_case_are_one() {
        assert_eq!(spell_unknown("DRONE NOISE (PARK)"), "Drone Noise (Park)");
        assert_eq!(spell_unknown("drone noise (park)"), "Drone Noise (Park)");
        assert_eq!(spell_unknown("Men's Shelter/Annex"), "Men's Shelter/Annex");
        assert_eq!(spell_unknown("ÉCOLE élève"), "École Élève");
        for twofold in ["ßeta", "aİb"] {
            assert_eq!(spell_unknown(&spell_unknown(twofold)), spell_unknown(twofold));
        }
    }

    proptest! {
        #[test]
        fn spelling_again_changes_nothing(stated in any::<String>(), cased in "[\\p{Lu}\\p{Ll}\\p{Lt}\\p{M} ]{0,20}") {
            for stated in [stated, cased] {
                let once = spell_unknown(&stated);
                prop_assert_eq!(spell_unknown(&once), once);
            }
        }

        #[test]
        fn case_makes_no_other_type(stated in "[A-Za-z '/()-]{0,20}") {
            prop_assert_eq!(spell_unknown(&stated.to_uppercase()), spell_unknown(&stated.to_lowercase()));
            prop_assert_eq!(spell_unknown(&stated.to_uppercase()), spell_unknown(&stated));
        }
    }
}
