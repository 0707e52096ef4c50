//! From a raw row to a service request: every rule of this crate, in order.
//!
//! 1. The row must be an object with a `unique_key` and a readable `created_date`; otherwise it is rejected.
//! 2. Times: local New York time becomes a moment; the order of events is checked (`enrich/times.rs`).
//! 3. Words: every text is cleaned.
//! 4. State, from the status alone; the response time, only where state and times make sense together.
//! 5. Place: stated first, computed where missing, flagged where the two disagree (`enrich/places.rs`).
//!
//! What a rule replaces is kept in `stated` under the field's name, blanks aside; what has no column, and
//! does not follow from the columns (`enrich/implied.rs`), in `details`; and each rule that did or doubted
//! something leaves its flag. Nothing here looks at a clock: the same bytes give the same request for ever.

mod enrichment;
mod implied;
mod places;
mod times;

use std::borrow::Cow;

use jiff::Timestamp;
use nyc311_json::Value;

use self::enrichment::{Enrichment, as_stated, excerpt};
pub use self::implied::Implied;
use self::times::Times;
use crate::category::{self, ComplaintType};
use crate::json::{self, ObjectWriter};
use crate::quality::QualityFlags;
use crate::rejection::Rejection;
use crate::row::{self, Field, Row};
use crate::service_request::{ServiceRequest, UNSPECIFIED};
use crate::state::State;
use crate::version::{RULES_REVISION, version_of_content};
use crate::{agency, place, time, words};

/// Turns a raw row into a service request.
pub fn enrich(raw: &[u8]) -> Result<ServiceRequest<'_>, Rejection> {
    let text = simdutf8::compat::from_utf8(raw).map_err(|error| Rejection {
        reason: Rejection::NOT_UTF8,
        field: None,
        detail: error.to_string(),
        unique_key: None,
    })?;
    let row = Row::read(text).map_err(|malformed| Rejection {
        reason: Rejection::NOT_AN_OBJECT,
        field: row::field_at(text, malformed.at),
        detail: format!("expected {} at byte {}", malformed.expected, malformed.at),
        unique_key: None,
    })?;
    Enrichment { raw, flags: row.flags, row, stated: ObjectWriter::default(), kept: 0 }.run()
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
        let council_district = self.council_district(&places, times.created_at, published);
        let police_precinct = self.stated_or_computed(
            Field::PolicePrecinct,
            place::read_police_precinct,
            places.police_precinct,
            places.police_precinct,
            QualityFlags::POLICE_PRECINCT_FROM_POINT,
            QualityFlags::POLICE_PRECINCT_DIFFERS_FROM_POINT,
        );
        let bbl = self.bbl(borough, &places);
        let implied = self.implied(borough, latitude, longitude);

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
            source_row_id: self.verbatim(Field::RowId),
            address_type: self.verbatim(Field::AddressType),
            zip_region: self.region(Field::ZipRegion),
            community_district_region: self.region(Field::CommunityDistrictRegion),
            borough_region: self.region(Field::BoroughRegion),
            council_district_region: self.region(Field::CouncilDistrictRegion),
            police_precinct_region: self.region(Field::PolicePrecinctRegion),
            implied,
            quality_flags: self.flags.union(self.row.flags),
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

    /// Reads `:version`, which is compared as bytes and so not cleaned, but for NUL. Where it says nothing,
    /// the content is the version.
    fn source_version(&mut self) -> Cow<'a, str> {
        let mut version = self.plain(Field::Version).unwrap_or_default();
        if version.contains('\0') {
            self.flags.insert(QualityFlags::NUL_STRIPPED);
            version = Cow::Owned(version.replace('\0', ""));
        }
        if version.is_empty() { Cow::Owned(version_of_content(self.raw)) } else { version }
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
        // Blanks say nothing: their flag is enough.
        let is_other = !cleaned.flags.without(QualityFlags::BLANKS_COLLAPSED).is_empty();
        if is_other && !cleaned.text.is_empty() && !words::says_nothing(&cleaned.text) {
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

    /// Returns a value as it stands, or `None` where it says nothing. As with texts, an empty one is not kept
    /// in `stated`.
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
