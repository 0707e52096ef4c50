//! Which requests are likely one complaint submitted twice: created in the same second, about the same thing, at the same place, under
//! another key.
//!
//! The thing is complaint type and descriptor: one call to the housing department makes a row for each problem in the apartment, which are
//! no duplicates of each other. The agency is left out: an encampment that is reported once may go to the police and to Homeless Services.

use jiff::Timestamp;

use crate::{quality::QualityFlags, service_request::ServiceRequest};

/// What likely duplicates share. Requests with equal groups are likely one; the least key among them is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DuplicateGroup<'a> {
    pub created_at: Timestamp,
    pub complaint_type: &'a str,
    pub descriptor: Option<&'a str>,
    pub place: DuplicatePlace<'a>,
}

/// The place of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DuplicatePlace<'a> {
    /// The bits of latitude and longitude. Points are the city's geocoding of an address, so equal addresses have equal bits.
    Point(u64, u64),
    /// Where no point is known, what is: ZIP, address and crossing.
    Words([Option<&'a str>; 4]),
}

impl ServiceRequest<'_> {
    /// Returns the group of the request; `None` where nothing tells its place, or only the day of its creation is known, since then
    /// equal seconds mean nothing.
    pub fn duplicate_group(&self) -> Option<DuplicateGroup<'_>> {
        if self.quality_flags.contains(QualityFlags::CREATED_AT_MIDNIGHT) {
            return None;
        }
        let place = match (self.latitude, self.longitude) {
            (Some(latitude), Some(longitude)) => {
                DuplicatePlace::Point(latitude.to_bits(), longitude.to_bits())
            }
            _ => DuplicatePlace::Words(self.place_in_words()?),
        };
        let descriptor = self.descriptor.as_deref();
        Some(DuplicateGroup {
            created_at: self.created_at,
            complaint_type: &self.complaint_type,
            descriptor,
            place,
        })
    }

    fn place_in_words(&self) -> Option<[Option<&str>; 4]> {
        let words = [
            self.incident_zip.as_deref(),
            self.incident_address.as_deref(),
            self.intersection_street_1.as_deref(),
            self.intersection_street_2.as_deref(),
        ];
        words.iter().any(Option::is_some).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use crate::enrich;

    fn row(key: u32, time: &str, kind: &str, descriptor: &str, place: &str) -> String {
        format!(
            r#"{{"unique_key":"{key}","created_date":"2026-04-12T{time}","complaint_type":"{kind}","descriptor":"{descriptor}",{place}}}"#
        )
    }

    #[test]
    fn same_second_thing_and_place_is_one_group_whatever_the_key() {
        let point = r#""latitude":"40.7","longitude":"-73.9""#;
        let rows = [
            row(1, "01:18:41.000", "PLUMBING", "TOILET", point),
            row(
                2,
                "01:18:41.000",
                "Plumbing",
                "TOILET",
                r#""latitude":"40.70","longitude":"-73.9","agency":"DOB""#,
            ),
            row(3, "01:18:42.000", "Plumbing", "TOILET", point),
            row(4, "01:18:41.000", "Elevator", "TOILET", point),
            row(5, "01:18:41.000", "Plumbing", "BASIN/SINK", point),
            row(6, "01:18:41.000", "Plumbing", "TOILET", r#""latitude":"40.8","longitude":"-73.9""#),
            row(7, "01:18:41.000", "Plumbing", "TOILET", r#""incident_zip":"10010""#),
        ];
        let requests = rows.each_ref().map(|row| enrich(row.as_bytes()).unwrap());
        let groups = requests.each_ref().map(|request| request.duplicate_group().unwrap());
        assert_eq!(groups[0], groups[1]);
        assert!(groups[2..].iter().all(|group| *group != groups[0]));
    }

    #[test]
    fn unknown_place_or_time_has_no_group() {
        for row in [
            row(1, "01:18:41.000", "Noise", "Talking", r#""borough":"QUEENS""#),
            row(1, "00:00:00.000", "Derelict Vehicles", "Derelict Vehicles", r#""incident_zip":"11420""#),
        ] {
            assert_eq!(enrich(row.as_bytes()).unwrap().duplicate_group(), None);
        }
    }
}
