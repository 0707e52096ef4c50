//! Who wins, which names are unknown, where secrets are read from, and what is printed.

use std::time::Duration;

use super::{environment, file, message};
use crate::config::sections::{definitions, find};
use crate::config::{Settings, Sources, render_config};

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let (_folder, path) = file("[source]\npage_rows = 1\n[write]\nmax_rows = 1\n[poll]\nmax_queued = 1\n");
    let mut sources = environment(&[("NYC311_SOURCE__PAGE_ROWS", "2"), ("NYC311_WRITE__MAX_ROWS", "2")]);
    sources.file = Some(path.clone());
    sources.flags = vec![("source.page_rows".into(), "3".into())];
    let loaded = Settings::load(&sources).unwrap();
    assert_eq!(loaded.settings.source.page_rows, 3);
    assert_eq!(loaded.settings.write.max_rows, 2);
    assert_eq!(loaded.settings.poll.max_queued, 1);
    let origin =
        |path: &str| loaded.effective.iter().find(|line| line.path == path).unwrap().origin.to_string();
    assert_eq!(origin("source.page_rows"), "flag --source-page-rows");
    assert_eq!(origin("write.max_rows"), "environment variable NYC311_WRITE__MAX_ROWS");
    assert_eq!(origin("poll.max_queued"), format!("file {}", path.display()));
    assert_eq!(origin("poll.lease"), "default");
}

#[test]
fn unknown_variable_is_refused_with_the_nearest_name() {
    let text = message(&environment(&[("NYC311_SOURCE_URL", "http://x/y.json"), ("HOME", "/root")]));
    assert!(text.contains("\n  environment variable NYC311_SOURCE_URL: is not a setting; the nearest name is NYC311_SOURCE__URL"), "{text}");
    assert_eq!(text.matches("NYC311_SOURCE_URL").count(), 1, "{text}");
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn unknown_key_in_the_file_is_refused_with_the_nearest_name() {
    let (_folder, path) = file("[source]\npage_row = 5\n[sorce]\nurl = \"x\"\n");
    let text = message(&Sources { file: Some(path), ..Sources::default() });
    assert!(text.contains("source.page_row (file "), "{text}");
    assert!(text.contains("the nearest name is source.page_rows"), "{text}");
    assert!(text.contains("[sorce] (file "), "{text}");
    assert!(text.contains("is not a section of the settings; the nearest name is [source]"), "{text}");
}

#[test]
fn misspelt_section_and_a_key_without_one_are_told_what_was_meant() {
    for (written, expected) in [
        ("[kafak]\nretention = \"7d\"\n", "[kafak] (file "),
        ("[kafak]\nretention = \"7d\"\n", "the nearest name is [kafka]"),
        ("kafak.retention = \"7d\"\n", "the nearest name is [kafka]"),
        ("[databse]\nurl = \"x\"\n", "the nearest name is [database]"),
        ("[polls]\n", "the nearest name is [poll]"),
        ("page_rows = 5\n", "page_rows (file "),
        ("page_rows = 5\n", "the nearest name is source.page_rows"),
        ("[kafka.propertis]\nx = 1\n", "the nearest name is kafka.properties"),
    ] {
        let (_folder, path) = file(written);
        let text = message(&Sources { file: Some(path), ..Sources::default() });
        assert!(text.contains(expected), "{written:?}: {text}");
    }
}

#[test]
fn file_that_is_not_toml_or_not_there_is_named() {
    let (_folder, path) = file("[source]\nurl = \n");
    let text = message(&Sources { file: Some(path), ..Sources::default() });
    assert!(text.contains("settings.toml: line 2:"), "{text}");
    let text = message(&Sources { file: Some("/nowhere/nyc311.toml".into()), ..Sources::default() });
    assert!(text.contains("\n  file /nowhere/nyc311.toml: cannot be read"), "{text}");
    assert_eq!(text.matches("--config").count(), 1, "{text}");
    let missing_default = Sources { default_file: Some("/nowhere/nyc311.toml".into()), ..Sources::default() };
    assert!(Settings::load(&missing_default).is_ok());
}

#[test]
fn secret_is_read_from_a_file_without_its_line_end() {
    let (_folder, path) = file("0123456789abcdef\n");
    let loaded =
        Settings::load(&environment(&[("NYC311_HTTP__TOKEN_FILE", path.to_str().unwrap())])).unwrap();
    assert_eq!(loaded.settings.http.token.unwrap().expose(), "0123456789abcdef");
    let text = message(&environment(&[
        ("NYC311_HTTP__TOKEN_FILE", path.to_str().unwrap()),
        ("NYC311_HTTP__TOKEN", "0123456789abcdef"),
    ]));
    assert!(text.contains("NYC311_HTTP__TOKEN is set as well"), "{text}");
    let text = message(&environment(&[("NYC311_DATABASE__URL_FILE", "/nowhere/url")]));
    assert!(text.contains("database.url (file /nowhere/url, named by environment variable NYC311_DATABASE__URL_FILE): cannot be read"), "{text}");
}

#[test]
fn printed_settings_can_be_read_again_and_hide_secrets() {
    let sources = environment(&[
        ("NYC311_DATABASE__URL", "postgresql://nyc:hunter2@db/nyc311"),
        ("NYC311_HTTP__TOKEN", "hunter2hunter2hunter2"),
        ("NYC311_KAFKA__PROPERTIES", "{\"client.id\":\"x\"}"),
        ("NYC311_SOURCE__COLUMNS", "agency,borough"),
        ("NYC311_POLL__INTERVAL", "1h 30m"),
    ]);
    let printed = render_config(&Settings::load(&sources).unwrap().effective);
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(
        printed.contains(
            "url = \"postgresql://nyc:***@db/nyc311\"  # environment variable NYC311_DATABASE__URL"
        ),
        "{printed}"
    );
    assert!(printed.contains("page_rows = 10000  # default"), "{printed}");
    let (_folder, path) = file(&printed.replace("token = \"***\"", "token = \"0123456789abcdef\""));
    let again = Settings::load(&Sources { file: Some(path), ..Sources::default() }).unwrap().settings;
    assert_eq!(again.poll.interval, Some(Duration::from_secs(5400)));
    assert_eq!(again.source.columns, ["agency", "borough"]);
    assert_eq!(again.kafka.properties["client.id"], "x");
}

#[test]
fn only_tokens_have_no_flag() {
    let without: Vec<_> =
        definitions().filter(|definition| !definition.has_flag()).map(|definition| definition.path).collect();
    assert_eq!(without, ["source.app_token", "http.token"]);
    assert!(find("database.url").unwrap().file_variable().is_some());
}
