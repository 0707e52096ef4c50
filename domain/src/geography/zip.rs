//! Which borough a ZIP lies in, and which ZIP area it belongs to.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::borough::Borough;

/// ZIP, its area and the boroughs that hold at least one percent of the area, built with the boundaries.
const TABLE: &str = include_str!("../../geography/zips.csv");

/// The first three digits of the ZIPs of each borough, for those without an area of their own (post boxes,
/// single buildings). 110 is shared with Nassau County, so those not in the table are taken for its, but for
/// 11002, the post boxes of Floral Park.
const PREFIXES: [(&str, Borough); 11] = [
    ("100", Borough::Manhattan),
    ("101", Borough::Manhattan),
    ("102", Borough::Manhattan),
    ("103", Borough::StatenIsland),
    ("104", Borough::Bronx),
    ("11002", Borough::Queens),
    ("111", Borough::Queens),
    ("112", Borough::Brooklyn),
    ("113", Borough::Queens),
    ("114", Borough::Queens),
    ("116", Borough::Queens),
];

struct Area {
    zcta: &'static str,
    /// None where the area lies in two boroughs: Marble Hill and the Bronx (10463), East Elmhurst and Rikers
    /// Island (11370).
    borough: Option<Borough>,
}

static AREAS: LazyLock<HashMap<u32, Area>> = LazyLock::new(|| {
    let rows = TABLE.lines().skip(1).filter_map(|line| {
        let mut cells = line.split(',');
        let zip = cells.next()?.parse().ok()?;
        Some((zip, Area { zcta: cells.next()?, borough: Borough::from_stated(cells.next()?) }))
    });
    rows.collect()
});

/// Returns the borough that a ZIP lies in, if it lies in one alone.
pub fn borough_of_zip(zip: &str) -> Option<Borough> {
    match area(zip) {
        Some(area) => area.borough,
        None => by_prefix(zip),
    }
}

/// Says whether a ZIP is one of the city's.
pub fn is_zip_of_city(zip: &str) -> bool {
    area(zip).is_some() || by_prefix(zip).is_some()
}

/// Says whether a ZIP belongs to a ZIP area; `None` for post boxes and single buildings, which are counted to
/// no area.
pub fn zip_lies_in(zip: &str, zcta: &str) -> Option<bool> {
    match area(zip) {
        Some(area) => Some(area.zcta == zcta),
        None if by_prefix(zip).is_some() => None,
        None => Some(false),
    }
}

fn area(zip: &str) -> Option<&'static Area> {
    AREAS.get(&zip.parse().ok()?)
}

fn by_prefix(zip: &str) -> Option<Borough> {
    PREFIXES.iter().find(|(prefix, _)| zip.starts_with(prefix)).map(|(_, borough)| *borough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zip_in_one_borough_tells_it() {
        assert_eq!(borough_of_zip("10301"), Some(Borough::StatenIsland));
        assert_eq!(borough_of_zip("11209"), Some(Borough::Brooklyn));
        assert_eq!(borough_of_zip("10008"), Some(Borough::Manhattan), "post boxes");
        assert_eq!(borough_of_zip("11005"), Some(Borough::Queens), "Floral Park");
        assert_eq!(borough_of_zip("11002"), Some(Borough::Queens), "post boxes there");
    }

    #[test]
    fn zip_in_two_boroughs_or_elsewhere_tells_nothing() {
        for zip in ["10463", "11370", "07030", "11021", "99999", ""] {
            assert_eq!(borough_of_zip(zip), None, "{zip}");
        }
    }

    #[test]
    fn neighbours_are_not_of_the_city() {
        assert!(["10463", "10008", "11001", "11002", "11697"].into_iter().all(is_zip_of_city));
        assert!(!["07310", "11735", "11021", "10701"].into_iter().any(is_zip_of_city));
    }

    #[test]
    fn zip_of_one_building_lies_in_the_area_around_it() {
        assert_eq!(zip_lies_in("10118", "10001"), Some(true));
        assert_eq!(zip_lies_in("10002", "10001"), Some(false));
        assert_eq!(zip_lies_in("07030", "10001"), Some(false));
        assert_eq!(zip_lies_in("10008", "10007"), None);
        assert_eq!(zip_lies_in("11002", "11001"), None);
    }
}
