//! A raw row of the source: its fields by name, and a light look at the few that the poller needs.

use std::borrow::Cow;

use jiff::Timestamp;
use nyc311_json::{JsonError, Member, Value};

use crate::borough::Borough;
use crate::json::{self, ObjectWriter};
use crate::quality::QualityFlags;
use crate::reading::Reading;
use crate::time;

macro_rules! fields {
    ($($field:ident $name:literal,)*) => {
        /// A field of the source that has a column here, or whose value may follow from the columns.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($field,)* }

        impl Field {
            pub(crate) const COUNT: usize = [$($name),*].len();

            /// Returns the name that the source gives the field.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$field => $name,)* }
            }
        }
    };
}

impl Field {
    /// Says whether a rule decides, once all columns are known, if the field's value has a place among them
    /// or goes to the details ([`crate::enrich`]).
    const fn is_looked_at_whole(self) -> bool {
        self as usize >= Self::AddressType as usize
    }
}

fields! {
    UniqueKey "unique_key",
    CreatedDate "created_date",
    ClosedDate "closed_date",
    Agency "agency",
    AgencyName "agency_name",
    ComplaintType "complaint_type",
    Descriptor "descriptor",
    Descriptor2 "descriptor_2",
    LocationType "location_type",
    IncidentZip "incident_zip",
    IncidentAddress "incident_address",
    StreetName "street_name",
    CrossStreet1 "cross_street_1",
    CrossStreet2 "cross_street_2",
    IntersectionStreet1 "intersection_street_1",
    IntersectionStreet2 "intersection_street_2",
    City "city",
    Landmark "landmark",
    Status "status",
    DueDate "due_date",
    ResolutionDescription "resolution_description",
    ResolutionActionUpdatedDate "resolution_action_updated_date",
    CommunityBoard "community_board",
    CouncilDistrict "council_district",
    PolicePrecinct "police_precinct",
    Bbl "bbl",
    Borough "borough",
    XStatePlane "x_coordinate_state_plane",
    YStatePlane "y_coordinate_state_plane",
    OpenDataChannelType "open_data_channel_type",
    Latitude "latitude",
    Longitude "longitude",
    Version ":version",
    CreatedAt ":created_at",
    UpdatedAt ":updated_at",
    AddressType "address_type",
    ParkFacilityName "park_facility_name",
    ParkBorough "park_borough",
    Location "location",
    RowId ":id",
    ZipRegion ":@computed_region_efsh_h5xi",
    CommunityDistrictRegion ":@computed_region_f5dn_yrer",
    BoroughRegion ":@computed_region_yeji_bk3q",
    CouncilDistrictRegion ":@computed_region_92fq_4b7q",
    PolicePrecinctRegion ":@computed_region_sbqj_enih",
}

/// All field names in the order in which the source writes them.
const ORDER: [&str; 54] = [
    "unique_key",
    "created_date",
    "closed_date",
    "agency",
    "agency_name",
    "complaint_type",
    "descriptor",
    "descriptor_2",
    "location_type",
    "incident_zip",
    "incident_address",
    "street_name",
    "cross_street_1",
    "cross_street_2",
    "intersection_street_1",
    "intersection_street_2",
    "address_type",
    "city",
    "landmark",
    "facility_type",
    "status",
    "due_date",
    "resolution_description",
    "resolution_action_updated_date",
    "community_board",
    "council_district",
    "police_precinct",
    "bbl",
    "borough",
    "x_coordinate_state_plane",
    "y_coordinate_state_plane",
    "open_data_channel_type",
    "park_facility_name",
    "park_borough",
    "vehicle_type",
    "taxi_company_borough",
    "taxi_pick_up_location",
    "bridge_highway_name",
    "bridge_highway_direction",
    "road_ramp",
    "bridge_highway_segment",
    "latitude",
    "longitude",
    "location",
    ":id",
    ":version",
    ":created_at",
    ":updated_at",
    ":sid",
    ":@computed_region_efsh_h5xi",
    ":@computed_region_f5dn_yrer",
    ":@computed_region_yeji_bk3q",
    ":@computed_region_92fq_4b7q",
    ":@computed_region_sbqj_enih",
];

