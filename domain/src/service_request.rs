//! A service request as the tables hold it, and its JSON form, which is the value of an `nyc311.enriched`
//! record.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use jiff::Timestamp;
use nyc311_json::{JsonError, Value};

use crate::json::{self, Json};
use crate::quality::QualityFlags;
use crate::time;
use crate::version::Identity;

/// What stands in a column that must say something where the row says nothing.
pub(crate) const UNSPECIFIED: &str = "Unspecified";

/// An enriched value that this program did not write, or not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichedError {
    /// The column to blame; none where the value is no JSON object at all.
    pub field: Option<&'static str>,
    pub detail: String,
}

impl fmt::Display for EnrichedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(formatter, "enriched value unreadable at {field}: {}", self.detail),
            None => write!(formatter, "enriched value unreadable: {}", self.detail),
        }
    }
}

impl Error for EnrichedError {}

impl From<JsonError> for EnrichedError {
    fn from(malformed: JsonError) -> Self {
        let detail = format!("expected {} at byte {}", malformed.expected, malformed.at);
        Self { field: None, detail }
    }
}

macro_rules! columns {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty,)*) => {
        /// A service request: one field for each column of the table `service_request` that the row itself
        /// decides, in the table's order.
        #[derive(Debug, Clone, PartialEq)]
        pub struct ServiceRequest<'a> {
            $($(#[doc = $doc])* pub $name: $type,)*
        }

        const NAMES: &[&str] = &[$(stringify!($name),)*];

        impl ServiceRequest<'_> {
            /// Appends the enriched JSON: columns as members in the table's order, nulls left out.
            pub fn write_json(&self, out: &mut Vec<u8>) {
                out.reserve(2_048);
                let start = out.len();
                $(self.$name.write(concat!(",\"", stringify!($name), "\":"), out);)*
                // The key is always there, so the first byte is the comma before it.
                if let Some(first) = out.get_mut(start) {
                    *first = b'{';
                }
                out.push(b'}');
            }
        }

        impl<'a> ServiceRequest<'a> {
            /// Reads what [`ServiceRequest::write_json`] wrote; texts borrow from `value` where they have no
            /// escapes.
            pub fn from_json(value: &'a [u8]) -> Result<Self, EnrichedError> {
                let values = read_members(value)?;
                let mut values = values.into_iter();
                Ok(Self {
                    $($name: <$type as Column<'a>>::read(values.next().unwrap_or(Value::Null))
                        .map_err(|detail| EnrichedError { field: Some(stringify!($name)), detail })?,)*
                })
            }
        }
    };
}

columns! {
    unique_key: i64,
    /// `:updated_at` of the row.
    source_updated_at: Timestamp,
    /// `:version` of the row, or what tells its content ([`crate::CONTENT`]).
    source_version: Cow<'a, str>,
    rules_revision: i16,
    /// `:created_at` of the row.
    source_created_at: Option<Timestamp>,
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    resolution_updated_at: Option<Timestamp>,
    /// Hours from created to closed, only where the request is closed and both times make sense.
    response_hours: Option<f64>,
    quality_flags: QualityFlags,
    /// As stated.
    status: Option<Cow<'a, str>>,
    /// One of the names of [`crate::State`].
    state: Cow<'a, str>,
    is_open: bool,
    agency: Cow<'a, str>,
    agency_name: Option<Cow<'a, str>>,
    complaint_type: Cow<'a, str>,
    category: Option<Cow<'a, str>>,
    descriptor: Option<Cow<'a, str>>,
    descriptor_2: Option<Cow<'a, str>>,
    location_type: Option<Cow<'a, str>>,
    open_data_channel_type: Option<Cow<'a, str>>,
    resolution_description: Option<Cow<'a, str>>,
    /// One of the names of [`crate::Borough`].
    borough: Option<Cow<'a, str>>,
    incident_zip: Option<Cow<'a, str>>,
    city: Option<Cow<'a, str>>,
    incident_address: Option<Cow<'a, str>>,
    street_name: Option<Cow<'a, str>>,
    cross_street_1: Option<Cow<'a, str>>,
    cross_street_2: Option<Cow<'a, str>>,
    intersection_street_1: Option<Cow<'a, str>>,
    intersection_street_2: Option<Cow<'a, str>>,
    landmark: Option<Cow<'a, str>>,
    bbl: Option<i64>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    x_state_plane: Option<i32>,
    y_state_plane: Option<i32>,
    /// As stated.
    community_board: Option<Cow<'a, str>>,
    /// The city's number of the district: 310 is Brooklyn 10.
    community_district: Option<i16>,
    council_district: Option<i16>,
    police_precinct: Option<i16>,
    nta2020: Option<Cow<'a, str>>,
    zcta: Option<Cow<'a, str>>,
    /// What the city said, by the name of its field, for each value that was replaced.
    stated: Option<Json<'a>>,
    /// Every field of the row that has no column and does not follow from the columns.
    details: Option<Json<'a>>,
    /// `:id` of the row.
    source_row_id: Option<Cow<'a, str>>,
    /// As stated.
    address_type: Option<Cow<'a, str>>,
    /// The portal's own number of the ZIP area that it found the point in, as the four below.
    zip_region: Option<i32>,
    community_district_region: Option<i16>,
    borough_region: Option<i16>,
    council_district_region: Option<i16>,
    police_precinct_region: Option<i16>,
    /// Which fields of the row follow from the columns ([`crate::Implied`]); none where it is no field.
    implied: Option<i16>,
}

