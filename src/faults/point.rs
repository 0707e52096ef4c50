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

/// Every point there is, in the order of a row's way.
pub const POINTS: &[Point] = points! {
    // Each request to the source, also one that is repeated.
    Source "poller:fetch:before",
    Source "poller:fetch:after",
    Kafka "raw_publisher:publish:before",
    // In the middle of a page.
    Kafka "raw_publisher:second_half:before",
    Kafka "raw_publisher:publish:after",
    OwnedDatabase "poller:record_page:before",
    OwnedDatabase "poller:record_page:after",
    OwnedDatabase "poller:begin_storing:before",
    OwnedDatabase "poller:begin_storing:after",
    OwnedDatabase "poller:finish:before",
    OwnedDatabase "poller:finish:after",
    Kafka "enriched_publisher:commit:before",
    Kafka "enriched_publisher:commit:after",
    // In the place of a commit where `kafka.transactions = false`.
    Kafka "enriched_publisher:flush:after",
    Database "enriched_consumer:claim:before",
    Database "enriched_consumer:claim:after",
    // Before the transaction begins; the commit is its end.
    OwnedDatabase "writer:write:before",
    OwnedDatabase "writer:commit:before",
    OwnedDatabase "writer:commit:after",
    Database "environment:take_up:before",
    Database "environment:take_up:after",
    Database "environment:note_loss:before",
    Database "environment:note_loss:after",
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
            assert!(
                StageName::ALL.iter().any(|known| known.as_str() == stage) || stage == "environment",
                "{point}"
            );
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
