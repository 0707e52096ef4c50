//! Each fault point of the list is one place in the code, and has its place in the delivery argument.

use std::collections::{BTreeMap, BTreeSet};

use nyc311::faults::POINTS;

use crate::sources_of;

#[test]
fn every_point_of_the_list_is_one_place_in_the_code() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources_of("src") {
        for site in source.text.split("fault_point!(\"").skip(1) {
            let name = site.split('"').next().unwrap();
            *found.entry(name.to_owned()).or_default() += 1;
        }
    }
    let names: BTreeSet<&str> = POINTS.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), POINTS.len(), "a name stands twice in the list");
    assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    assert!(found.values().all(|sites| *sites == 1), "{found:?}");
}

#[test]
fn the_delivery_argument_says_what_a_crash_at_each_point_leaves() {
    let document = include_str!("../../docs/delivery.md");
    let section = document.split("## At each point").nth(1).unwrap().split("\n## ").next().unwrap();
    let first_cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let named: Vec<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let told: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(told.len(), named.len(), "a point stands in two rows");
    let effects = POINTS.iter().filter_map(|point| Some(point.name().rsplit_once(':')?.0));
    assert_eq!(told, effects.collect());
}