/// Reads which version an enriched value is, without the rest of it.
pub fn identity(enriched_value: &[u8]) -> Result<Identity, EnrichedError> {
    fn field<'a, T: Column<'a>>(name: &'static str, value: Value<'a>) -> Result<T, EnrichedError> {
        T::read(value).map_err(|detail| EnrichedError { field: Some(name), detail })
    }
    const WANTED: [&str; 4] = ["unique_key", "source_updated_at", "source_version", "rules_revision"];
    let mut members = json::members(utf8(enriched_value)?)?;
    let mut values = [None; 4];
    // They are written first, so the rest of the value is not looked at.
    while values.contains(&None) {
        let Some(member) = members.next()? else { break };
        if let Some(index) = WANTED.iter().position(|name| json::key_is(&member.key, name))
            && let Some(slot) = values.get_mut(index)
        {
            *slot = Some(member.value);
        }
    }
    let [key, updated_at, version, revision] = values.map(|value| value.unwrap_or(Value::Null));
    let source_version: Cow<'_, str> = field("source_version", version)?;
    let updated_at: Timestamp = field("source_updated_at", updated_at)?;
    Ok(Identity {
        unique_key: field("unique_key", key)?,
        // As PostgreSQL keeps it, so that what is one version there is one everywhere.
        source_updated_at: Timestamp::from_microsecond(updated_at.as_microsecond()).unwrap_or(updated_at),
        source_version: source_version.into(),
        rules_revision: field("rules_revision", revision)?,
    })
}

fn utf8(value: &[u8]) -> Result<&str, EnrichedError> {
    simdutf8::compat::from_utf8(value)
        .map_err(|error| EnrichedError { field: None, detail: error.to_string() })
}

/// How many names are tried before a key is looked up: enough to pass over the columns that most requests
/// leave empty.
const EXPECTED: usize = 9;

/// Reads the members into the order of the columns, in which they were written, so the next few names are the
/// likely ones.
fn read_members(value: &[u8]) -> Result<[Value<'_>; NAMES.len()], EnrichedError> {
    let mut members = json::members(utf8(value)?)?;
    let mut values = [Value::Null; NAMES.len()];
    let mut next = 0;
    loop {
        let expected = NAMES.get(next..NAMES.len().min(next + EXPECTED)).unwrap_or_default();
        let Some((member, found)) = members.next_expecting(expected)? else { break };
        let found = match found {
            Some(index) => Some(next + index),
            None => NAMES.iter().position(|name| json::key_is(&member.key, name)),
        };
        if let Some(index) = found {
            next = index + 1;
            if let Some(slot) = values.get_mut(index) {
                *slot = member.value;
            }
        }
    }
    Ok(values)
}

/// A kind of column: how its values are written and read. `key` is the comma, the quoted name and the colon.
trait Column<'a>: Sized {
    fn write(&self, key: &str, out: &mut Vec<u8>);
    fn read(value: Value<'a>) -> Result<Self, String>;
}

