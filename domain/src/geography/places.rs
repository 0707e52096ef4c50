//! What a point of the city lies in, layer by layer.

use super::council::CouncilLines;
use crate::borough::Borough;

/// What a point lies in; a layer is `None` where the point lies on none of its polygons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    pub borough: Option<Borough>,
    /// The city's number of the district, joint-interest areas included: 310 is Brooklyn 10, 164 is Central
    /// Park.
    pub community_district: Option<i16>,
    /// The council district by each of [`CouncilLines::ALL`]; [`Places::council_district`] chooses.
    pub council_districts: [Option<i16>; CouncilLines::ALL.len()],
    pub police_precinct: Option<i16>,
    pub nta2020: Option<&'static str>,
    pub zcta: Option<&'static str>,
}

impl Places {
    pub const fn council_district(&self, lines: CouncilLines) -> Option<i16> {
        let [of_2013, of_2023] = self.council_districts;
        match lines {
            CouncilLines::Of2013 => of_2013,
            CouncilLines::Of2023 => of_2023,
        }
    }
}
