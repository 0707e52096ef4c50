//! The list of points.

use std::fmt;

/// A point that the code visits, named `stage:effect:before` or `stage:effect:after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point(&'static str);

/// Every point there is, in the order of a row's way.
pub const POINTS: &[Point] = &[
    // One visit for each page, and in it one for each row.
    Point("raw_publisher:publish:before"),
    Point("raw_publisher:row:before"),
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

/// Compares texts where the compiler cannot do it by itself.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        path::Path,
    };

    use super::*;
    use crate::telemetry::labels::StageName;

    /// Finds the sites in the program's sources: the points that they name, and how often.
    fn sites(folder: &Path, found: &mut BTreeMap<String, usize>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sites(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for site in text.split("fault_point!(\"").skip(1) {
                    let name = site.split('"').next().unwrap();
                    *found.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
    }

    #[test]
    fn every_point_of_the_list_is_one_place_in_the_code() {
        let mut found = BTreeMap::new();
        sites(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let names: BTreeSet<&str> = POINTS.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), POINTS.len(), "a name stands twice in the list");
        assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
        assert!(found.values().all(|sites| *sites == 1), "{found:?}");
    }

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