fn wrong<T>(expected: &str, value: Value<'_>) -> Result<T, String> {
    Err(format!("expected {expected}, got {value:?}"))
}

macro_rules! integer_columns {
    ($($type:ty),*) => {$(
        impl<'a> Column<'a> for $type {
            fn write(&self, key: &str, out: &mut Vec<u8>) {
                out.extend_from_slice(key.as_bytes());
                write_integer(i64::from(*self), out);
            }

            fn read(value: Value<'a>) -> Result<Self, String> {
                match value {
                    Value::Number(digits) => digits.parse().map_err(|error| format!("{digits}: {error}")),
                    other => wrong("a number", other),
                }
            }
        }
    )*};
}

integer_columns!(i16, i32, i64);

#[inline]
fn write_integer(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = number.unsigned_abs();
    let mut length = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(20 - length..).unwrap_or_default());
}

impl<'a> Column<'a> for f64 {
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        // JSON has no infinities; no rule makes one.
        if self.is_finite() {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(ryu::Buffer::new().format_finite(*self).as_bytes());
        }
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        match value {
            Value::Number(digits) => match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => wrong("a finite number", value),
            },
            other => wrong("a number", other),
        }
    }
}

impl<'a> Column<'a> for bool {
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        if let Value::Bool(value) = value { Ok(value) } else { wrong("true or false", value) }
    }
}

impl<'a> Column<'a> for Timestamp {
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        out.push(b'"');
        time::write_rfc3339(*self, out);
        out.push(b'"');
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        let Value::Text(token) = value else { return wrong("a time", value) };
        let text = token.text();
        match time::parse_instant(&text) {
            Some(moment) => Ok(moment),
            // Years of more than four digits are jiff's own.
            None => text.parse().map_err(|error| format!("{text}: {error}")),
        }
    }
}

impl<'a> Column<'a> for Cow<'a, str> {
    #[inline]
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        json::write_string(out, self);
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        if let Value::Text(token) = value { Ok(token.text()) } else { wrong("a text", value) }
    }
}

impl<'a> Column<'a> for Json<'a> {
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(self.0.as_bytes());
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        match value {
            Value::Nested(text) if text.starts_with('{') => Ok(Self(Cow::Borrowed(text))),
            other => wrong("an object", other),
        }
    }
}

impl<'a> Column<'a> for QualityFlags {
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(key.as_bytes());
        let mut separator = b'[';
        for name in self.names() {
            out.extend_from_slice(&[separator, b'"']);
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
            separator = b',';
        }
        if self.is_empty() {
            out.push(b'[');
        }
        out.push(b']');
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        let Value::Nested(text) = value else { return wrong("an array of flag names", value) };
        let Some(names) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
            return wrong("an array of flag names", value);
        };
        let mut flags = Self::default();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = name.trim_matches('"');
            flags.insert(Self::from_name(name).ok_or_else(|| format!("no quality flag is called {name}"))?);
        }
        Ok(flags)
    }
}

