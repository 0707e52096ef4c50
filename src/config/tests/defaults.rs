//! Every setting reaches the typed settings, and what it is where nobody said anything.

use std::time::Duration;

use super::environment;
use crate::config::sections::definitions;
use crate::config::{DatabaseSettings, Settings, Sources};

#[test]
fn defaults_are_valid_and_as_promised() {
    let settings = Settings::with(&[]).unwrap();
    assert_eq!(settings.source.page_rows, 10_000);
    assert_eq!(settings.source.dataset(), "erm2-nwe9");
    assert_eq!(settings.source.visibility_lag, Duration::from_secs(7200));
    assert_eq!(settings.kafka.retention, Duration::from_secs(7 * 86_400));
    assert_eq!(settings.kafka.raw_max_record_bytes, 1 << 20);
    assert_eq!(settings.kafka.replication_factor, -1);
    assert!(settings.kafka.transactions);
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8311");
    assert_eq!(settings.poll.interval, None);
    assert_eq!(settings.write.max_age, Duration::from_millis(20));
    assert_eq!(settings.supervision.drain_timeout, Duration::from_secs(25));
    assert!(settings.instance.stable && settings.instance.id.ends_with("-8311"));
}

#[test]
fn a_section_alone_has_the_same_defaults() {
    assert_eq!(DatabaseSettings::default().pool_size, Settings::default().database.pool_size);
    assert_eq!(format!("{:?}", Settings::default()), format!("{:?}", Settings::with(&[]).unwrap()));
}

#[test]
fn every_setting_is_read_once_with_a_default_that_its_own_form_takes() {
    let loaded = Settings::load(&Sources::default()).unwrap();
    let read: Vec<_> = loaded.effective.iter().map(|noted| noted.path).collect();
    let declared: Vec<_> = definitions().map(|definition| definition.path).collect();
    assert_eq!(read, declared, "each setting is read once, in the order in which the sections list it");
    for (noted, definition) in loaded.effective.iter().zip(definitions()) {
        assert!(!definition.meaning.is_empty() && !definition.reason.is_empty());
        let Some(default) = (definition.default)() else { continue };
        assert!(noted.toml.is_some(), "{} has no value", definition.path);
        let again = Settings::load(&environment(&[(&definition.variable(), &default)])).unwrap();
        assert_eq!(format!("{:?}", again.settings), format!("{:?}", loaded.settings), "{}", definition.path);
    }
}

/// A value of each form; the first two that a setting takes are two different ones.
const VALUES: &[&str] = &[
    "true",
    "false",
    "json",
    "text",
    "5",
    "6",
    "200ms",
    "45s",
    "46s",
    "2h",
    "3h",
    "2MiB",
    "3MiB",
    "127.0.0.1:1",
    "127.0.0.2:1",
    "http://h/a.json",
    "http://h/b.json",
    "postgresql://u@h/a",
    "postgresql://u@h/b",
    "2026-01-31",
    "{\"client.id\":\"x\"}",
    "0123456789abcdef",
    "debug",
    "writer:commit:after=abort",
];

#[test]
fn every_setting_that_is_stated_changes_the_typed_settings() {
    // A secret shows nothing but that it is there, so it is looked at by itself.
    let typed = |settings: &Settings| {
        let secrets = [&settings.source.app_token, &settings.http.token];
        let secrets = secrets.map(|secret| secret.as_ref().map(|secret| secret.expose().to_owned()));
        format!("{settings:?} {secrets:?} {}", settings.database.url.expose())
    };
    // Faults are taken only where they are enabled.
    let enabled = ("faults.enabled", "true");
    let default = typed(&Settings::with(&[enabled]).unwrap());
    for definition in definitions() {
        // A certificate is taken with its key alone.
        let other = match definition.path {
            "http.tls_certificate" => Some(("http.tls_key", "text")),
            "http.tls_key" => Some(("http.tls_certificate", "text")),
            _ => None,
        };
        let stated: Vec<String> = VALUES
            .iter()
            .filter_map(|value| {
                Settings::with(&[&[enabled, (definition.path, value)], other.as_slice()].concat()).ok()
            })
            .map(|settings| typed(&settings))
            .collect();
        let changed = match other {
            None => stated.iter().any(|stated| *stated != default),
            Some(_) => stated.windows(2).any(|two| two[0] != two[1]),
        };
        assert!(changed, "{} is read into nothing", definition.path);
    }
}

#[test]
fn process_with_a_chosen_port_gets_a_name_of_its_own() {
    let [first, second] =
        [(); 2].map(|()| Settings::with(&[("http.listen", "127.0.0.1:0")]).unwrap().instance);
    assert!(!first.stable && first.id != second.id);
    let named =
        Settings::with(&[("http.listen", "127.0.0.1:0"), ("instance.id", "worker-1")]).unwrap().instance;
    assert!(named.stable && named.id == "worker-1");
}
