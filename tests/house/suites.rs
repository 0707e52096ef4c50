//! Every test suite is run by `make test-all`, and linted: what `test = false` keeps out of a plain `cargo
//! test` is asked for by its name.

use std::collections::BTreeSet;

use crate::root;

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The folders of tests/ that are a binary of their own.
fn suites() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("tests")).unwrap().map(Result::unwrap);
    let suites = entries.filter(|entry| entry.path().join("main.rs").exists());
    suites.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The suites of which the manifest says that this is false.
fn without(property: &str) -> BTreeSet<String> {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let declared = manifest["test"].as_array().unwrap();
    let without =
        declared.iter().filter(|suite| suite.get(property).and_then(toml::Value::as_bool) == Some(false));
    without.map(|suite| suite["name"].as_str().unwrap().to_owned()).collect()
}

/// The suites that a plain `cargo test` leaves alone.
fn left_alone() -> BTreeSet<String> {
    without("test")
}

/// The suites that need another build, with the feature that each asks for.
fn of_features() -> Vec<(String, String)> {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let declared = manifest["test"].as_array().unwrap();
    let asking = declared.iter().filter_map(|suite| {
        let features = suite.get("required-features")?.as_array()?;
        Some((suite["name"].as_str()?.to_owned(), features[0].as_str()?.to_owned()))
    });
    asking.collect()
}

#[test]
fn every_suite_that_needs_another_build_is_run() {
    let found = of_features();
    assert!(found.iter().any(|(suite, _)| suite == "secure"), "{found:?}");
    for (suite, feature) in found {
        let asked = format!("--features {feature} --test {suite} ");
        assert!(text("scripts/test").contains(&asked), "scripts/test lacks {asked}");
        assert!(text("Makefile").contains(&format!("\n\t@scripts/test {suite} ")), "{suite}");
        assert!(text(".ci/run").contains(&format!(" make test-{suite}\n")), "{suite} is not run");
    }
}

#[test]
fn every_suite_is_run_by_test_all() {
    let (suites, left_alone) = (suites(), left_alone());
    assert!(suites.contains("integration") && suites.contains("faults"), "{suites:?}");
    assert!(suites.is_superset(&left_alone), "{left_alone:?} are no suites: {suites:?}");
    let script = text("scripts/test");
    let named = script.lines().find_map(|line| line.strip_prefix("slow_suites=(")?.strip_suffix(')'));
    let named: BTreeSet<String> = named.unwrap().split_whitespace().map(str::to_owned).collect();
    // What is no harness of tests breaks its servers, and has a script of its own.
    let alone = without("harness");
    let apart: BTreeSet<String> =
        of_features().into_iter().map(|(suite, _)| suite).chain(alone.clone()).collect();
    let together: BTreeSet<String> = left_alone.difference(&apart).cloned().collect();
    assert_eq!(named, together, "slow_suites of scripts/test and `test = false` of Cargo.toml");
    for suite in alone {
        assert!(text(&format!("scripts/{suite}")).contains(&format!(" --test {suite} ")), "{suite}");
        assert!(text(".ci/run").contains(&format!(" make {suite} ")), "{suite} is not run");
    }
    assert!(script.contains("cargo test --workspace "), "the suites of the other crates are not run");
    assert!(text("Makefile").contains("\ntest-all: ## Run both in one go\n\t@scripts/test all "));
    assert!(text(".ci/run").contains(" make test-all\n"));
}

#[test]
fn every_suite_is_linted() {
    for path in ["Makefile", ".ci/run"] {
        let text = text(path);
        for suite in left_alone() {
            let named = text.lines().any(|line| {
                line.contains("cargo clippy")
                    && line.contains(&format!(" --test {suite} "))
                    && line.contains("-D warnings")
            });
            assert!(named, "{path} does not lint {suite}");
        }
        assert!(text.contains("cargo clippy --workspace --all-targets -- -D warnings"), "{path}");
    }
}
