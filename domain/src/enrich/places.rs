//! The rules of place: the stated value first, a computed one where it is missing, a flag where the two
//! disagree.

use std::borrow::Cow;

use jiff::Timestamp;

use super::enrichment::Enrichment;
use crate::borough::Borough;
use crate::geography::{self, CouncilLines, Places};
use crate::place::{self, CommunityBoard, TaxLot, Zip};
use crate::quality::QualityFlags;
use crate::row::Field;

/// Places that two boroughs may name as theirs: the borough whose polygon they lie in, their ZIP area, and
/// the other borough.
///
/// Marble Hill is cut off from Manhattan by the Harlem River: it is Manhattan by law, and the Bronx for
/// everything that the city does there. Rikers Island is the Bronx by law, and is reached and written to by
/// way of Queens.
const OF_TWO_BOROUGHS: [(Borough, &str, Borough); 2] =
    [(Borough::Manhattan, "10463", Borough::Bronx), (Borough::Bronx, "11370", Borough::Queens)];

impl<'a> Enrichment<'a> {
    /// Finds what the point lies in, unless the point is none.
    pub(super) fn places(&mut self, latitude: Option<f64>, longitude: Option<f64>) -> Places {
        let (latitude, longitude) = match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => (latitude, longitude),
            (None, None) => return Places::default(),
            _ => {
                self.flags.insert(QualityFlags::POINT_INCOMPLETE);
                return Places::default();
            }
        };
        let doubt = if latitude == 0.0 && longitude == 0.0 {
            QualityFlags::POINT_AT_ZERO
        } else if latitude.fract() == 0.0 || longitude.fract() == 0.0 {
            QualityFlags::POINT_WHOLE_DEGREES
        } else {
            let places = geography::locate(latitude, longitude);
            if places.borough.is_some() {
                return places;
            }
            QualityFlags::POINT_OUTSIDE_CITY
        };
        self.flags.insert(doubt);
        Places::default()
    }

    /// Decides the borough: stated, else from the point, else from the ZIP, else from the community board.
    pub(super) fn borough(
        &mut self,
        places: &Places,
        zip: Option<&str>,
        board: Option<CommunityBoard>,
    ) -> Option<Borough> {
        use QualityFlags as Flag;
        let stated = self.text_as_it_is(Field::Borough);
        if let Some(borough) = stated.as_deref().and_then(Borough::from_stated) {
            let differs = places.borough.is_some_and(|computed| !are_one(borough, computed, places));
            self.flag_if(differs, Flag::BOROUGH_DIFFERS_FROM_POINT);
            return Some(borough);
        }
        if let Some(stated) = stated {
            self.keep_stated(Field::Borough, &stated);
        }
        let from_board = match board {
            Some(CommunityBoard::District(district)) => place::borough_of_district(district),
            Some(CommunityBoard::Unspecified(borough)) => borough,
            Some(CommunityBoard::Unknown) | None => None,
        };
        let sources = [
            (places.borough, Flag::BOROUGH_FROM_POINT),
            (zip.and_then(geography::borough_of_zip), Flag::BOROUGH_FROM_ZIP),
            (from_board, Flag::BOROUGH_FROM_COMMUNITY_BOARD),
        ];
        let (borough, flag) = sources
            .into_iter()
            .find_map(|(borough, flag)| Some((Some(borough?), flag)))
            .unwrap_or((None, Flag::BOROUGH_UNKNOWN));
        self.flags.insert(flag);
        borough
    }

    pub(super) fn zip(&mut self, places: &Places) -> Option<Cow<'a, str>> {
        let stated = self.text(Field::IncidentZip)?;
        let zip = match place::read_zip(&stated) {
            Zip::Plain(_) => stated,
            Zip::Cut(five) => {
                self.flags.insert(QualityFlags::ZIP_CUT);
                self.keep_stated(Field::IncidentZip, &stated);
                Cow::Owned(five.to_owned())
            }
            Zip::Impossible => {
                self.flags.insert(QualityFlags::ZIP_IMPOSSIBLE);
                self.keep_stated(Field::IncidentZip, &stated);
                return None;
            }
        };
        self.flag_if(!geography::is_zip_of_city(&zip), QualityFlags::ZIP_OUTSIDE_CITY);
        let agrees = places.zcta.and_then(|zcta| geography::zip_lies_in(&zip, zcta));
        self.flag_if(agrees == Some(false), QualityFlags::ZIP_DIFFERS_FROM_POINT);
        Some(zip)
    }

    pub(super) fn community_district(
        &mut self,
        board: Option<CommunityBoard>,
        places: &Places,
    ) -> Option<i16> {
        use QualityFlags as Flag;
        self.flag_if(board == Some(CommunityBoard::Unknown), Flag::COMMUNITY_BOARD_UNKNOWN);
        match (board, places.community_district) {
            (Some(CommunityBoard::District(stated)), computed) => {
                let differs = computed.is_some_and(|computed| computed != stated);
                self.flag_if(differs, Flag::COMMUNITY_BOARD_DIFFERS_FROM_POINT);
                Some(stated)
            }
            (_, computed) => {
                self.flag_if(computed.is_some(), Flag::COMMUNITY_DISTRICT_FROM_POINT);
                computed
            }
        }
    }

    /// Decides the council district by the lines that were in force when the request was created.
    ///
    /// Where these are not at hand (before 2014) or not known (a placeholder of a created date), a stated
    /// district is held against none; a missing one is filled in by the lines that are nearest in time.
    pub(super) fn council_district(
        &mut self,
        places: &Places,
        created_at: Timestamp,
        published: Option<Timestamp>,
    ) -> Option<i16> {
        use QualityFlags as Flag;
        let [oldest, newest] = CouncilLines::ALL;
        let (in_force, nearest) = if self.flags.contains(Flag::CREATED_PLACEHOLDER) {
            // At the latest, it was created when it was published.
            let nearest = |published| CouncilLines::in_force_at(published).unwrap_or(oldest);
            (None, published.map_or(newest, nearest))
        } else {
            let in_force = CouncilLines::in_force_at(created_at);
            (in_force, in_force.unwrap_or(oldest))
        };
        let district = self.stated_or_computed(
            Field::CouncilDistrict,
            place::read_council_district,
            in_force.and_then(|lines| places.council_district(lines)),
            places.council_district(nearest),
            Flag::COUNCIL_DISTRICT_FROM_POINT,
            Flag::COUNCIL_DISTRICT_DIFFERS_FROM_POINT,
        );
        let by_old_lines =
            nearest == CouncilLines::Of2013 && self.flags.contains(Flag::COUNCIL_DISTRICT_FROM_POINT);
        self.flag_if(by_old_lines, Flag::COUNCIL_DISTRICT_BY_LINES_OF_2013);
        district
    }

    /// Takes the stated number, or else the one that fills it, and flags which, and whether it disagrees with
    /// the one it is held against.
    pub(super) fn stated_or_computed(
        &mut self,
        field: Field,
        read: impl FnOnce(&str) -> Option<i16>,
        held_against: Option<i16>,
        filled_by: Option<i16>,
        filled: QualityFlags,
        differs: QualityFlags,
    ) -> Option<i16> {
        match self.parsed(field, read) {
            Some(stated) => {
                self.flag_if(held_against.is_some_and(|computed| computed != stated), differs);
                Some(stated)
            }
            None => {
                self.flag_if(filled_by.is_some(), filled);
                filled_by
            }
        }
    }

    pub(super) fn bbl(&mut self, borough: Option<Borough>, places: &Places) -> Option<i64> {
        let stated = self.text(Field::Bbl)?;
        let flag = match place::read_bbl(&stated) {
            TaxLot::Lot(bbl) => {
                let lot_in = u8::try_from(bbl / 1_000_000_000).ok().and_then(Borough::from_city_code);
                let differs =
                    borough.zip(lot_in).is_some_and(|(borough, lot_in)| !are_one(borough, lot_in, places));
                self.flag_if(differs, QualityFlags::BBL_DIFFERS_FROM_BOROUGH);
                return Some(bbl);
            }
            TaxLot::Impossible => QualityFlags::BBL_IMPOSSIBLE,
            TaxLot::Unreadable => QualityFlags::VALUE_UNREADABLE,
        };
        self.flags.insert(flag);
        self.keep_stated(Field::Bbl, &stated);
        None
    }
}

/// Says whether two boroughs are one, or both right for the place. The point must lie there: a ZIP alone
/// proves no place.
fn are_one(one: Borough, other: Borough, places: &Places) -> bool {
    one == other
        || OF_TWO_BOROUGHS.iter().any(|(by_law, zcta, by_custom)| {
            let both = [*by_law, *by_custom];
            places.borough == Some(*by_law)
                && places.zcta == Some(zcta)
                && both.contains(&one)
                && both.contains(&other)
        })
}
