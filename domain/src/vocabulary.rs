//! The words by which the source says things: its columns, statuses, agencies and complaint types. They
//! change without notice, so a word that no rule knows is worth a look: its rows are kept, but stand in
//! `details`, have the state `unknown` or the category `other`.

use std::borrow::Cow;

use crate::row::known_fields;
use crate::service_request::{ServiceRequest, UNSPECIFIED};
use crate::state::State;
use crate::{agency, category, json};

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TermKind {
    Column,
    Status,
    Agency,
    ComplaintType,
}

/// Every computed region of the portal is a column of this name with another end; they are many, and none is
/// the city's own.
const COMPUTED_REGION: &str = ":@computed_region_";

impl TermKind {
    pub const ALL: [Self; 4] = [Self::Column, Self::Status, Self::Agency, Self::ComplaintType];

    /// Returns the kind's name in the tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Column => "column",
            Self::Status => "status",
            Self::Agency => "agency",
            Self::ComplaintType => "complaint_type",
        }
    }

    /// Says whether a rule knows the word.
    pub fn knows(self, word: &str) -> bool {
        match self {
            Self::Column => known_fields().any(|field| field == word) || word.starts_with(COMPUTED_REGION),
            Self::Status => State::from_status(word).is_some(),
            Self::Agency => agency::name_of(word).is_some(),
            Self::ComplaintType => category::is_known(word),
        }
    }
}

impl ServiceRequest<'_> {
    /// Walks the words of the request: status, agency and complaint type where the city gave one, and the
    /// columns that have no column here.
    pub fn terms(&self) -> impl Iterator<Item = (TermKind, Cow<'_, str>)> {
        let words = [
            (TermKind::Status, self.status.as_deref()),
            (TermKind::Agency, Some(&*self.agency).filter(|agency| *agency != UNSPECIFIED)),
            (TermKind::ComplaintType, Some(&*self.complaint_type).filter(|kind| *kind != UNSPECIFIED)),
        ];
        let mut details = self.details.as_ref().and_then(|details| json::members(details.as_str()).ok());
        let columns = std::iter::from_fn(move || {
            let member = details.as_mut()?.next().ok().flatten()?;
            Some((TermKind::Column, member.key.text()))
        });
        words.into_iter().filter_map(|(kind, word)| Some((kind, Cow::Borrowed(word?)))).chain(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich;

    #[test]
    fn words_of_a_request_are_walked_and_judged() {
        let row = br#"{"unique_key":"1","created_date":"2026-04-12T01:18:41.000","status":"Escalated","agency":"NYPD",
            "complaint_type":"Drone noise","park_borough":"QUEENS",":@computed_region_7mpf_4k6g":"1","mood":"bad","city":"N/A"}"#;
        let request = enrich(row).unwrap();
        let terms: Vec<_> = request
            .terms()
            .map(|(kind, word)| (kind.as_str(), word.to_string(), kind.knows(&word)))
            .collect();
        let expected = [
            ("status", "Escalated", false),
            ("agency", "NYPD", true),
            ("complaint_type", "Drone Noise", false),
            ("column", ":@computed_region_7mpf_4k6g", true),
            ("column", "mood", false),
            ("column", "park_borough", true),
        ];
        assert_eq!(terms, expected.map(|(kind, word, known)| (kind, word.to_owned(), known)));
    }

    #[test]
    fn what_the_city_did_not_say_is_no_word() {
        let request = enrich(br#"{"unique_key":"1","created_date":"2026-04-12T01:18:41.000"}"#).unwrap();
        assert_eq!(request.terms().count(), 0);
    }

    #[test]
    fn known_words_are_known_in_any_case_where_case_means_nothing() {
        assert!(TermKind::Status.knows("CLOSED") && TermKind::ComplaintType.knows("heat/hot water"));
        assert!(!TermKind::Agency.knows("nypd") && !TermKind::Column.knows("Agency"));
    }
}