/// The field of each name of [`ORDER`]; those without one go to the details.
const FIELDS: [Option<Field>; ORDER.len()] = [
    Some(Field::UniqueKey),
    Some(Field::CreatedDate),
    Some(Field::ClosedDate),
    Some(Field::Agency),
    Some(Field::AgencyName),
    Some(Field::ComplaintType),
    Some(Field::Descriptor),
    Some(Field::Descriptor2),
    Some(Field::LocationType),
    Some(Field::IncidentZip),
    Some(Field::IncidentAddress),
    Some(Field::StreetName),
    Some(Field::CrossStreet1),
    Some(Field::CrossStreet2),
    Some(Field::IntersectionStreet1),
    Some(Field::IntersectionStreet2),
    Some(Field::AddressType),
    Some(Field::City),
    Some(Field::Landmark),
    None,
    Some(Field::Status),
    Some(Field::DueDate),
    Some(Field::ResolutionDescription),
    Some(Field::ResolutionActionUpdatedDate),
    Some(Field::CommunityBoard),
    Some(Field::CouncilDistrict),
    Some(Field::PolicePrecinct),
    Some(Field::Bbl),
    Some(Field::Borough),
    Some(Field::XStatePlane),
    Some(Field::YStatePlane),
    Some(Field::OpenDataChannelType),
    Some(Field::ParkFacilityName),
    Some(Field::ParkBorough),
    None,
    None,
    None,
    None,
    None,
    None,
    None,
    Some(Field::Latitude),
    Some(Field::Longitude),
    Some(Field::Location),
    Some(Field::RowId),
    Some(Field::Version),
    Some(Field::CreatedAt),
    Some(Field::UpdatedAt),
    None,
    Some(Field::ZipRegion),
    Some(Field::CommunityDistrictRegion),
    Some(Field::BoroughRegion),
    Some(Field::CouncilDistrictRegion),
    Some(Field::PolicePrecinctRegion),
];

/// How many names are tried before a key is looked up: enough to pass over the columns that most rows leave
/// out.
const EXPECTED: usize = 9;

/// A raw row, taken apart: values by field, and everything else as the text of the details.
pub(crate) struct Row<'a> {
    values: [Value<'a>; Field::COUNT],
    pub(crate) details: ObjectWriter,
    pub(crate) flags: QualityFlags,
}

impl<'a> Row<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, JsonError> {
        let mut row = Self {
            values: [Value::Null; Field::COUNT],
            details: ObjectWriter::default(),
            flags: QualityFlags::default(),
        };
        let mut members = json::row_members(text)?;
        let mut next = 0;
        loop {
            let expected = ORDER.get(next..ORDER.len().min(next + EXPECTED)).unwrap_or_default();
            let Some((member, found)) = members.next_expecting(expected)? else { break };
            let found = found.map(|index| next + index).or_else(|| find(&member));
            if let Some(index) = found {
                next = index + 1;
            }
            let field = found.and_then(|index| FIELDS.get(index).copied().flatten());
            if let Some(slot) = field.and_then(|field| row.values.get_mut(field as usize)) {
                *slot = member.value;
            }
            match (field, member.value) {
                // An array or an object fits no column; it is kept where everything unexpected is.
                (Some(field), Value::Nested(_)) if !field.is_looked_at_whole() => {
                    row.flags.insert(QualityFlags::VALUE_UNREADABLE);
                    row.keep(&member, members.wide_numbers());
                }
                (Some(_), _) | (None, Value::Null) => {}
                (None, _) => row.keep(&member, members.wide_numbers()),
            }
        }
        Ok(row)
    }

    #[inline]
    pub(crate) fn get(&self, field: Field) -> Value<'a> {
        self.values.get(field as usize).copied().unwrap_or(Value::Null)
    }

    /// Keeps a member in the details, in a form that PostgreSQL can hold. `wide_numbers`: the row has had
    /// some, maybe in this member.
    fn keep(&mut self, member: &Member<'a>, wide_numbers: bool) {
        let escaped = match member.value {
            Value::Text(token) => token.escaped,
            Value::Nested(_) => true,
            Value::Number(_) | Value::Null | Value::Bool(_) => false,
        };
        if wide_numbers {
            self.keep_cleaned(&json::quote_wide_numbers(member.text));
        } else if escaped || member.key.escaped {
            self.keep_cleaned(member.text);
        } else {
            self.details.push_member(member.text);
        }
    }

    /// Keeps the value of a field in the details after all, under its name.
    pub(crate) fn keep_field(&mut self, field: Field) {
        let value = match self.get(field) {
            Value::Null => return,
            Value::Text(token) => format!("\"{}\"", token.raw),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) | Value::Nested(text) => json::quote_wide_numbers(text),
        };
        self.keep_cleaned(&format!("\"{}\":{value}", field.name()));
    }

    fn keep_cleaned(&mut self, text: &str) {
        let (clean, cleaned) = json::clean_for_postgres(text);
        if cleaned.nul {
            self.flags.insert(QualityFlags::NUL_STRIPPED);
        }
        if cleaned.surrogate {
            self.flags.insert(QualityFlags::TEXT_DAMAGED);
        }
        self.details.push_member(&clean);
    }
}

/// Finds the name of a member in [`ORDER`].
fn find(member: &Member<'_>) -> Option<usize> {
    ORDER.iter().position(|name| json::key_is(&member.key, name))
}

/// Names the field in whose value a byte lies, of a text that is not JSON from there on. None for an unknown
/// one, and where the name of a field was due.
pub(crate) fn field_at(text: &str, at_byte: usize) -> Option<&'static str> {
    let mut before = text.get(..at_byte)?;
    if before.trim_ascii_end().ends_with([',', '{']) {
        return None;
    }
    loop {
        (before, _) = before.rsplit_once(':')?;
        // A colon within a text follows no quote, or one that is escaped.
        if let Some(name) = before.trim_ascii_end().strip_suffix('"').filter(|name| !name.ends_with('\\')) {
            let (_, name) = name.rsplit_once('"')?;
            return known_fields().find(|known| *known == name);
        }
    }
}

