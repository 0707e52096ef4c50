//! What a look at Kafka has found, and what it says of the places that pointed at it.

use uuid::Uuid;

use crate::kafka::Committed;

/// One of the three topics, as Kafka has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLog {
    pub topic: String,
    /// None where the broker has no ids.
    pub id: Option<String>,
    /// The topic is missing, or had to be created.
    pub is_new: bool,
}

/// The topics of a cluster as a look has found them.
#[derive(Debug, Clone)]
pub struct FoundLogs<'a> {
    pub cluster_id: &'a str,
    pub source: &'a str,
    pub raw: FoundLog,
    pub derived: Vec<FoundLog>,
    /// What the enrichers' group has committed, by raw partition; none as long as nobody has asked.
    pub committed: Option<Vec<(i32, Option<Committed>)>>,
}

/// Where enriching starts while the group has committed nothing that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawStart {
    pub start_offset: i64,
    /// A commit that is known to be worthless: its offset with the note beside it, because a log that grows
    /// again may well reach the same offset.
    pub superseded_commit: Option<String>,
}

impl RawStart {
    /// Returns where the enrichers really are: a commit counts unless it is known to be worthless.
    pub fn position(&self, committed: Option<&Committed>) -> i64 {
        match committed {
            Some(committed) if self.superseded_commit != Some(committed.to_string()) => committed.next_offset,
            _ => self.start_offset,
        }
    }
}

/// A loss that an offset has told of.
#[derive(Debug, Clone)]
pub struct LogLoss<'a> {
    pub cluster_id: &'a str,
    pub source: &'a str,
    pub topic: &'a str,
    pub partition: i32,
    pub topic_id: Option<&'a str>,
    pub detail: String,
    pub place: LostPlace,
}

/// What pointed at the records that are gone, as it was found: it is only noted if it is still so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostPlace {
    /// A position in PostgreSQL goes on at `start_offset`, in a new epoch.
    Position { epoch: i64, next_offset: i64, start_offset: i64 },
    /// The enrichers go on at `start`.
    Enrichers { found: RawStart, start: RawStart },
    /// The raw log does not have what it had acknowledged.
    Acknowledged { end_offset: i64 },
    /// The end of a poll lies outside the raw log; the lease says whose poll it is.
    PollEnd { poll_id: Uuid, token: Uuid },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::OffsetNote;

    #[test]
    fn a_commit_counts_unless_it_is_known_to_be_worthless() {
        let commit = |next_offset, id: &str| Committed {
            next_offset,
            note: OffsetNote { topic_id: Some(id.into()), last: None },
        };
        let start = RawStart { start_offset: 40, superseded_commit: Some(commit(900, "old").to_string()) };
        assert_eq!(start.position(None), 40);
        assert_eq!(start.position(Some(&commit(900, "old"))), 40);
        assert_eq!(start.position(Some(&commit(41, "new"))), 41);
        // The log that took its place has grown just as far.
        assert_eq!(start.position(Some(&commit(900, "new"))), 900);
        assert_eq!(RawStart::default().position(None), 0);
        assert_eq!(RawStart::default().position(Some(&commit(7, "new"))), 7);
    }
}
