//! From a raw row to a service request: every rule of this crate, in order.
//!
//! 1. The row must be an object with a `unique_key` and a readable `created_date`; otherwise it is rejected.
//! 2. Times: local New York time becomes a moment; the order of events is checked.
//! 3. Words: every text is cleaned.
//! 4. State, from the status alone; the response time, only where state and times make sense together.
//! 5. Place: stated first, computed where missing, flagged where the two disagree.
//!
//! What a rule replaces is kept in `stated` under the field's name, what has no column in `details`, and each rule that did or doubted
//! something leaves its flag. Nothing here looks at a clock: the same bytes give the same request for ever.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::{
    agency,
    borough::Borough,
    category::{self, ComplaintType},
    geography::{self, Places},
    json::{self, ObjectWriter},
    place::{self, CommunityBoard, TaxLot, Zip},
    quality::QualityFlags,
    rejection::Rejection,
    row::{Field, Row},
    scan::Value,
    service_request::{ServiceRequest, UNSPECIFIED},
    state::State,
    time::{self, LocalTime, Moment, StatedTime},
    version::RULES_REVISION,
    words,
};

/// Places that two boroughs may name as theirs: the borough whose polygon they lie in, their ZIP area, and the other borough.
///
/// Marble Hill is cut off from Manhattan by the Harlem River: it is Manhattan by law, and the Bronx for everything that the city does
/// there. Rikers Island is the Bronx by law, and is reached and written to by way of Queens.
const OF_TWO_BOROUGHS: [(Borough, &str, Borough); 2] =
    [(Borough::Manhattan, "10463", Borough::Bronx), (Borough::Bronx, "11370", Borough::Queens)];

/// Local times before this one, as a rule of 1899 or 1900, are placeholders for a date that is not known.
const END_OF_PLACEHOLDERS: LocalTime = LocalTime::first_of_year(1901);

/// Turns a raw row into a service request.
pub fn enrich(raw: &[u8]) -> Result<ServiceRequest<'_>, Rejection> {
    let text = std::str::from_utf8(raw).map_err(|error| Rejection {
        reason: Rejection::NOT_UTF8,
        field: None,
        detail: error.to_string(),
        unique_key: None,
    })?;
    let row = Row::read(text).map_err(|malformed| Rejection {
        reason: Rejection::NOT_AN_OBJECT,
        field: None,
        detail: format!("expected {} at byte {}", malformed.expected, malformed.at_byte),
        unique_key: None,
    })?;
    Enrichment { flags: row.flags, row, stated: ObjectWriter::default(), kept: 0 }.run()
}

/// A row on its way: the flags that it has earned so far, and what the city said where something else now stands.
struct Enrichment<'a> {
    row: Row<'a>,
    flags: QualityFlags,
    stated: ObjectWriter,
    /// The fields that are in `stated` already, one bit each: what came first is what the city said.
    kept: u64,
}

const _: () = assert!(Field::COUNT <= u64::BITS as usize, "`kept` has a bit for each field");

/// The times of a request.
struct Times {
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    resolution_updated_at: Option<Timestamp>,
}

/// A time as stated, with the reading of the city's clock that it may be.
#[derive(Clone, Copy)]
struct Reading {
    local: Option<LocalTime>,
    moment: Moment,
}

impl Reading {
    fn is_placeholder(self) -> bool {
        self.local.is_some_and(|local| local < END_OF_PLACEHOLDERS)
    }
}

impl<'a> Enrichment<'a> {
    fn run(mut self) -> Result<ServiceRequest<'a>, Rejection> {
        let unique_key = self.unique_key()?;
        let created = self.created(unique_key)?;
        let source_created_at = self.instant(Field::CreatedAt);
        let published = self.instant(Field::UpdatedAt);
        let source_updated_at = published.unwrap_or_else(|| {
            self.flags.insert(QualityFlags::SOURCE_TIME_MISSING);
            source_created_at.unwrap_or(Timestamp::UNIX_EPOCH)
        });
        let source_version = self.source_version();
        let times = self.times(created, published);

        let status = self.text_as_it_is(Field::Status);
        let state = self.state(status.as_deref());
        let response_hours = self.response_hours(state, &times);

        let agency = self.text(Field::Agency).unwrap_or_else(|| {
            self.flags.insert(QualityFlags::AGENCY_MISSING);
            Cow::Borrowed(UNSPECIFIED)
        });
        let agency_name = self.agency_name(&agency);
        let (complaint_type, category) = self.complaint_type(&agency);