/// Names the fields of the source that this program knows, in the source's order. Others are kept all the
/// same, and are worth a look.
pub fn known_fields() -> impl Iterator<Item = &'static str> {
    ORDER.into_iter()
}

/// Tells the fields that the source calls its own (`:*`) from the columns (`*`), among which the computed
/// regions are.
pub fn is_system_field(name: &str) -> bool {
    name.starts_with(':') && !name.starts_with(":@")
}

/// The few fields of a raw row that decide where it goes and how far the poller has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawHead<'a> {
    pub unique_key: Option<Cow<'a, str>>,
    /// The stated borough; none where it is missing or `Unspecified`.
    pub borough: Option<Borough>,
    pub updated_at: Option<Timestamp>,
    pub row_id: Option<Cow<'a, str>>,
    /// `created_date`, of two moments the first.
    pub created_at: Option<Timestamp>,
}

/// Takes a light look at a raw row. Nothing is an error: what is missing or unreadable is `None`, and so is
/// everything of a row that is not an object.
pub fn peek(raw: &[u8]) -> RawHead<'_> {
    simdutf8::basic::from_utf8(raw).ok().and_then(|text| head(text).ok()).unwrap_or_default()
}

fn head(text: &str) -> Result<RawHead<'_>, JsonError> {
    let mut members = json::row_members(text)?;
    let mut head = RawHead::default();
    while let Some(member) = members.next()? {
        let key = if member.key.escaped { &*member.key.text() } else { member.key.raw };
        let text = || json::scalar_text(member.value);
        match key {
            "unique_key" => head.unique_key = text(),
            "borough" => head.borough = text().and_then(|stated| Borough::from_stated(&stated)),
            "created_date" => head.created_at = text().and_then(|stated| Some(Reading::of(&stated)?.first())),
            ":updated_at" => head.updated_at = text().and_then(|stated| time::parse_instant(stated.trim())),
            ":id" => head.row_id = text(),
            _ => {}
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn peek_reads_the_head_of_a_row() {
        let head = peek(br#"{":id":"row-1","unique_key":"68634446","created_date":"2026-04-12T01:18:41.000","borough":" queens ",":updated_at":"2026-04-13T01:37:29.631Z"}"#);
        assert_eq!(head.unique_key.as_deref(), Some("68634446"));
        assert_eq!(head.borough, Some(Borough::Queens));
        assert_eq!(head.row_id.as_deref(), Some("row-1"));
        assert_eq!(head.updated_at, "2026-04-13T01:37:29.631Z".parse().ok());
        assert_eq!(head.created_at, "2026-04-12T05:18:41Z".parse().ok());
    }

    #[test]
    fn numbers_are_read_like_texts() {
        let head = peek(br#"{"unique_key":68634446,"borough":null}"#);
        assert_eq!(head.unique_key.as_deref(), Some("68634446"));
        assert_eq!(head.borough, None);
    }

    #[test]
    fn row_that_is_not_an_object_has_no_head() {
        for raw in [&b""[..], b"[]", b"null", b"\xff", br#"{"unique_key":"1""#] {
            assert_eq!(peek(raw), RawHead::default());
        }
    }

    #[test]
    fn the_field_of_a_place_is_named() {
        let text = r#"{"agency" : "a\":b 10:15", ":id":"row-1","unheard_of":7,"city":"x"}"#;
        for (place, field) in [
            ("10:15", Some("agency")),
            ("15\"", Some("agency")),
            ("row-1", Some(":id")),
            ("7", None),
            ("x", Some("city")),
            ("agency", None),
            ("\"city", None),
        ] {
            assert_eq!(field_at(text, text.find(place).unwrap()), field, "{place}");
        }
        assert_eq!(field_at(text, 1_000), None);
        let rejection = crate::enrich(b"{\"unique_key\":\"7\",\"descriptor\":\"a\tb\"}").unwrap_err();
        assert_eq!((rejection.reason, rejection.field), ("not_an_object", Some("descriptor")));
    }

    #[test]
    fn every_field_is_found_in_any_order() {
        for (name, field) in ORDER.iter().zip(&FIELDS).rev() {
            let text = format!("{{\"zzz\":1,\"{name}\":\"v\"}}");
            let row = Row::read(&text).unwrap();
            match field {
                Some(field) => {
                    assert_eq!(field.name(), *name);
                    assert_eq!(json::scalar_text(row.get(*field)).as_deref(), Some("v"));
                    assert_eq!(row.details.finish().unwrap().as_str(), r#"{"zzz":1}"#);
                }
                None => assert_eq!(
                    row.details.finish().unwrap().as_str(),
                    format!("{{\"zzz\":1,\"{name}\":\"v\"}}")
                ),
            }
        }
        assert_eq!(FIELDS.iter().flatten().count(), Field::COUNT);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            peek(&bytes);
        }
    }
}
