//! Reading what a row says about its place: ZIP, community board, precinct, tax lot, point.

use crate::borough::Borough;

/// What a stated ZIP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zip<'a> {
    /// Five digits that can be a ZIP.
    Plain(&'a str),
    /// The ZIP of a ZIP+4.
    Cut(&'a str),
    /// No ZIP: `1055O`, `00083`, `Unkno`, or one of the stopgaps 00000, 10000, 12345 and 99999.
    Impossible,
}

/// Five digits that are given out to nobody and stand where someone had to fill in something.
const STOPGAPS: [&str; 3] = ["10000", "12345", "99999"];

/// Reads a stated ZIP. A ZIP from elsewhere in the country is possible: companies have addresses there.
pub fn read_zip(stated: &str) -> Zip<'_> {
    let stated = stated.trim();
    let Some((five, rest)) = stated.split_at_checked(5) else { return Zip::Impossible };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // Nothing below 00501 (Holtsville, New York) is given out.
    if !is_number(five) || five < "00501" || STOPGAPS.contains(&five) {
        return Zip::Impossible;
    }
    let route = rest.trim_start_matches([' ', '-']);
    match route.len() {
        0 if rest.is_empty() => Zip::Plain(five),
        0 | 4 if is_number(route) => Zip::Cut(five),
        _ => Zip::Impossible,
    }
}

/// What a stated community board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommunityBoard {
    /// The city's number of the district: 310 for `10 BROOKLYN`; joint-interest areas likewise, 164 for
    /// `64 MANHATTAN` (Central Park).
    District(i16),
    /// `Unspecified QUEENS` names a borough alone, `0 Unspecified` nothing.
    Unspecified(Option<Borough>),
    Unknown,
}

/// The highest community board of each borough, by the city's number of the borough.
const LAST_BOARD: [(u8, i16); 5] = [(1, 12), (2, 12), (3, 18), (4, 14), (5, 3)];

/// Parks, airports and the like that belong to no board (joint-interest areas).
const JOINT_INTEREST_AREAS: [i16; 12] = [164, 226, 227, 228, 355, 356, 480, 481, 482, 483, 484, 595];

/// Reads a stated community board, `10 BROOKLYN`.
pub fn read_community_board(stated: &str) -> CommunityBoard {
    let stated = stated.trim();
    let Some((number, borough)) = stated.split_once(' ') else {
        return if stated.eq_ignore_ascii_case("Unspecified") {
            CommunityBoard::Unspecified(None)
        } else {
            CommunityBoard::Unknown
        };
    };
    let borough = borough.trim_start();
    if number.eq_ignore_ascii_case("Unspecified") || number.bytes().all(|byte| byte == b'0') {
        let borough = Borough::from_stated(borough);
        return CommunityBoard::Unspecified(borough);
    }
    match (number.parse::<i16>(), Borough::from_stated(borough)) {
        (Ok(number @ 1..=99), Some(borough)) => {
            let district = i16::from(borough.city_code()) * 100 + number;
            if is_community_district(district) {
                CommunityBoard::District(district)
            } else {
                CommunityBoard::Unknown
            }
        }
        _ => CommunityBoard::Unknown,
    }
}

/// Says whether a number is one of the 59 community districts or the 12 joint-interest areas.
pub fn is_community_district(district: i16) -> bool {
    JOINT_INTEREST_AREAS.contains(&district)
        || LAST_BOARD.iter().any(|(code, last)| (1..=*last).contains(&(district - i16::from(*code) * 100)))
}

/// Returns the borough of a community district.
pub fn borough_of_district(district: i16) -> Option<Borough> {
    u8::try_from(district / 100).ok().and_then(Borough::from_city_code)
}

/// Reads a council district: 1 to 51.
pub fn read_council_district(stated: &str) -> Option<i16> {
    stated.trim().parse().ok().filter(|district| (1..=51).contains(district))
}

