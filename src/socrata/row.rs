//! What the walk needs of a row that is not quite JSON, and of one whose text matters.

use nyc311_json::{loose_members, sound_value};

/// The fields that decide where a row goes and how far the poller has come.
const HEAD: [&[u8]; 5] = [b"unique_key", b"borough", b"created_date", b":updated_at", b":id"];

/// Returns those fields of a row that is not quite JSON as an object of its own: each that can be told apart
/// and is sound in itself. So the walk goes on from such a row, and its partition is that of its sound
/// versions.
pub fn salvaged(row: &[u8]) -> Vec<u8> {
    let mut object = b"{".to_vec();
    for name in HEAD {
        let Some(value) = sound_value(row, name) else { continue };
        if object.len() > 1 {
            object.push(b',');
        }
        object.push(b'"');
        object.extend_from_slice(name);
        object.extend_from_slice(b"\":");
        object.extend_from_slice(&row[value]);
    }
    object.push(b'}');
    object
}

/// Returns `:updated_at` as the row has it.
pub fn stated_updated_at(row: &[u8]) -> Option<String> {
    member_updated_at(row).or_else(|| member_updated_at(&salvaged(row)))
}

fn member_updated_at(row: &[u8]) -> Option<String> {
    let mut stated = None;
    loose_members(row, |name, value| {
        if &row[name] == b":updated_at" {
            stated = serde_json::from_slice::<String>(&row[value]).ok();
        }
    });
    stated.map(|stated| stated.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use nyc311_domain::{Borough, RawHead, peek};

    use super::*;

    #[test]
    fn a_row_with_a_spoiled_text_keeps_its_place_in_the_walk() {
        for spoiled in [
            "\"a\tb\"",
            "\"a\0b\"",
            r#""a\xb""#,
            "NaN",
            "007",
            "\"a",
            "[1,,{2]",
            r#""5" pipe""#,
            r#""\":id\":""#,
        ] {
            let row = format!(
                r#"{{"unique_key":"7","borough":"QUEENS","x":{spoiled},":id":"row-7",":updated_at":"2026-06-07T01:37:29.631250Z"}}"#
            );
            let object = salvaged(row.as_bytes());
            let head = peek(&object);
            assert_eq!(head.borough, Some(Borough::Queens), "{row}");
            assert_eq!(
                (head.unique_key.as_deref(), head.row_id.as_deref()),
                (Some("7"), Some("row-7")),
                "{row}"
            );
            let stated = stated_updated_at(row.as_bytes());
            assert_eq!(stated.as_deref(), Some("2026-06-07T01:37:29.631250Z"), "{row}");
        }
    }

    #[test]
    fn a_spoiled_field_of_the_head_is_left_out() {
        let object =
            salvaged(b"{\"unique_key\":\"7\",\":id\":\"a\tb\",\":updated_at\":007,\"borough\":\"caf\xe9\"}");
        assert_eq!(object, br#"{"unique_key":"7"}"#);
        for row in [&b""[..], b"[]", b"NaN", b"{", b"{\"", b"{\"unique_key\""] {
            assert_eq!(peek(&salvaged(row)), RawHead::default());
        }
    }
}
