//! Fields of the source that repeat what the columns say. Where one does so exactly, a bit stands for it;
//! otherwise it goes to the details, like any field without a column.

use std::borrow::Cow;

use nyc311_json::Value;

use super::enrichment::Enrichment;
use crate::borough::Borough;
use crate::row::Field;
use crate::service_request::UNSPECIFIED;

/// What the city writes into every `location`, beside the point.
const HUMAN_ADDRESS: &str = r#"{\"address\": \"\", \"city\": \"\", \"state\": \"\", \"zip\": \"\"}"#;

/// The fields that follow from the columns, one bit each. A bit, once given, is never used for another field;
/// `nyc311.source_details` makes the fields again from bits and columns.
pub struct Implied;

impl Implied {
    /// `location` is the point of `latitude` and `longitude`, with an empty address.
    pub const LOCATION: i16 = 1 << 0;
    /// `park_borough` is the name in `borough`.
    pub const PARK_BOROUGH: i16 = 1 << 1;
    /// `park_facility_name` is `Unspecified`.
    pub const PARK_FACILITY: i16 = 1 << 2;
}

impl<'a> Enrichment<'a> {
    /// Finds the fields that follow from the columns, and keeps the others in the details.
    pub(super) fn implied(
        &mut self,
        borough: Option<Borough>,
        latitude: Option<f64>,
        longitude: Option<f64>,
    ) -> Option<i16> {
        let location = match self.row.get(Field::Location) {
            Value::Nested(text) => latitude.zip(longitude).is_some_and(|point| is_location_of(text, point)),
            _ => false,
        };
        let says = |field, text: &str| self.plain_token(field) == Some(text);
        let park_borough = borough.is_some_and(|borough| says(Field::ParkBorough, borough.name()));
        let park_facility = says(Field::ParkFacilityName, UNSPECIFIED);
        let fields = [
            (Field::Location, location, Implied::LOCATION),
            (Field::ParkBorough, park_borough, Implied::PARK_BOROUGH),
            (Field::ParkFacilityName, park_facility, Implied::PARK_FACILITY),
        ];
        let mut bits = 0;
        for (field, follows, bit) in fields {
            if follows {
                bits |= bit;
            } else {
                self.row.keep_field(field);
            }
        }
        (bits != 0).then_some(bits)
    }

    /// Returns a text that can stand in its column as it is; keeps everything else in the details.
    pub(super) fn verbatim(&mut self, field: Field) -> Option<Cow<'a, str>> {
        let text = self.plain_token(field);
        if text.is_none() {
            self.row.keep_field(field);
        }
        text.map(Cow::Borrowed)
    }

    /// Returns the number of a computed region; keeps everything that is not written as one in the details.
    pub(super) fn region<T: TryFrom<u32>>(&mut self, field: Field) -> Option<T> {
        let number = self.plain_token(field).and_then(|digits| {
            let number: u32 = digits.parse().ok()?;
            // As it would be written again: no sign, and no zero before it.
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'));
            if is_plain { number.try_into().ok() } else { None }
        });
        if number.is_none() {
            self.row.keep_field(field);
        }
        number
    }

    /// Returns the value of a field that is a text without escapes.
    fn plain_token(&self, field: Field) -> Option<&'a str> {
        match self.row.get(field) {
            Value::Text(token) if !token.escaped => Some(token.raw),
            _ => None,
        }
    }
}

/// Says whether the JSON of a `location` is, to the byte, what the city writes for a point.
fn is_location_of(text: &str, (latitude, longitude): (f64, f64)) -> bool {
    let rest = text.strip_prefix(r#"{"latitude":""#).and_then(|rest| strip_degrees(rest, latitude));
    let rest = rest.and_then(|rest| rest.strip_prefix(r#"","longitude":""#));
    let rest = rest.and_then(|rest| strip_degrees(rest, longitude));
    let rest = rest.and_then(|rest| rest.strip_prefix(r#"","human_address":""#));
    rest.and_then(|rest| rest.strip_prefix(HUMAN_ADDRESS)) == Some(r#""}"#)
}

/// Strips a number in its shortest form, in which PostgreSQL writes it too: without an exponent, and with
/// something behind the point.
fn strip_degrees(text: &str, degrees: f64) -> Option<&str> {
    let is_plain = (1.0..1_000.0).contains(&degrees.abs()) && degrees.fract() != 0.0;
    if is_plain { text.strip_prefix(ryu::Buffer::new().format_finite(degrees)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServiceRequest, enrich};

    fn told(fields: &str, assert: impl FnOnce(&ServiceRequest<'_>)) {
        let row = format!(
            r#"{{"unique_key":"1","created_date":"2026-04-12T01:18:41.000","borough":"QUEENS","latitude":"40.682233221172325","longitude":"-73.5",{fields}}}"#
        );
        assert(&enrich(row.as_bytes()).unwrap());
    }

    fn details(request: &ServiceRequest<'_>) -> String {
        request.details.as_ref().map_or_else(String::new, |details| details.as_str().to_owned())
    }

    #[test]
    fn what_the_columns_say_is_left_out_and_what_they_do_not_say_is_kept() {
        let location = |latitude: &str, address: &str| {
            format!(
                r#""location":{{"latitude":"{latitude}","longitude":"-73.5","human_address":"{address}"}}"#
            )
        };
        let point = location("40.682233221172325", HUMAN_ADDRESS);
        let all = Implied::LOCATION | Implied::PARK_BOROUGH | Implied::PARK_FACILITY;
        told(&format!(r#"{point},"park_borough":"QUEENS","park_facility_name":"Unspecified""#), |request| {
            assert_eq!((request.implied, details(request)), (Some(all), String::new()));
        });
        for other in [
            location("40.6822332211723250", HUMAN_ADDRESS),
            location("40.682233221172326", HUMAN_ADDRESS),
            location("40.682233221172325", ""),
            r#""location":"x""#.to_owned(),
            r#""location":{"latitude":"40.682233221172325","longitude":"-73.5"}"#.to_owned(),
            r#""park_borough":"Queens""#.to_owned(),
            r#""park_borough":"\u0051UEENS""#.to_owned(),
            r#""park_borough":"BRONX""#.to_owned(),
            r#""park_facility_name":"unspecified""#.to_owned(),
            r#""park_facility_name":7"#.to_owned(),
        ] {
            told(&other, |request| {
                assert_eq!((request.implied, details(request)), (None, format!("{{{other}}}")));
            });
        }
    }

    #[test]
    fn what_has_no_place_in_its_column_as_it_is_is_kept() {
        told(
            r#"":id":"row-1",":@computed_region_efsh_h5xi":"12420",":@computed_region_yeji_bk3q":"0""#,
            |request| {
                assert_eq!(request.source_row_id.as_deref(), Some("row-1"));
                assert_eq!((request.zip_region, request.borough_region), (Some(12_420), Some(0)));
                assert_eq!(details(request), "");
            },
        );
        for other in ["\"012\"", "\"+12\"", "\"-1\"", "\"40000\"", "12", "\"\"", "{}"] {
            let member = format!("\":@computed_region_yeji_bk3q\":{other}");
            told(&member, |request| {
                assert_eq!((request.borough_region, details(request)), (None, format!("{{{member}}}")));
            });
        }
        told(r#""address_type":"A\u0000B",":id":1e5"#, |request| {
            assert_eq!((request.address_type.as_deref(), request.source_row_id.as_deref()), (None, None));
            assert_eq!(details(request), r#"{":id":"1e5","address_type":"AB"}"#);
            assert!(request.quality_flags.contains(crate::QualityFlags::NUL_STRIPPED));
        });
    }
}
