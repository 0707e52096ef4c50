//! Rows of any kind, also damaged: nothing panics, and what is enriched comes back the same.

use nyc311_domain::{Rejection, ServiceRequest, enrich, identity, known_fields, peek};
use proptest::prelude::*;

use super::row;

/// Values that the city might send, and some that it should not.
fn value() -> impl Strategy<Value = String> {
    let odd = [
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "41.0",
        "[1,2]",
        "{\"a\":null}",
        "{\"a\\u0000\":[1e400]}",
        r#""""#,
        r#"" ""#,
        r#""N/A""#,
        r#""Unspecified""#,
        r#""\u0000""#,
        r#""\ud83d""#,
        r#""Closed""#,
        r#""OPEN""#,
        r#""1900-01-01T00:00:00.000""#,
        r#""2025-11-02T01:30:00.000""#,
        r#""2025-11-02T01:10:00.000""#,
        r#""2026-03-08T02:30:00.000""#,
        r#""9999-12-31T23:59:59.000""#,
        r#""0000-01-01""#,
        r#""2026-04-13T01:37:29.631Z""#,
        r#""10463-1234""#,
        r#""12345""#,
        r#""0 Unspecified""#,
        r#""64 MANHATTAN""#,
        r#""40.7""#,
        r#""-73.9""#,
        r#""PLUMBING""#,
        r#""HPD""#,
        r#""70000002""#,
        r#""  NORTH    4 STREET""#,
    ];
    prop_oneof![
        3 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => any::<f64>().prop_map(|number| if number.is_finite() { format!("\"{number}\"") } else { "null".to_owned() }),
        1 => "[\u{80}-\u{ff}’€ ]{1,6}".prop_map(|text| format!("\"{text}\"")),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let fields: Vec<&'static str> = known_fields().collect();
    proptest::collection::vec((proptest::sample::select(fields), value()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_row_is_enriched_or_rejected_and_comes_back_the_same(changes in changes()) {
        let changes: Vec<(&str, &str)> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let row = row(&changes);
        match enrich(&row) {
            Ok(request) => {
                let mut json = Vec::new();
                request.write_json(&mut json);
                prop_assert_eq!(ServiceRequest::from_json(&json).unwrap(), request.clone());
                prop_assert_eq!(identity(&json).unwrap().unique_key, request.unique_key);
                prop_assert!(!String::from_utf8(json).unwrap().contains("\\u0000"));
                prop_assert!(request.response_hours.is_none_or(|hours| hours >= 0.0 && request.state == "closed"));
                prop_assert_eq!(enrich(&row).unwrap(), request);
            }
            Err(rejection) => prop_assert!(Rejection::REASONS.contains(&rejection.reason)),
        }
    }

    /// A row of which the words are replaced by what they became has nothing left to clean.
    #[test]
    fn repaired_words_repaired_again_stay_the_same(street in any::<String>(), latin in "[a\u{80}-\u{ff}’€ N/]{0,12}", kind in "[A-Za-z -/]{0,12}") {
        let quoted = [street, latin, kind].map(|text| serde_json::to_string(&text).unwrap());
        let [street, latin, kind] = quoted.each_ref().map(String::as_str);
        let first = row(&[("street_name", street), ("resolution_description", latin), ("complaint_type", kind)]);
        let first = enrich(&first).unwrap();
        let again = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), |text| serde_json::to_string(text).unwrap());
        let street = again(first.street_name.as_deref());
        let latin = again(first.resolution_description.as_deref());
        let kind = again(Some(&first.complaint_type));
        let second = row(&[("street_name", &street), ("resolution_description", &latin), ("complaint_type", &kind)]);
        let second = enrich(&second).unwrap();
        prop_assert_eq!(&second.street_name, &first.street_name);
        prop_assert_eq!(&second.resolution_description, &first.resolution_description);
        prop_assert_eq!(&second.complaint_type, &first.complaint_type);
    }

    #[test]
    fn damaged_rows_never_panic(cut in any::<proptest::sample::Index>(), byte in any::<u8>(), truncate in any::<bool>()) {
        let mut row = row(&[("extra", r#"{"a":["\u00e9",1.5e3,{}]}"#)]);
        let at = cut.index(row.len());
        row[at] = byte;
        if truncate {
            row.truncate(at);
        }
        let _ = (enrich(&row), peek(&row), ServiceRequest::from_json(&row), identity(&row));
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
        let _ = (enrich(&bytes), peek(&bytes));
    }
}
