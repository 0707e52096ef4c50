//! Where a point lies: borough, community district, council district, police precinct, neighbourhood
//! (NTA 2020) and ZIP area (ZCTA).
//!
//! Districts whose lines were drawn anew have a layer for each set of lines, and [`CouncilLines`] tells which
//! were in force when.
//!
//! The boundaries of all layers are compiled in as one net of edges (`domain/geography/build.py`,
//! `docs/geography.md`). A look-up walks, in thought, from a place whose answer is known to the point; each
//! edge that it crosses leaves some polygons and enters others. The known places are the centres of a fine
//! grid, so that a walk meets few edges, and most of the city's cells hold no edge at all. The answer is that
//! of the full boundaries, not of an approximation.

mod boundaries;
mod council;
mod grid;
mod places;
mod zip;

use std::sync::LazyLock;

pub use self::council::CouncilLines;
use self::grid::Grid;
pub use self::places::Places;
pub use self::zip::{borough_of_zip, is_zip_of_city, zip_lies_in};

static GRID: LazyLock<Grid> = LazyLock::new(|| {
    // The boundaries are compiled in and a test reads them; were they damaged, nothing would be computed, and
    // every point would be flagged as outside the city.
    Grid::of(&boundaries::compiled_in().unwrap_or_default())
});

/// Finds what a point lies in. Latitude and longitude are degrees (WGS 84).
pub fn locate(latitude: f64, longitude: f64) -> Places {
    GRID.locate(latitude, longitude)
}

/// Builds the index now rather than at the first look-up. It takes some hundredths of a second, once.
pub fn prepare() {
    LazyLock::force(&GRID);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::borough::Borough;

    #[test]
    fn known_places_are_found() {
        // City Hall, Central Park, Rikers Island, Marble Hill, JFK, Staten Island Mall.
        let city_hall = locate(40.7127, -74.0059);
        assert_eq!(city_hall.borough, Some(Borough::Manhattan));
        assert_eq!(city_hall.community_district, Some(101));
        assert_eq!(city_hall.council_districts, [Some(1), Some(1)]);
        assert_eq!((city_hall.nta2020, city_hall.zcta), (Some("MN0102"), Some("10007")));
        assert_eq!(locate(40.7829, -73.9654).community_district, Some(164));
        assert_eq!(locate(40.7829, -73.9654).police_precinct, Some(22));
        assert_eq!(locate(40.7932, -73.8860).borough, Some(Borough::Bronx));
        assert_eq!(locate(40.8760, -73.9106).borough, Some(Borough::Manhattan));
        assert_eq!(locate(40.6446, -73.7822).community_district, Some(483));
        // The airport went from one district to another.
        assert_eq!(locate(40.6446, -73.7822).council_district(CouncilLines::Of2013), Some(28));
        assert_eq!(locate(40.6446, -73.7822).council_district(CouncilLines::Of2023), Some(31));
        assert_eq!(locate(40.5823, -74.1656).borough, Some(Borough::StatenIsland));
    }

    #[test]
    fn points_outside_the_city_lie_in_nothing() {
        for (latitude, longitude) in
            [(0.0, 0.0), (40.70, -74.30), (40.74, -74.03), (40.69, -74.03), (90.0, 180.0), (f64::NAN, 1e300)]
        {
            assert_eq!(locate(latitude, longitude), Places::default(), "{latitude} {longitude}");
        }
    }

    proptest! {
        #[test]
        fn no_point_panics(latitude in any::<f64>(), longitude in any::<f64>()) {
            locate(latitude, longitude);
        }
    }
}
