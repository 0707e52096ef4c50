//! Each fault point of the list is one place in the code.

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
