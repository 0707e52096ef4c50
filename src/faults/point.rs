//! The list of points.

use std::fmt;

use crate::words::is_same;

/// A point that the code visits, named `stage:effect:before` or `stage:effect:after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point(&'static str);

/// Every point there is, in the order of a row's way.
pub const POINTS: &[Point] = &[
    Point("raw_publisher:publish:before"),
    // In the middle of a page.
    Point("raw_publisher:second_half:before"),
    Point("raw_publisher:publish:after"),
    Point("poller:record_page:before"),
    Point("poller:record_page:after"),
    Point("poller:begin_storing:before"),
    Point("poller:begin_storing:after"),
    Point("poller:finish:before"),
    Point("poller:finish:after"),
    Point("enriched_publisher:commit:before"),
    Point("enriched_publisher:commit:after"),
    // In the place of a commit where `kafka.transactions = false`.
    Point("enriched_publisher:flush:after"),
    Point("enriched_consumer:claim:before"),
    Point("enriched_consumer:claim:after"),
    // Before the transaction begins; the commit is its end.
    Point("writer:write:before"),
    Point("writer:commit:before"),
    Point("writer:commit:after"),
    Point("environment:take_up:before"),
    Point("environment:take_up:after"),
    Point("environment:note_loss:before"),
    Point("environment:note_loss:after"),
];

impl Point {
    /// Finds a point while the program is compiled, which fails where there is none of this name.
    #[expect(clippy::panic, reason = "it is evaluated by the compiler alone")]
    pub const fn named(name: &str) -> Self {
        let mut at = 0;
        while at < POINTS.len() {
            if is_same(POINTS[at].0, name) {
                return POINTS[at];
            }
            at += 1;
        }
        panic!("no fault point has this name: src/faults/point.rs lists them")
    }

    /// Finds a point by its name.
    pub fn find(name: &str) -> Option<Self> {
        POINTS.iter().copied().find(|point| point.0 == name)
    }

    /// Finds the point whose name is most like this one.
    pub fn nearest(name: &str) -> Self {
        let likeness = |point: &Self| strsim::normalized_damerau_levenshtein(name, point.0);
        let nearest = POINTS.iter().copied().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        nearest.unwrap_or(POINTS[0])
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::labels::StageName;

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