/// Reads a police precinct, `Precinct 45` or `45`. Numbers run to 123, with holes.
pub fn read_police_precinct(stated: &str) -> Option<i16> {
    const WORD: &str = "precinct";
    let stated = stated.trim();
    let number = match stated.split_at_checked(WORD.len()) {
        Some((word, number)) if word.eq_ignore_ascii_case(WORD) => number.trim_start(),
        _ => stated,
    };
    number.parse().ok().filter(|precinct| (1..=123).contains(precinct))
}

/// What a stated tax lot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaxLot {
    Lot(i64),
    /// A number that names no lot.
    Impossible,
    Unreadable,
}

/// Reads a tax lot (borough, block, lot): ten digits, the first of which is the city's number of the borough.
pub fn read_bbl(stated: &str) -> TaxLot {
    match read_integer(stated) {
        Some(bbl @ 1_000_010_000..=5_999_999_999) if bbl / 10_000 % 100_000 != 0 => TaxLot::Lot(bbl),
        Some(_) => TaxLot::Impossible,
        None => TaxLot::Unreadable,
    }
}

/// Reads a whole number, also one that is written with a decimal point and zeros.
pub fn read_integer(stated: &str) -> Option<i64> {
    let stated = stated.trim();
    let whole = match stated.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => stated,
    };
    whole.parse().ok()
}

/// Reads a decimal number.
pub fn read_decimal(stated: &str) -> Option<f64> {
    stated.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zips_are_checked() {
        assert_eq!(read_zip(" 10463 "), Zip::Plain("10463"));
        assert_eq!(read_zip("07030"), Zip::Plain("07030"));
        assert_eq!(read_zip("10463-1234"), Zip::Cut("10463"));
        assert_eq!(read_zip("104631234"), Zip::Cut("10463"));
        assert_eq!(read_zip("10463-"), Zip::Cut("10463"));
        for impossible in [
            "",
            "1046",
            "10000",
            "00083",
            "00000",
            "1055O",
            "Unkno",
            "12345",
            "99999",
            "10463-12",
            "104 63",
            "١٠٤٦٣",
        ] {
            assert_eq!(read_zip(impossible), Zip::Impossible, "{impossible}");
        }
    }

    #[test]
    fn community_boards_become_district_numbers() {
        assert_eq!(read_community_board("10 BROOKLYN"), CommunityBoard::District(310));
        assert_eq!(read_community_board("03 STATEN ISLAND"), CommunityBoard::District(503));
        assert_eq!(read_community_board("64 MANHATTAN"), CommunityBoard::District(164));
        assert_eq!(
            read_community_board("Unspecified QUEENS"),
            CommunityBoard::Unspecified(Some(Borough::Queens))
        );
        assert_eq!(read_community_board("0 Unspecified"), CommunityBoard::Unspecified(None));
        for unknown in ["19 BROOKLYN", "BROOKLYN", "13 BRONX", "-1 BRONX", "10 YONKERS", "", "32767 QUEENS"] {
            assert_eq!(read_community_board(unknown), CommunityBoard::Unknown, "{unknown}");
        }
        assert_eq!((0..1_000).filter(|district| is_community_district(*district)).count(), 59 + 12);
    }

    #[test]
    fn precincts_and_council_districts_are_numbers() {
        assert_eq!(read_police_precinct("Precinct 45"), Some(45));
        assert_eq!(read_police_precinct("45"), Some(45));
        assert_eq!(read_police_precinct("Precinct"), None);
        assert_eq!(read_police_precinct("Unspecified"), None);
        assert_eq!(read_council_district("51"), Some(51));
        assert_eq!(read_council_district("0"), None);
    }

    #[test]
    fn tax_lots_have_a_borough_and_a_block() {
        assert_eq!(read_bbl("5015600151"), TaxLot::Lot(5_015_600_151));
        assert_eq!(read_bbl("3023507502.0"), TaxLot::Lot(3_023_507_502));
        assert_eq!(read_bbl("0000000000"), TaxLot::Impossible);
        assert_eq!(read_bbl("4000000000"), TaxLot::Impossible);
        assert_eq!(read_bbl("six"), TaxLot::Unreadable);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            read_zip(&text);
            read_community_board(&text);
            read_police_precinct(&text);
            read_council_district(&text);
            read_bbl(&text);
            read_decimal(&text);
        }
    }
}