impl<'a, T: Column<'a>> Column<'a> for Option<T> {
    #[inline]
    fn write(&self, key: &str, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(key, out);
        }
    }

    fn read(value: Value<'a>) -> Result<Self, String> {
        if value == Value::Null { Ok(None) } else { T::read(value).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Option<Cow<'static, str>>> {
        any::<Option<String>>().prop_map(|text| text.map(Cow::Owned))
    }

    fn moment() -> impl Strategy<Value = Timestamp> {
        (-377_705_000_000_i64..253_402_000_000, prop_oneof![Just(0), 0..1_000_000_000])
            .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap())
    }

    fn moments() -> impl Strategy<Value = Option<Timestamp>> {
        proptest::option::of(moment())
    }

    fn float() -> impl Strategy<Value = Option<f64>> {
        proptest::option::of(
            proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL,
        )
    }

    fn object() -> impl Strategy<Value = Option<Json<'static>>> {
        proptest::option::of(proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4))
            .prop_map(|map| map.map(|map| Json(Cow::Owned(serde_json::to_string(&map).unwrap()))))
    }

    prop_compose! {
        fn request()(
            (unique_key, source_updated_at, source_version, rules_revision, is_open) in (any::<i64>(), moment(), any::<String>(), any::<i16>(), any::<bool>()),
            (source_created_at, created_at, closed_at, due_at, resolution_updated_at) in (moments(), moment(), moments(), moments(), moments()),
            (response_hours, latitude, longitude) in (float(), float(), float()),
            bits in any::<i64>(),
            (status, state, agency, agency_name, complaint_type, category, descriptor) in (text(), any::<String>(), any::<String>(), text(), any::<String>(), text(), text()),
            (descriptor_2, location_type, open_data_channel_type, resolution_description, borough, incident_zip, city) in (text(), text(), text(), text(), text(), text(), text()),
            (incident_address, street_name, cross_street_1, cross_street_2, intersection_street_1, intersection_street_2, landmark) in (text(), text(), text(), text(), text(), text(), text()),
            (bbl, x_state_plane, y_state_plane, community_board, community_district) in (any::<Option<i64>>(), any::<Option<i32>>(), any::<Option<i32>>(), text(), any::<Option<i16>>()),
            (council_district, police_precinct, nta2020, zcta) in (any::<Option<i16>>(), any::<Option<i16>>(), text(), text()),
            (stated, details) in (object(), object()),
            (source_row_id, address_type, zip_region, implied) in (text(), text(), any::<Option<i32>>(), any::<Option<i16>>()),
            (community_district_region, borough_region, council_district_region, police_precinct_region) in (any::<Option<i16>>(), any::<Option<i16>>(), any::<Option<i16>>(), any::<Option<i16>>()),
        ) -> ServiceRequest<'static> {
            ServiceRequest {
                unique_key, source_updated_at, source_version: source_version.into(), rules_revision, source_created_at, created_at, closed_at, due_at,
                resolution_updated_at, response_hours, quality_flags: QualityFlags::from_bits(bits), status, state: state.into(), is_open,
                agency: agency.into(), agency_name, complaint_type: complaint_type.into(), category, descriptor, descriptor_2, location_type,
                open_data_channel_type, resolution_description, borough, incident_zip, city, incident_address, street_name, cross_street_1,
                cross_street_2, intersection_street_1, intersection_street_2, landmark, bbl, latitude, longitude, x_state_plane, y_state_plane,
                community_board, community_district, council_district, police_precinct, nta2020, zcta, stated, details,
                source_row_id, address_type, zip_region, community_district_region, borough_region, council_district_region,
                police_precinct_region, implied,
            }
        }
    }

    proptest! {
        #[test]
        fn written_requests_read_back_the_same(request in request()) {
            let mut json = Vec::new();
            request.write_json(&mut json);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
            prop_assert_eq!(ServiceRequest::from_json(&json).unwrap(), request.clone());
            let mut again = Vec::new();
            ServiceRequest::from_json(&json).unwrap().write_json(&mut again);
            prop_assert_eq!(&again, &json);
            let expected = Identity {
                unique_key: request.unique_key,
                source_updated_at: Timestamp::from_microsecond(request.source_updated_at.as_microsecond()).unwrap(),
                source_version: request.source_version.into_owned().into(),
                rules_revision: request.rules_revision,
            };
            prop_assert_eq!(identity(&json).unwrap(), expected);
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = ServiceRequest::from_json(&bytes);
            let _ = identity(&bytes);
        }
    }

    #[test]
    fn error_names_the_column() {
        let error = ServiceRequest::from_json(br#"{"unique_key":1,"source_updated_at":"soon"}"#).unwrap_err();
        assert_eq!(error.field, Some("source_updated_at"));
        assert_eq!(ServiceRequest::from_json(b"[]").unwrap_err().field, None);
        assert_eq!(identity(br#"{"unique_key":"x"}"#).unwrap_err().field, Some("source_version"));
    }

    #[test]
    fn unknown_flag_is_an_error() {
        let read = <QualityFlags as Column<'_>>::read(Value::Nested(r#"["nul_stripped", "brand_new"]"#));
        assert_eq!(read.unwrap_err(), "no quality flag is called brand_new");
    }
}
