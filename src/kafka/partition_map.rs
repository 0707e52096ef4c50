//! Which partition a raw row goes to.
//!
//! Order is kept per borough, so the borough chooses the partition by an explicit table. Hashing the key
//! cannot do it: with five partitions murmur2 puts Brooklyn and Staten Island together and leaves one
//! partition empty, and librdkafka's crc32 uses two of the five.

use nyc311_domain::{Borough, RawHead};

/// The map for `per_borough` partitions of each borough.
#[derive(Debug, Clone, Copy)]
pub struct PartitionMap {
    per_borough: u32,
}

impl PartitionMap {
    /// Creates the map; `per_borough` is at least 1.
    pub fn new(per_borough: u16) -> Self {
        Self { per_borough: u32::from(per_borough.max(1)) }
    }

    /// Returns how many partitions each topic has.
    pub fn partitions(self) -> i32 {
        i32::try_from(self.per_borough * 5).unwrap_or(i32::MAX)
    }

    /// Returns the borough whose worker owns `partition`.
    pub fn owner(self, partition: i32) -> Borough {
        let index = u32::try_from(partition).unwrap_or(0) / self.per_borough;
        Borough::ALL[(index as usize).min(Borough::ALL.len() - 1)]
    }

    /// Returns the partition of a raw row.
    ///
    /// Versions of one request keep their order: a row without a borough goes where its `unique_key` hashes
    /// to, and one without a `unique_key` where its bytes do, which spreads both evenly.
    pub fn partition(self, head: &RawHead<'_>, raw: &[u8]) -> i32 {
        let spread = match &head.unique_key {
            Some(key) => crc32fast::hash(key.as_bytes()),
            None => crc32fast::hash(raw),
        };
        let partition = match head.borough {
            Some(borough) => {
                let borough = u32::try_from(borough.index()).unwrap_or(0);
                borough * self.per_borough + spread % self.per_borough
            }
            None => spread % (self.per_borough * 5),
        };
        i32::try_from(partition).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(per_borough: u16, raw: &str) -> i32 {
        PartitionMap::new(per_borough).partition(&nyc311_domain::peek(raw.as_bytes()), raw.as_bytes())
    }

    #[test]
    fn each_borough_has_its_own_partition() {
        for borough in Borough::ALL {
            let raw = format!(r#"{{"unique_key":"1","borough":"{}"}}"#, borough.name());
            assert_eq!(partition(1, &raw), i32::try_from(borough.index()).unwrap());
        }
    }

    #[test]
    fn a_borough_with_several_partitions_spreads_its_keys_over_them() {
        let map = PartitionMap::new(3);
        let used: std::collections::BTreeSet<_> = (0..100)
            .map(|key| partition(3, &format!(r#"{{"unique_key":"{key}","borough":"QUEENS"}}"#)))
            .collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), [6, 7, 8]);
        assert!((6..9).all(|partition| map.owner(partition) == Borough::Queens));
    }

    #[test]
    fn rows_without_a_borough_spread_by_key_and_rows_without_a_key_by_their_bytes() {
        let by_key: std::collections::BTreeSet<_> = (0..100)
            .map(|key| partition(1, &format!(r#"{{"unique_key":"{key}","borough":"Unspecified"}}"#)))
            .collect();
        assert_eq!(by_key.len(), 5);
        let same = partition(1, r#"{"unique_key":"7","status":"Open"}"#);
        assert_eq!(same, partition(1, r#"{"unique_key":"7","status":"Closed"}"#));
        assert_eq!(partition(1, "17"), i32::try_from(crc32fast::hash(b"17") % 5).unwrap());
    }
}
