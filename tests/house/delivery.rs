//! The tests that `docs/delivery.md` names exist, and each row and each promise names one.

use std::collections::{BTreeMap, BTreeSet};

use crate::every_file;

const DOCUMENT: &str = include_str!("../../docs/delivery.md");

/// A row of a table whose last column names tests.
struct Row {
    section: &'static str,
    first: &'static str,
    tests: Vec<&'static str>,
}

/// Finds the names in a text that are written as code.
fn named(text: &'static str) -> Vec<&'static str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut section, mut names_tests) = ("", false);
    for line in DOCUMENT.lines() {
        if let Some(title) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
        {
            section = title;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (true, &[_, first, .., last, _]) = (line.starts_with('|'), &cells[..]) else {
            names_tests = false;
            continue;
        };
        if matches!(last, "test" | "tests") {
            names_tests = true;
        } else if names_tests && !last.starts_with("---") {
            rows.push(Row { section, first, tests: named(last) });
        }
    }
    rows
}

/// Finds the functions of a file that are marked as tests.
fn tests_in(text: &str, found: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        match function.and_then(|rest| rest.split('(').next()) {
            Some(name) if is_test => {
                found.insert(name.to_owned());
                is_test = false;
            }
            _ if line.starts_with("#[") => {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            }
            _ => is_test = false,
        }
    }
}

#[test]
fn every_test_that_the_delivery_argument_names_exists() {
    let mut existing = BTreeSet::new();
    for (_, text) in every_file() {
        tests_in(&text, &mut existing);
    }
    assert!(existing.len() > 200, "only {} tests were found", existing.len());
    for row in rows() {
        assert!(!row.tests.is_empty(), "{}: the row {:?} names no test", row.section, row.first);
        for test in row.tests {
            assert!(existing.contains(test), "{}: there is no test {test}", row.section);
        }
    }
    // Names outside the tables: what is written like a test is one.
    for name in named(DOCUMENT).into_iter().filter(|name| name.starts_with("crash_")) {
        assert!(existing.contains(name), "there is no test {name}");
    }
}

#[test]
fn every_crash_table_and_every_promise_names_its_tests() {
    let rows = rows();
    let mut tables: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *tables.entry(row.section).or_default() += 1;
    }
    let expected = [
        ("At each point", 15),
        ("Completion of a poll", 2),
        ("Enriched to PostgreSQL", 3),
        ("Proof", 12),
        ("Raw to enriched", 3),
        ("Source to raw", 4),
        ("When Kafka is not the one it was", 3),
    ];
    assert_eq!(tables, BTreeMap::from(expected));
    let crashes = DOCUMENT.lines().filter(|line| line.starts_with("| a crash"));
    assert!(crashes.clone().all(|header| header.ends_with("| test |")), "a crash table names no tests");
    assert_eq!(crashes.count(), 5);
    let promises = DOCUMENT.split("## Leg by leg").next().unwrap();
    let promises = promises.lines().filter_map(|line| line.split_once(". **")).map(|(number, _)| number);
    let proved = rows.iter().filter(|row| row.section == "Proof").map(|row| row.first);
    assert_eq!(promises.collect::<Vec<_>>(), proved.collect::<Vec<_>>());
}
