//! What a store is told about Kafka's logs.

use nyc311::kafka::{Committed, OffsetNote};
use nyc311::store::{Claim, FoundLog, FoundLogs, Position, Store};

use crate::batches::{CLUSTER, TOPIC};

/// The source whose rows the tests write.
pub const SOURCE: &str = "erm2-nwe9";

/// Claims a position that nothing speaks against.
pub async fn claim(
    store: &Store,
    (cluster, topic, partition): (&str, &str, i32),
    owner: &str,
    initial: i64,
) -> Position {
    match store.claim_position(cluster, topic, None, partition, owner, initial).await.unwrap() {
        Claim::Taken { position, .. } => position,
        Claim::OtherLog => panic!("{topic}/{partition} speaks of another log"),
    }
}

/// Returns what a group has committed, without a word of the log.
pub fn commit(next_offset: i64) -> Committed {
    Committed { next_offset, note: OffsetNote::default() }
}

/// Returns the topics of a cluster, all with this id.
pub fn logs(id: Option<&str>, is_new: bool) -> FoundLogs<'static> {
    let log = |topic: &str| FoundLog { topic: topic.to_owned(), id: id.map(str::to_owned), is_new };
    FoundLogs {
        cluster_id: CLUSTER,
        source: SOURCE,
        raw: log("raw"),
        derived: vec![log(TOPIC), log("dead_letter")],
        committed: Some(vec![(0, Some(commit(900))), (1, None)]),
    }
}
