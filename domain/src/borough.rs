//! The five boroughs, in the order of the partitions of every topic.

/// A borough of New York City.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Borough {
    Manhattan,
    Brooklyn,
    Queens,
    Bronx,
    StatenIsland,
}

impl Borough {
    /// All boroughs in partition order.
    pub const ALL: [Self; 5] =
        [Self::Manhattan, Self::Brooklyn, Self::Queens, Self::Bronx, Self::StatenIsland];

    /// Returns the borough's place in the partition order, 0 to 4.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the name as the city writes it, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manhattan => "MANHATTAN",
            Self::Brooklyn => "BROOKLYN",
            Self::Queens => "QUEENS",
            Self::Bronx => "BRONX",
            Self::StatenIsland => "STATEN ISLAND",
        }
    }

    /// Returns the name for labels and addresses.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Manhattan => "manhattan",
            Self::Brooklyn => "brooklyn",
            Self::Queens => "queens",
            Self::Bronx => "bronx",
            Self::StatenIsland => "staten_island",
        }
    }

    /// Returns the city's own number of the borough (first digit of a BBL and of a community district), 1
    /// to 5.
    pub const fn city_code(self) -> u8 {
        match self {
            Self::Manhattan => 1,
            Self::Bronx => 2,
            Self::Brooklyn => 3,
            Self::Queens => 4,
            Self::StatenIsland => 5,
        }
    }

    /// Returns the borough with the city's number `code`.
    pub fn from_city_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|borough| borough.city_code() == code)
    }

    /// Reads a stated borough, in any case and with blanks around it. `Unspecified` and anything else is
    /// none.
    pub fn from_stated(stated: &str) -> Option<Self> {
        let stated = stated.trim();
        Self::ALL.into_iter().find(|borough| borough.name().eq_ignore_ascii_case(stated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stated_names_are_read_in_any_case() {
        assert_eq!(Borough::from_stated(" Staten island "), Some(Borough::StatenIsland));
        assert_eq!(Borough::from_stated("BRONX"), Some(Borough::Bronx));
        assert_eq!(Borough::from_stated("Unspecified"), None);
        assert_eq!(Borough::from_stated(""), None);
    }

    #[test]
    fn partition_order_is_fixed() {
        let names: Vec<_> = Borough::ALL.iter().map(|borough| borough.slug()).collect();
        assert_eq!(names, ["manhattan", "brooklyn", "queens", "bronx", "staten_island"]);
        assert!(Borough::ALL.iter().enumerate().all(|(index, borough)| borough.index() == index));
    }
}
