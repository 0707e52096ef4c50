//! The order of the house, read from the sources: imports run one way, and in no circle; the tests that the
//! delivery argument names exist; each fault point is one place; sources have one form. Nothing here needs a
//! server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

mod allocator;
mod delivery;
mod form;
mod imports;
mod points;
mod suites;

use std::path::{Path, PathBuf};

use self::imports::Graph;

/// The folders with the sources of the crates, and those of the test suites.
const CRATES: [&str; 13] = [
    "benches/path",
    "domain/src",
    "json/src",
    "notation/src",
    "simulator/src",
    "src",
    "testkit/src",
    "tests/faults",
    "tests/house",
    "tests/integration",
    "tests/rolling",
    "tests/secure",
    "tests/soak",
];

/// The modules of the program from the top to the bottom: each may import from the lines below its own, never
/// from its own line or above. The crates of the workspace lie below all of them.
const LAYERS: [&[&str]; 13] = [
    &["main"],
    &["cli"],
    &["actors"],
    &["http"],
    &["documents", "messages"],
    &["store"],
    &["kafka", "socrata"],
    &["supervision"],
    &["telemetry"],
    &["config"],
    &["faults"],
    &["poll", "reconciliation", "stage_name"],
    &[
        "causes",
        "error_policy",
        "exit_code",
        "hex",
        "retry",
        "screen",
        "timestamp",
        "tls",
        "version",
        "words",
    ],
];

/// One source file of a crate.
struct Source {
    /// The module's path in its crate; empty for the root.
    module: Vec<String>,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources_of(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let mut paths = Vec::new();
    files_below(&base, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let relative = path.strip_prefix(&base).unwrap().with_extension("");
            let mut module: Vec<String> =
                relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module == ["lib"] || module == ["main"] && !base.join("lib.rs").exists() {
                module.clear();
            }
            let text = std::fs::read_to_string(&path).unwrap();
            Source { module, text }
        })
        .collect()
}

/// Every source file of the repository: its path and its text, in the order of the paths.
fn every_file() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files_below(&path, &mut paths);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().display().to_string(), text)
        })
        .collect()
}

fn graph(folder: &str) -> Graph {
    let sources = sources_of(folder);
    Graph::of(sources.iter().map(|source| (source.module.clone(), source.text.as_str())))
}

#[test]
fn imports_run_from_the_top_to_the_bottom() {
    let wrong = graph("src").against(&LAYERS);
    assert!(wrong.is_empty(), "imports against the order of `LAYERS`:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for folder in CRATES {
        let circles = graph(folder).circles();
        let shown: Vec<String> = circles.iter().map(|circle| circle.join(", ")).collect();
        assert!(shown.is_empty(), "{folder} has circles of imports:\n{}", shown.join("\n"));
    }
}

/// The checks above, held against made-up sources: they must be able to fail.
mod checks {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Graph {
        let module = |path: &str| -> Vec<String> {
            path.split("::").filter(|part| !part.is_empty()).map(Into::into).collect()
        };
        Graph::of(files.iter().map(|(path, text)| (module(path), *text)))
    }

    const ORDER: &[&[&str]] = &[&["actors"], &["kafka", "store"], &["config"]];

    #[test]
    fn an_import_that_leads_upwards_or_sideways_is_found() {
        for (file, import) in [
            ("kafka::admin", "use crate::actors::writer::Writer;"),
            ("kafka", "use crate::{config::Settings, store::Store};"),
            ("kafka", "fn look() { crate::store::look(); }"),
            ("config", "pub(crate) fn x() {}\nuse crate::kafka::{Admin, admin::{self, Mark as M}};"),
        ] {
            let graph = tree(&[
                ("actors::writer", ""),
                ("actors", ""),
                ("store", ""),
                ("kafka", ""),
                ("config", ""),
                (file, import),
            ]);
            assert!(!graph.against(ORDER).is_empty(), "{file}: {import}");
        }
    }

    #[test]
    fn an_import_that_leads_downwards_or_stays_inside_is_right() {
        let graph = tree(&[
            ("actors::writer", "use crate::{kafka::Admin, store::Store};\nuse super::poller::Poller;"),
            (
                "actors::poller",
                "// use crate::actors::writer\nconst TEXT: &str = \"use crate::actors::writer;\";",
            ),
            ("actors", ""),
            ("kafka", "use crate::config::Settings;"),
            ("store", ""),
            ("config", ""),
        ]);
        assert_eq!(graph.against(ORDER), Vec::<String>::new());
        assert_eq!(graph.circles(), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        assert_eq!(tree(&[("misc", "")]).against(ORDER), ["misc stands in no layer"]);
    }

    #[test]
    fn a_circle_is_found_through_what_a_parent_passes_on_and_between_parent_and_child() {
        let passed_on = tree(&[
            ("kafka", "mod a;\nmod b;\npub use a::A;\npub use b::{self, B};"),
            ("kafka::a", "use super::B;"),
            ("kafka::b", "use crate::kafka::A;"),
        ]);
        assert_eq!(passed_on.circles(), [["kafka::a", "kafka::b"]]);
        let parent = tree(&[("kafka", "mod a;\nuse a::A;\npub struct B;"), ("kafka::a", "use super::B;")]);
        assert_eq!(parent.circles(), [["kafka", "kafka::a"]]);
    }
}
