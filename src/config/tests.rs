//! Each rule of the settings: who wins, what is refused, and how the refusal reads.

use std::path::PathBuf;

use super::{Settings, Sources};

mod database_address;
mod defaults;
mod document;
mod forms;
mod properties;
mod rules;
mod sources;

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

fn message(sources: &Sources) -> String {
    Settings::load(sources).expect_err("these settings are wrong").to_string()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}
