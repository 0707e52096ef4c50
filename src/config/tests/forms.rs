//! What each form refuses, and how the refusal reads.

use std::time::Duration;

use super::{environment, message};
use crate::config::Settings;
use crate::config::sections::definitions;

#[test]
fn all_wrong_settings_are_named_at_once_with_value_source_bound_and_remedy() {
    let text = message(&environment(&[
        ("NYC311_SOURCE__PAGE_ROWS", "50001"),
        ("NYC311_POLL__LEASE", "15"),
        ("NYC311_WRITE__MAX_BYTES", "1KiB"),
    ]));
    assert!(text.contains("source.page_rows = \"50001\" (environment variable NYC311_SOURCE__PAGE_ROWS): is above 50000; write a whole number from 1 to 50000"), "{text}");
    assert!(
        text.contains("poll.lease = \"15\" (environment variable NYC311_POLL__LEASE): has no unit"),
        "{text}"
    );
    assert!(
        text.contains(
            "write.max_bytes = \"1KiB\" (environment variable NYC311_WRITE__MAX_BYTES): is below 1MiB"
        ),
        "{text}"
    );
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn wrong_durations_sizes_and_addresses_are_explained_without_a_parsers_words() {
    for (path, value, expected) in [
        ("poll.lease", "soon", "is not a duration; write a duration from 1s to 10m"),
        ("poll.lease", "1h 15", "has no unit"),
        ("poll.interval", "3 fortnights", "has the unit `fortnights`"),
        ("write.max_bytes", "big", "is not a size; write a size from 1MiB"),
        ("source.page_rows", "many", "is not a whole number; write"),
        ("source.url", "data.cityofnewyork.us/x.json", "without http:// or https:// in front"),
        ("source.url", "ftp://x/y.json", "begins with ftp://"),
        ("log.level", "loud=loud", "is not a filter of the log; write"),
    ] {
        let text = Settings::with(&[(path, value)]).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn no_setting_says_its_rule_twice() {
    for definition in definitions() {
        let form = definition.allowed();
        assert!(!definition.reason.contains("1 to 200"), "{}", definition.path);
        assert!(!definition.reason.contains(&form), "{}", definition.path);
    }
}

#[test]
fn wrong_secret_is_not_shown() {
    let text = message(&environment(&[
        ("NYC311_HTTP__TOKEN", "hunter2"),
        ("NYC311_DATABASE__URL", "mysql://u:hunter2@h/d"),
    ]));
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("database.url = \"***\""), "{text}");
    assert!(text.contains("http.token = \"***\""), "{text}");
}

#[test]
fn each_form_is_refused_when_it_is_wrong() {
    let refused = [
        ("source.url", "ftp://x/y.json"),
        ("source.url", "https://user:password@x/y.json"),
        ("source.page_rows", "0"),
        ("source.page_rows", "many"),
        ("source.columns", "unique key"),
        ("source.columns", "agency*"),
        ("source.columns", "**"),
        ("source.app_token", "with blank"),
        ("kafka.bootstrap_servers", ""),
        ("kafka.raw_topic", "nyc 311"),
        ("kafka.raw_topic", ".."),
        ("kafka.transactions", "yes"),
        ("kafka.properties", "[]"),
        ("database.url", "not an address"),
        ("http.listen", "localhost"),
        ("http.max_body_bytes", "1"),
        ("poll.interval", "1ms"),
        ("poll.initial_since", "yesterday"),
        ("poll.initial_since", "2026-01-01T00:00:00"),
        ("instance.id", "a b"),
        ("log.format", "xml"),
        ("log.level", "loud=loud"),
    ];
    for (path, value) in refused {
        assert!(Settings::with(&[(path, value)]).is_err(), "{path} = {value:?} was taken");
    }
}

#[test]
fn optional_settings_are_taken_and_left_out() {
    let settings = Settings::with(&[
        ("poll.interval", "90s"),
        ("poll.initial_since", "2026-01-31"),
        ("source.columns", "agency, borough"),
    ])
    .unwrap();
    assert_eq!(settings.poll.interval, Some(Duration::from_secs(90)));
    assert_eq!(settings.poll.initial_since.unwrap().to_string(), "2026-01-31T05:00:00Z");
    assert_eq!(settings.source.columns, ["agency", "borough"]);
    assert_eq!(Settings::with(&[("poll.interval", "none")]).unwrap().poll.interval, None);
    let empty =
        Settings::load(&environment(&[("NYC311_POLL__INTERVAL", ""), ("NYC311_HTTP__TOKEN", "")])).unwrap();
    assert!(empty.settings.http.token.is_none());
}

#[test]
fn a_fault_at_a_point_that_does_not_exist_is_refused_with_the_nearest_name_and_the_form() {
    let text = message(&environment(&[
        ("NYC311_FAULTS__ENABLED", "true"),
        ("NYC311_FAULTS__AT_START", "writer:comit:after=abort"),
    ]));
    assert!(
        text.contains(
            "names the point \"writer:comit:after\", which does not exist; the nearest name is writer:commit:after"
        ) && text.contains("; write faults as `writer:commit:after=abort`"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2, "{text}");
}
