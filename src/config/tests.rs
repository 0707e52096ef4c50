//! Each rule of the settings: who wins, what is refused, and how the refusal reads.

use std::path::PathBuf;
use std::time::Duration;

use super::definition::{DEFINITIONS, Kind};
use super::*;

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
    assert_eq!(settings.write.max_age, Duration::from_millis(100));
    assert_eq!(settings.supervision.drain_timeout, Duration::from_secs(25));
    assert!(settings.instance.stable && settings.instance.id.ends_with("-8311"));
}

#[test]
fn a_section_alone_has_the_same_defaults() {
    assert_eq!(DatabaseSettings::default().pool_size, Settings::default().database.pool_size);
    assert_eq!(format!("{:?}", Settings::default()), format!("{:?}", Settings::with(&[]).unwrap()));
}

#[test]
fn every_setting_reaches_the_typed_settings_with_its_default() {
    let loaded = Settings::load(&Sources::default()).unwrap();
    assert_eq!(loaded.effective.len(), DEFINITIONS.len());
    for (line, definition) in loaded.effective.iter().zip(DEFINITIONS) {
        let absent = definition.default.is_empty() || definition.default == "none";
        assert!(line.toml.is_some() || absent, "{} has no value", definition.path);
        assert!(!definition.meaning.is_empty() && !definition.reason.is_empty());
    }
}

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
    for definition in DEFINITIONS {
        let form = definition.kind.form();
        assert!(!definition.reason.contains("1 to 200"), "{}", definition.path);
        assert!(!definition.reason.contains(&form), "{}", definition.path);
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
fn wrong_kafka_properties_are_shown_by_their_names_alone() {
    for wrong in [
        r#"{"sasl.password":"hunter2","acks":"1"}"#,
        r#"{"sasl.password":"hunter2""#,
        r#""hunter2""#,
        "hunter2",
        r#"{"sasl.password":["hunter2"]}"#,
    ] {
        let text = message(&environment(&[("NYC311_KAFKA__PROPERTIES", wrong)]));
        assert!(text.contains("kafka.properties = "), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text =
        message(&environment(&[("NYC311_KAFKA__PROPERTIES", r#"{"sasl.password":"hunter2","acks":"1"}"#)]));
    assert!(text.contains("sasl.password=***") && text.contains("sets acks, which is fixed"), "{text}");
    for wrong in [
        "[kafka.properties]\n\"sasl.password\" = \"hunter2\"\nacks = 1\n",
        "[kafka.properties]\n\"sasl.password\" = hunter2\n",
        "[kafka.properties]\n\"sasl.password\" = \"hunter2\n",
        "[kafka.properties]\n\"sasl.password\" = [\"hunter2\"]\n",
        "[kafka]\nproperties = \"hunter2\"\n",
        "[kafka]\nproperties = [\"hunter2\"]\n",
    ] {
        let (_folder, path) = file(wrong);
        let text = message(&Sources { file: Some(path), ..Sources::default() });
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn properties_that_this_build_cannot_serve_are_refused_as_librdkafka_would() {
    let protocols = ["PLAINTEXT", "plaintext", "SSL", "ssl", "SASL_SSL", "sasl_plaintext"];
    let mechanisms = ["PLAIN", "plain", "GSSAPI", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"].map(Some);
    for protocol in protocols {
        for mechanism in mechanisms.into_iter().chain([None]) {
            let mut properties =
                vec![("security.protocol", protocol), ("sasl.username", "u"), ("sasl.password", "hunter2")];
            properties.extend(mechanism.map(|mechanism| ("sasl.mechanism", mechanism)));
            let mut config = rdkafka::ClientConfig::new();
            for (name, value) in &properties {
                config.set(*name, *value);
            }
            let possible = config.create::<rdkafka::consumer::BaseConsumer>().is_ok();
            let json: serde_json::Map<String, serde_json::Value> =
                properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            let loaded = Settings::with(&[("kafka.properties", &serde_json::Value::from(json).to_string())]);
            assert_eq!(loaded.is_ok(), possible, "{protocol} {mechanism:?}");
            if let Err(error) = loaded {
                let text = error.to_string();
                assert!(text.contains("kafka.properties = ") && text.contains("proxy beside"), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
        }
    }
    let text = Settings::with(&[(
        "kafka.properties",
        r#"{"ssl.ca.location":"/ca.pem","security.protocol":"SASL_SSL"}"#,
    )])
    .unwrap_err()
    .to_string();
    for expected in
        ["sets security.protocol to SASL_SSL, and there is no TLS", "sets ssl.ca.location", "GSSAPI"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn database_address_that_asks_for_tls_is_refused() {
    for parameter in [
        "sslmode=require",
        "sslmode=verify-ca",
        "sslmode=verify-full",
        "sslnegotiation=direct",
        "channel_binding=require",
        "sslrootcert=/ca.pem",
    ] {
        for address in [
            format!("postgresql://u:hunter2@h/d?{parameter}"),
            format!("host=h password=hunter2 {parameter}"),
        ] {
            let text = Settings::with(&[("database.url", &address)]).unwrap_err().to_string();
            assert!(
                text.contains("database.url = \"***\"") && text.contains("no TLS to PostgreSQL"),
                "{text}"
            );
            assert!(
                text.contains(parameter.split("=/").next().unwrap()) && !text.contains("hunter2"),
                "{text}"
            );
        }
    }
    for parameter in ["sslmode=prefer", "sslmode=disable", "channel_binding=prefer"] {
        assert!(Settings::with(&[("database.url", &format!("postgresql://u:p@h/d?{parameter}"))]).is_ok());
    }
}

#[test]
fn properties_that_hold_secrets_are_known() {
    for secret in [
        // Those that librdkafka calls sensitive.
        "ssl.key.location",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.ca.pem",
        "ssl.keystore.password",
        "sasl.username",
        "sasl.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        // What others call so, and what is misspelt.
        "sasl.jaas.config",
        "sasl.passwort",
        "schema.registry.basic.auth.password",
        "SASL.Password",
    ] {
        assert!(properties::is_secret(secret), "{secret}");
    }
    for open in
        ["client.id", "session.timeout.ms", "security.protocol", "sasl.mechanism", "queue.buffering.max.ms"]
    {
        assert!(!properties::is_secret(open), "{open}");
    }
}

#[test]
fn address_beyond_loopback_needs_a_token() {
    for open in ["0.0.0.0:8311", "[::]:8311", "192.0.2.1:80"] {
        let text = message(&environment(&[("NYC311_HTTP__LISTEN", open)]));
        assert!(text.contains("http.listen") && text.contains("NYC311_HTTP__TOKEN"), "{text}");
        assert!(Settings::with(&[("http.listen", open), ("http.token", "0123456789abcdef")]).is_ok());
    }
    assert!(Settings::with(&[("http.listen", "[::1]:8311")]).is_ok());
}

#[test]
fn kafka_properties_pass_unless_delivery_rests_on_them() {
    let (_folder, path) =
        file("[kafka.properties]\n\"sasl.password\" = \"hunter2\"\nsession.timeout.ms = 6000\n");
    let loaded = Settings::load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(loaded.settings.kafka.properties["session.timeout.ms"], "6000");
    assert_eq!(loaded.settings.kafka.properties["sasl.password"], "hunter2");
    assert!(!render_config(&loaded.effective).contains("hunter2"));
    for refused in [
        "enable.idempotence",
        "isolation.level",
        "transactional.id",
        "group.id",
        "auto.offset.reset",
        "enable.auto.commit",
    ] {
        let text =
            message(&environment(&[("NYC311_KAFKA__PROPERTIES", &format!("{{\"{refused}\":\"x\"}}"))]));
        assert!(text.contains(&format!("sets {refused}, which is fixed")), "{text}");
    }
    let text = message(&environment(&[("NYC311_KAFKA__PROPERTIES", "a=b")]));
    assert!(text.contains("is not a JSON object"), "{text}");
}

#[test]
fn rules_between_settings_are_checked() {
    let refused = [
        (("kafka.enriched_topic", "nyc311.raw"), "is the same topic as kafka.raw_topic"),
        (("source.retry_max_interval", "1ms"), "is below source.retry_initial_interval = 500ms"),
        (("supervision.backoff_max", "50ms"), "is below supervision.backoff_initial = 100ms"),
        (("kafka.replication_factor", "0"), "is no number of replicas"),
        (("kafka.bootstrap_servers", "a:1,,b:2"), "has an empty place"),
        (("source.url", "http://127.0.0.1:80"), "names no resource"),
        (("http.token", "short"), "has 5 characters"),
    ];
    for ((path, value), expected) in refused {
        let text = Settings::with(&[(path, value)]).unwrap_err().to_string();
        assert!(text.contains(expected), "{path}: {text}");
    }
    assert!(Settings::with(&[("kafka.raw_max_record_bytes", "4MiB"), ("write.max_bytes", "1MiB")]).is_err());
}

#[test]
fn a_rule_keeps_silent_about_a_value_that_is_wrong_already() {
    let text = Settings::with(&[("http.listen", "0.0.0.0:80"), ("http.token", "with blank")])
        .unwrap_err()
        .to_string();
    assert_eq!(text.lines().count(), 2, "{text}");
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
fn system_fields_are_named_all_four_or_not_at_all() {
    for (columns, missing) in [
        (":id", ":updated_at, :version, :created_at"),
        ("*,:id,:updated_at,:created_at", ":version"),
        ("agency,:sid", ":id, :updated_at, :version, :created_at"),
    ] {
        let text = Settings::with(&[("source.columns", columns)]).unwrap_err().to_string();
        let expected = format!("names some system fields and not {missing}, and a row needs all four");
        assert!(text.contains(&expected) && text.contains("or `:*`, or no system field"), "{text}");
    }
    for columns in
        ["*,:id,:updated_at,:version,:created_at", ":*,agency", ":*,*", "agency,:@computed_region_x", ""]
    {
        assert!(Settings::with(&[("source.columns", columns)]).is_ok(), "{columns}");
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
    let without: Vec<_> = DEFINITIONS
        .iter()
        .filter(|definition| !definition.has_flag())
        .map(|definition| definition.path)
        .collect();
    assert_eq!(without, ["source.app_token", "http.token"]);
    assert!(matches!(definition::find("database.url").unwrap().kind, Kind::DatabaseUrl));
}

#[test]
fn faults_are_refused_unless_they_are_enabled() {
    let at_start = ("NYC311_FAULTS__AT_START", "writer:commit:after=abort@3");
    let text = message(&environment(&[at_start]));
    assert!(
        text.contains("faults.at_start = \"writer:commit:after=abort@3\"")
            && text.contains("faults.enabled is not set; leave it out"),
        "{text}"
    );
    let loaded = Settings::load(&environment(&[at_start, ("NYC311_FAULTS__ENABLED", "true")])).unwrap();
    let faults: Vec<String> = loaded.settings.faults.at_start.iter().map(|fault| fault.to_string()).collect();
    assert_eq!(faults, ["writer:commit:after=abort@3"]);
    let printed = render_config(&loaded.effective);
    assert!(printed.contains("at_start = \"writer:commit:after=abort@3\""), "{printed}");
    assert!(Settings::with(&[("faults.at_start", "")]).unwrap().faults.at_start.is_empty());
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

/// The table of docs/configuration.md, as it has to be.
fn documented_table() -> String {
    let mut table = String::new();
    let mut section = "";
    for definition in DEFINITIONS {
        let head = definition.path.split('.').next().unwrap();
        if head != section {
            section = head;
            table.push_str(&format!("\n### {head}\n\n| setting | variable, flag | default | what it is | allowed, and why |\n|---|---|---|---|---|\n"));
        }
        let file = definition.file_variable().map(|file| format!(" `{file}`")).unwrap_or_default();
        let flag = if definition.has_flag() { format!(" `{}`", definition.flag()) } else { String::new() };
        let default = if definition.default.is_empty() { "none" } else { definition.default };
        let form = definition.kind.form();
        let allowed = form[..1].to_uppercase() + &form[1..];
        table.push_str(&format!(
            "| `{}` | `{}`{file}{flag} | {default} | {} | {allowed}. {} |\n",
            definition.path,
            definition.variable(),
            definition.meaning,
            definition.reason
        ));
    }
    table
}

#[test]
fn configuration_document_lists_every_setting_as_it_is() {
    let document = include_str!("../../docs/configuration.md");
    let expected = documented_table();
    for line in expected.lines() {
        assert!(
            document.lines().any(|other| other == line),
            "docs/configuration.md lacks the line\n{line}\nThe whole table is:\n{expected}"
        );
    }
    let rows =
        |text: &str| text.lines().filter(|line| line.starts_with("| `") && line.contains("NYC311_")).count();
    assert_eq!(rows(document), DEFINITIONS.len(), "docs/configuration.md lists something that is no setting");
}

#[test]
fn configuration_document_lists_every_refused_property() {
    let document = include_str!("../../docs/configuration.md");
    for (name, reason) in properties::REFUSED {
        assert!(
            document.contains(&format!("| `{name}` | {reason} |")),
            "docs/configuration.md lacks | `{name}` | {reason} |"
        );
    }
}
