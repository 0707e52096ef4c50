//! The list of points.

use std::fmt;

use super::failure::Calls;
use crate::words::is_same;

/// A point that the code visits, named `stage:effect:before` or `stage:effect:after`, and what the code there
/// calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    name: &'static str,
    calls: Calls,
}

/// Declares points by what is called there.
macro_rules! points {
    ($($calls:ident $name:literal,)*) => {
        &[$(Point { name: $name, calls: Calls::$calls }),*]
    };
}

/// Every point there is, in the order of a row's way, then what is done beside it. Where something is only
/// asked for, no answer and a lost answer are the same, and there is no point behind it.
pub const POINTS: &[Point] = points! {
    Database "control:submit:before",
    Database "control:submit:after",
    Database "control:cancel:before",
    Database "control:cancel:after",
    Database "poller:acquire:before",
    Database "poller:acquire:after",
    Database "poller:renew:before",
    Database "poller:renew:after",
    Database "poller:read_cursor:before",
    // Each request to the source, also one that is repeated.
    Source "poller:fetch:before",
    Source "poller:fetch:after",
    Kafka "raw_publisher:publish:before",
    // In the middle of a page.
    Kafka "raw_publisher:second_half:before",
    Kafka "raw_publisher:publish:after",
    OwnedDatabase "poller:record_page:before",
    OwnedDatabase "poller:record_page:after",
    OwnedDatabase "poller:give_way:before",
    OwnedDatabase "poller:give_way:after",
    OwnedDatabase "poller:begin_storing:before",
    OwnedDatabase "poller:begin_storing:after",
    OwnedDatabase "poller:finish:before",
    OwnedDatabase "poller:finish:after",
    OwnedDatabase "poller:fail:before",
    OwnedDatabase "poller:fail:after",
    OwnedDatabase "poller:cancel:before",
    OwnedDatabase "poller:cancel:after",
    // Both consumers, on their threads.
    Kafka "consumer:subscribe:before",
    Kafka "consumer:subscribe:after",
    Kafka "consumer:assign:before",
    Kafka "consumer:assign:after",
    Kafka "enriched_publisher:init:before",
    Kafka "enriched_publisher:init:after",
    Kafka "enriched_publisher:begin:before",
    Kafka "enriched_publisher:produce:before",
    Kafka "enriched_publisher:send_offsets:before",
    Kafka "enriched_publisher:send_offsets:after",
    Kafka "enriched_publisher:commit:before",
    Kafka "enriched_publisher:commit:after",
    Kafka "enriched_publisher:abort:before",
    Kafka "enriched_publisher:abort:after",
    // In the place of a transaction where `kafka.transactions = false`.
    Kafka "enriched_publisher:flush:after",
    Kafka "raw_consumer:commit:before",
    Kafka "raw_consumer:commit:after",
    Database "enriched_consumer:claim:before",
    Database "enriched_consumer:claim:after",
    // Before the transaction begins; the commit is its end.
    OwnedDatabase "writer:write:before",
    Database "writer:copy:before",
    // All rows are sent, and the server waits for more.
    Database "writer:copy_end:before",
    Database "writer:copy:after",
    OwnedDatabase "writer:advance:before",
    OwnedDatabase "writer:advance:after",
    OwnedDatabase "writer:upsert:before",
    OwnedDatabase "writer:upsert:after",
    OwnedDatabase "writer:rollups:after",
    OwnedDatabase "writer:dead_letters:before",
    OwnedDatabase "writer:dead_letters:after",
    OwnedDatabase "writer:commit:before",
    OwnedDatabase "writer:commit:after",
    Database "reconciliation:submit:before",
    Database "reconciliation:submit:after",
    Database "reconciliation:cancel:before",
    Database "reconciliation:cancel:after",
    Database "reconciliation:acquire:before",
    Database "reconciliation:acquire:after",
    OwnedDatabase "reconciliation:compare:before",
    OwnedDatabase "reconciliation:compare:after",
    OwnedDatabase "reconciliation:note_poll:before",
    OwnedDatabase "reconciliation:note_poll:after",
    OwnedDatabase "reconciliation:step:before",
    OwnedDatabase "reconciliation:step:after",
    OwnedDatabase "reconciliation:begin_walk:before",
    OwnedDatabase "reconciliation:begin_walk:after",
    OwnedDatabase "reconciliation:keys:before",
    OwnedDatabase "reconciliation:keys:after",
    OwnedDatabase "reconciliation:withdraw:before",
    OwnedDatabase "reconciliation:withdraw:after",
    OwnedDatabase "reconciliation:end_walk:before",
    OwnedDatabase "reconciliation:end_walk:after",
    Database "environment:migrate:before",
    Database "environment:migrate:after",
    Database "environment:claim_instance:before",
    Database "environment:claim_instance:after",
    Database "environment:renew_instance:before",
    Database "environment:renew_instance:after",
    Database "environment:release_instance:before",
    Database "environment:release_instance:after",
    Database "environment:ping:before",
    Database "environment:ping:after",
    Kafka "environment:cluster_id:before",
    Kafka "environment:topic_ids:before",
    Kafka "environment:create_topics:before",
    Kafka "environment:create_topics:after",
    Kafka "environment:log_ends:before",
    Kafka "environment:committed:before",
    Database "environment:take_up:before",
    Database "environment:take_up:after",
    Database "environment:note_loss:before",
    Database "environment:note_loss:after",
    // The commands.
    Database "replay:send:before",
    Database "replay:send:after",
    Database "replay:mark:before",
    Database "replay:mark:after",
    Database "rewind:move:before",
    Database "rewind:move:after",
    Kafka "rewind:commit:before",
    Kafka "rewind:commit:after",
};

impl Point {
    /// Finds a point while the program is compiled, which fails where there is none of this name.
    #[expect(clippy::panic, reason = "it is evaluated by the compiler alone")]
    pub const fn named(name: &str) -> Self {
        let mut at = 0;
        while at < POINTS.len() {
            if is_same(POINTS[at].name, name) {
                return POINTS[at];
            }
            at += 1;
        }
        panic!("no fault point has this name: src/faults/point.rs lists them")
    }

    /// Finds a point by its name.
    pub fn find(name: &str) -> Option<Self> {
        POINTS.iter().copied().find(|point| point.name == name)
    }

    /// Finds the point whose name is most like this one.
    pub fn nearest(name: &str) -> Self {
        let likeness = |point: &Self| strsim::normalized_damerau_levenshtein(name, point.name);
        let nearest = POINTS.iter().copied().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        nearest.unwrap_or(POINTS[0])
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Returns what is called there, which decides how that can fail.
    pub fn calls(self) -> Calls {
        self.calls
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage_name::StageName;

    #[test]
    fn a_name_says_stage_effect_and_side() {
        for point in POINTS {
            let parts: Vec<&str> = point.name().split(':').collect();
            let [stage, effect, side] = parts[..] else { panic!("{point}") };
            let beside = ["consumer", "reconciliation", "environment", "replay", "rewind"].contains(&stage);
            assert!(beside || StageName::from_word(stage).is_some(), "{point}");
            assert!(!effect.is_empty() && ["before", "after"].contains(&side), "{point}");
        }
    }

    #[test]
    fn a_point_is_found_by_its_name_and_by_one_that_is_nearly_its() {
        assert_eq!(Point::find("writer:commit:after"), Some(Point::named("writer:commit:after")));
        assert_eq!(Point::find("writer:commit"), None);
        assert_eq!(Point::nearest("writer:comit:after").name(), "writer:commit:after");
    }
}
