//! The rules between settings.

use super::{environment, message};
use crate::config::{Settings, render_config};

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
fn certificate_and_key_of_the_endpoint_are_set_both_or_neither() {
    for (path, other) in [("http.tls_certificate", "http.tls_key"), ("http.tls_key", "http.tls_certificate")]
    {
        let text = Settings::with(&[(path, "/a.pem")]).unwrap_err().to_string();
        assert!(text.contains(&format!("{path} = \"/a.pem\"")), "{text}");
        assert!(text.contains(&format!("is set and {other} is not")), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn commands_find_the_service_of_their_own_settings() {
    let url = |overrides: &[(&str, &str)]| Settings::with(overrides).unwrap().client.url;
    assert_eq!(url(&[]), "http://127.0.0.1:8311");
    let token = ("http.token", "0123456789abcdef");
    assert_eq!(url(&[("http.listen", "0.0.0.0:80"), token]), "http://127.0.0.1:80");
    assert_eq!(url(&[("http.listen", "[::]:80"), token]), "http://[::1]:80");
    assert_eq!(url(&[("http.listen", "127.0.0.1:0")]), "http://127.0.0.1:8311");
    let tls = [("http.tls_certificate", "/c.pem"), ("http.tls_key", "/k.pem")];
    assert_eq!(url(&tls), "https://127.0.0.1:8311");
    assert_eq!(url(&[tls[0], tls[1], ("client.url", "https://nyc311.example/")]), "https://nyc311.example");
    let loaded = Settings::load(&environment(&[("NYC311_HTTP__LISTEN", "127.0.0.1:80")])).unwrap();
    let printed = render_config(&loaded.effective);
    assert!(printed.contains("url = \"http://127.0.0.1:80\"  # default"), "{printed}");
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
