//! Which of two versions of a request is newer.
//!
//! The source names its versions (`:version`). Where it does not, the content decides: the version is
//! [`CONTENT`] and the SHA-256 of the row's bytes, so that two contents under one key and time are two
//! versions, whichever comes first, and the same bytes are one.
//!
//! Rules before revision 3 left such a version empty. An empty one says nothing of its content, so it is
//! taken for every version of the same key and time that is told by its content; once one of these is known,
//! it stands in its place.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// A number that grows whenever a rule of this crate changes what a row becomes, so that better rules reach
/// stored rows by a rewind.
pub const RULES_REVISION: i16 = 4;

/// How a version begins that is told by its content. It is less than any letter or digit, so a version that
/// the source names is newer.
pub const CONTENT: &str = "#sha256:";

/// Returns the version of a row to which the source gives none.
pub(crate) fn version_of_content(raw: &[u8]) -> String {
    let digest = Sha256::digest(raw);
    let mut version = String::with_capacity(CONTENT.len() + 2 * digest.len());
    version.push_str(CONTENT);
    for half in digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        version.push(char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 }));
    }
    version
}

/// What tells one enriched version from another. The order is the order of the tables: by key, then oldest
/// first; `source_version` is an arbitrary but fixed tie-break, compared as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub unique_key: i64,
    pub source_updated_at: Timestamp,
    pub source_version: Box<str>,
    pub rules_revision: i16,
}

impl Identity {
    /// Tells whether both are the same version of the same request, under whatever rules. Of such two the
    /// greater one stands.
    pub fn same_version(&self, other: &Self) -> bool {
        (self.unique_key, self.source_updated_at) == (other.unique_key, other.source_updated_at)
            && (self.source_version == other.source_version
                || self.is_nameless() && other.is_told_by_content()
                || self.is_told_by_content() && other.is_nameless())
    }

    fn is_nameless(&self) -> bool {
        self.source_version.is_empty()
    }

    fn is_told_by_content(&self) -> bool {
        self.source_version.starts_with(CONTENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(key: i64, second: i64, version: &str, revision: i16) -> Identity {
        let source_updated_at = Timestamp::from_second(second).unwrap();
        Identity {
            unique_key: key,
            source_updated_at,
            source_version: version.into(),
            rules_revision: revision,
        }
    }

    #[test]
    fn versions_order_by_key_time_version_and_revision() {
        let ascending = [
            identity(1, 5, "rv-b", 9),
            identity(2, 3, "rv-z", 2),
            identity(2, 4, "", 2),
            identity(2, 4, &version_of_content(b"{}"), 3),
            identity(2, 4, "rv-a", 2),
            identity(2, 4, "rv-a", 3),
            identity(2, 4, "rv-é", 1),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn version_without_a_name_is_the_sha256_of_the_bytes() {
        // What `printf abc | sha256sum` says.
        let abc = "#sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(version_of_content(b"abc"), abc);
    }

    #[test]
    fn version_of_older_rules_that_has_no_name_is_any_that_is_told_by_content() {
        let [one, other] = [b"1", b"2"].map(|raw| identity(1, 5, &version_of_content(raw), 3));
        let nameless = identity(1, 5, "", 2);
        assert!(nameless.same_version(&one) && one.same_version(&nameless) && nameless < one);
        assert!(nameless.same_version(&other) && !one.same_version(&other));
        assert!(!nameless.same_version(&identity(1, 6, &one.source_version, 3)));
        assert!(!nameless.same_version(&identity(1, 5, "rv-a", 3)));
    }
}
