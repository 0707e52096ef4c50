//! Which of two versions of a request is newer.

use jiff::Timestamp;

/// A number that grows whenever a rule of this crate changes what a row becomes, so that better rules reach stored rows by a rewind.
pub const RULES_REVISION: i16 = 2;

/// What tells one enriched version from another. The order is the order of the tables: by key, then oldest first; `source_version` is an
/// arbitrary but fixed tie-break, compared as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub unique_key: i64,
    pub source_updated_at: Timestamp,
    pub source_version: Box<str>,
    pub rules_revision: i16,
}

impl Identity {
    /// Tells whether both are the same version of the same request, under whatever rules.
    pub fn same_version(&self, other: &Self) -> bool {
        (self.unique_key, self.source_updated_at, &self.source_version)
            == (other.unique_key, other.source_updated_at, &other.source_version)
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
            identity(2, 4, "rv-a", 2),
            identity(2, 4, "rv-a", 3),
            identity(2, 4, "rv-é", 1),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }
}