        let latitude = self.parsed(Field::Latitude, place::read_decimal);
        let longitude = self.parsed(Field::Longitude, place::read_decimal);
        let places = self.places(latitude, longitude);
        let incident_zip = self.zip(&places);
        let community_board = self.text_as_it_is(Field::CommunityBoard);
        let stated_board = community_board.as_deref().map(place::read_community_board);
        let borough = self.borough(&places, incident_zip.as_deref(), stated_board);
        let community_district = self.community_district(stated_board, &places);
        let council_district = self.stated_or_computed(
            Field::CouncilDistrict,
            place::read_council_district,
            places.council_district,
            QualityFlags::COUNCIL_DISTRICT_FROM_POINT,
            QualityFlags::COUNCIL_DISTRICT_DIFFERS_FROM_POINT,
        );
        let police_precinct = self.stated_or_computed(
            Field::PolicePrecinct,
            place::read_police_precinct,
            places.police_precinct,
            QualityFlags::POLICE_PRECINCT_FROM_POINT,
            QualityFlags::POLICE_PRECINCT_DIFFERS_FROM_POINT,
        );
        let bbl = self.bbl(borough, &places);

        Ok(ServiceRequest {
            unique_key,
            source_updated_at,
            source_version,
            rules_revision: RULES_REVISION,
            source_created_at,
            created_at: times.created_at,
            closed_at: times.closed_at,
            due_at: times.due_at,
            resolution_updated_at: times.resolution_updated_at,
            response_hours,
            status,
            state: Cow::Borrowed(state.as_str()),
            is_open: state.is_open(&agency, times.created_at, times.closed_at),
            agency,
            agency_name,
            complaint_type,
            category: Some(Cow::Borrowed(category)),
            descriptor: self.text(Field::Descriptor),
            descriptor_2: self.text(Field::Descriptor2),
            location_type: self.text(Field::LocationType),
            open_data_channel_type: self.text_as_it_is(Field::OpenDataChannelType),
            resolution_description: self.text(Field::ResolutionDescription),
            borough: borough.map(|borough| Cow::Borrowed(borough.name())),
            incident_zip,
            city: self.text(Field::City),
            incident_address: self.text(Field::IncidentAddress),
            street_name: self.text(Field::StreetName),
            cross_street_1: self.text(Field::CrossStreet1),
            cross_street_2: self.text(Field::CrossStreet2),
            intersection_street_1: self.text(Field::IntersectionStreet1),
            intersection_street_2: self.text(Field::IntersectionStreet2),
            landmark: self.text(Field::Landmark),
            bbl,
            latitude,
            longitude,
            x_state_plane: self
                .parsed(Field::XStatePlane, |stated| place::read_integer(stated)?.try_into().ok()),
            y_state_plane: self
                .parsed(Field::YStatePlane, |stated| place::read_integer(stated)?.try_into().ok()),
            community_board,
            community_district,
            council_district,
            police_precinct,
            nta2020: places.nta2020.map(Cow::Borrowed),
            zcta: places.zcta.map(Cow::Borrowed),
            quality_flags: self.flags,
            stated: self.stated.finish(),
            details: self.row.details.finish(),
        })
    }

    // The row itself.

    fn unique_key(&self) -> Result<i64, Rejection> {
        let reject = |reason, detail| {
            Err(Rejection { reason, field: Some(Field::UniqueKey.name()), detail, unique_key: None })
        };
        let stated = match self.row.get(Field::UniqueKey) {
            Value::Null => return reject(Rejection::MISSING_UNIQUE_KEY, "the row has no key".to_owned()),
            value => as_stated(value),
        };
        match stated.trim().parse::<i64>() {
            Ok(key) if key > 0 => Ok(key),
            _ => reject(
                Rejection::BAD_UNIQUE_KEY,
                format!("not a positive whole number: {}", excerpt(&stated)),
            ),
        }
    }

    /// Reads one of the source's own times, which name their offset.
    fn instant(&mut self, field: Field) -> Option<Timestamp> {
        self.parsed(field, |stated| time::parse_instant(stated.trim()))
    }

    /// Reads `:version`, which is compared as bytes and so not cleaned, but for NUL.
    fn source_version(&mut self) -> Cow<'a, str> {
        let version = self.plain(Field::Version).unwrap_or_default();
        if !version.contains('\0') {
            return version;
        }
        self.flags.insert(QualityFlags::NUL_STRIPPED);
        Cow::Owned(version.replace('\0', ""))
    }

    // Times.

    fn created(&mut self, unique_key: i64) -> Result<Reading, Rejection> {
        let field = Field::CreatedDate;
        let reject = |reason, detail| {
            Err(Rejection { reason, field: Some(field.name()), detail, unique_key: Some(unique_key) })
        };
        let stated = match self.row.get(field) {
            Value::Null => {
                return reject(Rejection::MISSING_CREATED_DATE, "the row has no created date".to_owned());
            }
            value => as_stated(value),
        };
        match reading(&stated) {
            Some(reading) => Ok(reading),
            None => reject(Rejection::BAD_CREATED_DATE, format!("not a date: {}", excerpt(&stated))),
        }
    }

    /// Puts the times in order: gap, repeated hour, placeholders, and what cannot have been.
    fn times(&mut self, created: Reading, published: Option<Timestamp>) -> Times {
        use QualityFlags as Flag;
        let closed = self.dated(Field::ClosedDate, Flag::CLOSED_PLACEHOLDER_EMPTIED);
        let resolution = self.dated(Field::ResolutionActionUpdatedDate, Flag::OTHER_PLACEHOLDER_EMPTIED);
        let due = self.dated(Field::DueDate, Flag::OTHER_PLACEHOLDER_EMPTIED);

        let (created_at, closed_at) = self.created_and_closed(created, closed, published);
        let resolution_updated_at = resolution.map(|reading| {
            self.moment(Field::ResolutionActionUpdatedDate, reading, Some(created_at), published)
        });
        let due_at = due.map(|reading| self.moment(Field::DueDate, reading, Some(created_at), None));

        let midnight = |reading: Reading| reading.local.is_some_and(LocalTime::is_midnight);
        let after_publication = |moment: Timestamp| published.is_some_and(|published| moment > published);
        self.flag_if(midnight(created), Flag::CREATED_AT_MIDNIGHT);
        self.flag_if(created.local.is_some_and(LocalTime::is_noon), Flag::CREATED_AT_NOON);
        self.flag_if(created.is_placeholder(), Flag::CREATED_PLACEHOLDER);
        self.flag_if(after_publication(created_at), Flag::CREATED_AFTER_PUBLICATION);
        if let Some((closed_at, closed)) = closed_at.zip(closed) {
            self.flag_if(midnight(closed), Flag::CLOSED_AT_MIDNIGHT);
            self.flag_if(after_publication(closed_at), Flag::CLOSED_AFTER_PUBLICATION);
            self.flag_if(closed_at < created_at, Flag::CLOSED_BEFORE_CREATED);
            self.flag_if(closed_at == created_at, Flag::CLOSED_EQUALS_CREATED);
        }
        if let Some(resolution) = resolution_updated_at {
            self.flag_if(resolution < created_at, Flag::RESOLUTION_BEFORE_CREATED);
            self.flag_if(
                closed_at.is_some_and(|closed_at| resolution > closed_at),
                Flag::RESOLUTION_AFTER_CLOSED,
            );
            self.flag_if(after_publication(resolution), Flag::RESOLUTION_AFTER_PUBLICATION);
        }
        self.flag_if(due_at.is_some_and(|due_at| due_at < created_at), Flag::DUE_BEFORE_CREATED);
        Times { created_at, closed_at, due_at, resolution_updated_at }
    }

    /// Reads a date; a placeholder and what is no date become empty.
    fn dated(&mut self, field: Field, placeholder: QualityFlags) -> Option<Reading> {
        let stated = self.said(field)?;
        let Some(reading) = reading(&stated) else {
            self.flags.insert(QualityFlags::VALUE_UNREADABLE);
            self.keep_stated(field, &stated);
            return None;
        };
        if reading.is_placeholder() {
            self.flags.insert(placeholder);
            self.keep_stated(field, &stated);
            return None;
        }
        Some(reading)
    }

    /// Decides both ends of a request together, since each may say which of two hours the other was.
    fn created_and_closed(
        &mut self,
        created: Reading,
        closed: Option<Reading>,
        published: Option<Timestamp>,
    ) -> (Timestamp, Option<Timestamp>) {
        // Both in the repeated hour, and closed by an earlier reading of the clock: the clock went back in between.
        if let (Moment::Twice { first: created_at, .. }, Some(Moment::Twice { first, second: closed_at })) =
            (created.moment, closed.map(|closed| closed.moment))
            && first < created_at
        {
            self.flags.insert(QualityFlags::REPEATED_HOUR_RESOLVED);
            return (created_at, Some(closed_at));
        }
        let latest = closed.map(|closed| match closed.moment {
            Moment::Once(moment) | Moment::InGap(moment) | Moment::Twice { second: moment, .. } => moment,
        });
        // A request that is closed before either of the two hours says nothing about them.
        let created_at = self.moment(Field::CreatedDate, created, None, latest.or(published));
        let closed_at =
            closed.map(|closed| self.moment(Field::ClosedDate, closed, Some(created_at), published));
        (created_at, closed_at)
    }

    /// Decides which moment a reading was, within what is known: not before `earliest`, not after `latest`.
    fn moment(
        &mut self,
        field: Field,
        reading: Reading,
        earliest: Option<Timestamp>,
        latest: Option<Timestamp>,
    ) -> Timestamp {
        match reading.moment {
            Moment::Once(moment) => moment,
            Moment::InGap(moment) => {
                self.flags.insert(QualityFlags::TIME_IN_DST_GAP);
                if let Some(stated) = self.plain(field) {
                    self.keep_stated(field, &stated);
                }
                moment
            }
            Moment::Twice { first, second } => {
                let fits = |moment: Timestamp| {
                    earliest.is_none_or(|earliest| earliest <= moment)
                        && latest.is_none_or(|latest| moment <= latest)
                };
                match (fits(first), fits(second)) {
                    (true, false) => {
                        self.flags.insert(QualityFlags::REPEATED_HOUR_RESOLVED);
                        first
                    }
                    (false, true) => {
                        self.flags.insert(QualityFlags::REPEATED_HOUR_RESOLVED);
                        second
                    }
                    _ => {
                        self.flags.insert(QualityFlags::REPEATED_HOUR_AMBIGUOUS);
                        first
                    }
                }
            }
        }
    }

    // State.

    fn state(&mut self, status: Option<&str>) -> State {
        match status.map(State::from_status) {
            None | Some(Some(State::Unknown)) => {
                self.flags.insert(QualityFlags::STATUS_MISSING);
                State::Unknown
            }
            Some(None) => {
                self.flags.insert(QualityFlags::STATUS_UNKNOWN);
                State::Unknown
            }
            Some(Some(state)) => state,
        }
    }

    /// Says how long the answer took, where the status says that there is one and both ends can have been.
    fn response_hours(&mut self, state: State, times: &Times) -> Option<f64> {
        let cannot_have_been = [QualityFlags::CLOSED_AFTER_PUBLICATION, QualityFlags::CREATED_PLACEHOLDER]
            .into_iter()
            .any(|flag| self.flags.contains(flag));
        match (state, times.closed_at) {
            (State::Closed, None) => {
                self.flags.insert(QualityFlags::CLOSED_WITHOUT_DATE);
                None
            }
            (State::Closed, Some(closed_at)) if closed_at >= times.created_at && !cannot_have_been => {
                Some(closed_at.duration_since(times.created_at).as_secs_f64() / 3_600.0)
            }
            (State::Open | State::InProgress | State::Pending, Some(_)) => {
                self.flags.insert(QualityFlags::CLOSED_DATE_WHILE_OPEN);
                None
            }
            _ => None,
        }
    }

    // Words.

    /// Gives the agency the one name of its code.
    fn agency_name(&mut self, agency: &str) -> Option<Cow<'a, str>> {
        let stated = self.text(Field::AgencyName);
        match (agency::name_of(agency), stated) {
            (Some(name), None) => {
                self.flags.insert(QualityFlags::AGENCY_NAME_FILLED);
                Some(Cow::Borrowed(name))
            }
            (Some(name), Some(stated)) if stated != name => {
                self.flags.insert(QualityFlags::AGENCY_NAME_STANDARDISED);
                self.keep_stated(Field::AgencyName, &stated);
                Some(Cow::Borrowed(name))
            }
            (_, stated) => stated,
        }
    }

    /// Returns the complaint type in its one spelling, and its category.
    fn complaint_type(&mut self, agency: &str) -> (Cow<'a, str>, &'static str) {
        let Some(stated) = self.text(Field::ComplaintType) else {
            self.flags.insert(QualityFlags::COMPLAINT_TYPE_MISSING);
            return (Cow::Borrowed(UNSPECIFIED), category::OTHER);
        };
        let (spelling, category) = match category::complaint_type(&stated, agency) {
            Some(ComplaintType { spelling, category }) => (Cow::Borrowed(spelling), category),
            None => {
                self.flags.insert(QualityFlags::COMPLAINT_TYPE_UNKNOWN);
                (Cow::Owned(category::spell_unknown(&stated)), category::OTHER)
            }
        };
        if spelling == stated {
            return (stated, category);
        }
        self.flags.insert(QualityFlags::COMPLAINT_TYPE_RESPELLED);
        self.keep_stated(Field::ComplaintType, &stated);
        (spelling, category)
    }

    // Place.

    /// Finds what the point lies in, unless the point is none.
    fn places(&mut self, latitude: Option<f64>, longitude: Option<f64>) -> Places {
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
    fn borough(
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

    fn zip(&mut self, places: &Places) -> Option<Cow<'a, str>> {
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

    fn community_district(&mut self, board: Option<CommunityBoard>, places: &Places) -> Option<i16> {
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

    /// Takes the stated number, or else the computed one, and flags which, and whether they disagree.
    fn stated_or_computed(
        &mut self,
        field: Field,
        read: impl FnOnce(&str) -> Option<i16>,
        computed: Option<i16>,
        filled: QualityFlags,
        differs: QualityFlags,
    ) -> Option<i16> {
        match (self.parsed(field, read), computed) {
            (Some(stated), computed) => {
                self.flag_if(computed.is_some_and(|computed| computed != stated), differs);
                Some(stated)
            }
            (None, computed) => {
                self.flag_if(computed.is_some(), filled);
                computed
            }
        }
    }

    fn bbl(&mut self, borough: Option<Borough>, places: &Places) -> Option<i64> {
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

    // Values.

    /// Returns a text cleaned, or `None` where it says nothing.
    fn text(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let text = self.text_as_it_is(field)?;
        if words::says_nothing(&text) {
            self.flags.insert(QualityFlags::NOT_AVAILABLE_EMPTIED);
            self.keep_stated(field, &text);
            return None;
        }
        Some(text)
    }

    /// Returns a text cleaned, where also `Unspecified` is an answer. An empty text is none.
    fn text_as_it_is(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let value = self.row.get(field);
        let cleaned = words::clean(value)?;
        self.flags.insert(cleaned.flags);
        if !cleaned.flags.is_empty() && !cleaned.text.is_empty() && !words::says_nothing(&cleaned.text) {
            // NUL is not kept: PostgreSQL cannot hold it there either.
            if let Some(stated) = json::scalar_text(value) {
                self.keep_stated(field, &stated);
            }
        }
        if cleaned.text.is_empty() {
            self.flags.insert(QualityFlags::NOT_AVAILABLE_EMPTIED);
            return None;
        }
        Some(cleaned.text)
    }

    /// Returns a value as it stands.
    fn plain(&self, field: Field) -> Option<Cow<'a, str>> {
        json::scalar_text(self.row.get(field))
    }

    /// Returns a value as it stands, or `None` where it says nothing. As with texts, an empty one is not kept in `stated`.
    fn said(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let stated = self.plain(field)?;
        let trimmed = stated.trim();
        if !words::says_nothing(trimmed) {
            return Some(stated);
        }
        self.flags.insert(QualityFlags::NOT_AVAILABLE_EMPTIED);
        if !trimmed.is_empty() {
            self.keep_stated(field, &stated);
        }
        None
    }

    /// Reads a value as a number or a time; what is none stays in `stated`.
    fn parsed<T>(&mut self, field: Field, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let stated = self.said(field)?;
        let value = read(&stated);
        if value.is_none() {
            self.flags.insert(QualityFlags::VALUE_UNREADABLE);
            self.keep_stated(field, &stated);
        }
        value
    }

    /// Keeps what the city said where something else now stands.
    fn keep_stated(&mut self, field: Field, stated: &str) {
        let bit = 1 << (field as u64);
        if self.kept & bit != 0 {
            return;
        }
        self.kept |= bit;
        if stated.contains('\0') {
            self.flags.insert(QualityFlags::NUL_STRIPPED);
            self.stated.push_text(field.name(), &stated.replace('\0', ""));
        } else {
            self.stated.push_text(field.name(), stated);
        }
    }

    fn flag_if(&mut self, condition: bool, flag: QualityFlags) {
        if condition {
            self.flags.insert(flag);
        }
    }
}

/// Says whether two boroughs are one, or both right for the place. The point must lie there: a ZIP alone proves no place.
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

fn reading(stated: &str) -> Option<Reading> {
    Some(match time::parse(stated.trim())? {
        StatedTime::Instant(moment) => Reading { local: None, moment: Moment::Once(moment) },
        StatedTime::Local(local) => Reading { local: Some(local), moment: local.in_new_york()? },
    })
}

/// Returns a value as the row has it, an array or an object as its JSON.
fn as_stated(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Nested(text) => Cow::Borrowed(text),
        other => json::scalar_text(other).unwrap_or_default(),
    }
}

/// Shortens a stated value for a message.
fn excerpt(stated: &str) -> String {
    stated.chars().take(60).collect()
}
