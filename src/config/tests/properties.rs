//! What `kafka.properties` may hold, and how it is hidden.

use super::{environment, file, message};
use crate::config::properties::Build;
use crate::config::{Settings, Sources, properties, render_config};

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
    // Where librdkafka knows OAUTHBEARER, whether a token can be had is a matter of its own.
    let mechanisms = ["PLAIN", "plain", "GSSAPI", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(Some);
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
                assert!(text.contains("kafka.properties = ") && text.contains("docs/security.md"), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
        }
    }
}

/// What is wrong with properties in a build.
fn impossible(properties: &[(&str, &str)], has_tls: bool) -> String {
    let table = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let found = properties::impossible(&table, Build { has_tls });
    found.iter().map(|(detail, remedy)| format!("{detail}; {remedy}\n")).collect()
}

#[test]
fn what_needs_tls_is_refused_without_it_by_the_name_of_the_feature() {
    let text = impossible(&[("ssl.ca.location", "/ca.pem"), ("security.protocol", "SASL_SSL")], false);
    for expected in [
        "sets security.protocol to SASL_SSL, and there is no TLS to Kafka in this build; take a program that is built with the feature kafka-tls",
        "sets ssl.ca.location, and there is no TLS",
        "without sasl.mechanism, which is then GSSAPI, and this build knows PLAIN alone",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let scram = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "SCRAM-SHA-512")];
    assert!(impossible(&scram, false).contains("the feature kafka-tls"));
    assert_eq!(impossible(&scram, true), "");
    let mutual = [("security.protocol", "ssl"), ("ssl.key.password", "hunter2"), ("ssl.ca.location", "x")];
    assert_eq!(impossible(&mutual, true), "");
}

#[test]
fn a_mechanism_that_no_build_has_is_refused_and_so_is_a_token_that_nobody_fetches() {
    let sasl = |more: &[(&'static str, &'static str)]| {
        let all: Vec<_> = [("security.protocol", "sasl_ssl")].iter().chain(more).copied().collect();
        impossible(&all, true)
    };
    let bearer = ("sasl.mechanism", "OAUTHBEARER");
    assert!(sasl(&[("sasl.mechanisms", "GSSAPI")]).contains("SCRAM-SHA-512 or OAUTHBEARER, or let a proxy"));
    assert!(sasl(&[]).contains("which is then GSSAPI"));
    assert!(sasl(&[("sasl.mechanism", "hunter2")]).contains("to something else, and this build knows"));
    assert!(sasl(&[bearer]).contains("without enable.sasl.oauthbearer.unsecure.jwt"));
    assert!(sasl(&[bearer, ("sasl.oauthbearer.method", "OIDC")]).contains("no libcurl"));
    assert_eq!(sasl(&[bearer, ("enable.sasl.oauthbearer.unsecure.jwt", "true")]), "");
}

#[test]
fn a_property_can_be_a_variable_or_a_file_of_its_own() {
    let (_folder, path) = file("hunter2\n");
    let (_settings, toml) = file("[kafka.properties]\n\"client.rack\" = \"a\"\nretries = 5\n");
    let secret = ("NYC311_KAFKA__PROPERTIES__SASL_PASSWORD_FILE", path.to_str().unwrap());
    let rack = ("NYC311_KAFKA__PROPERTIES__CLIENT_RACK", "b");
    let loaded = Settings::load(&Sources { file: Some(toml), ..environment(&[secret, rack]) }).unwrap();
    let properties = &loaded.settings.kafka.properties;
    assert_eq!(properties["sasl.password"], "hunter2");
    assert_eq!((properties["client.rack"].as_str(), properties["retries"].as_str()), ("b", "5"));
    let printed = render_config(&loaded.effective);
    assert!(printed.contains("\"sasl.password\" = \"***\"") && !printed.contains("hunter2"), "{printed}");
    assert!(
        printed.contains("settings.toml, with environment variables NYC311_KAFKA__PROPERTIES__CLIENT_RACK, NYC311_KAFKA__PROPERTIES__SASL_PASSWORD_FILE"),
        "{printed}"
    );
    // What the variable of the whole says is joined too; a flag is the last word.
    let whole = ("NYC311_KAFKA__PROPERTIES", r#"{"client.rack":"c","retries":"6"}"#);
    let joined = Settings::load(&environment(&[whole, rack])).unwrap().settings.kafka.properties;
    assert_eq!((joined["client.rack"].as_str(), joined["retries"].as_str()), ("b", "6"));
    let flags = vec![("kafka.properties".to_owned(), "{}".to_owned())];
    assert!(
        Settings::load(&Sources { flags, ..environment(&[rack]) })
            .unwrap()
            .settings
            .kafka
            .properties
            .is_empty()
    );
}

#[test]
fn a_property_of_its_own_that_is_wrong_is_named_without_its_value() {
    let (_folder, path) = file("hunter2\n");
    let password = "NYC311_KAFKA__PROPERTIES__SASL_PASSWORD";
    let in_a_file = format!("{password}_FILE");
    let text = message(&environment(&[(password, "hunter3"), (&in_a_file, path.to_str().unwrap())]));
    assert!(text.contains(&format!("{password} is set as well")) && !text.contains("hunter"), "{text}");
    let text = message(&environment(&[(&in_a_file, "/nowhere/secret")]));
    assert!(
        text.contains("kafka.properties (file /nowhere/secret, named by environment variable")
            && text.contains("cannot be read"),
        "{text}"
    );
    // Shown to everybody, since nothing says that it is a secret; and what is in the file may be one.
    for name in ["X_FILE", "PASSWD_FILE", "_FILE", "X_file"] {
        let variable = format!("NYC311_KAFKA__PROPERTIES__{name}");
        let text = message(&environment(&[(&variable, path.to_str().unwrap())]));
        assert!(text.contains("from a file, and that is no name of a secret"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text = message(&environment(&[("NYC311_KAFKA__PROPERTIES__TOPIC_ACKS", "0")]));
    assert!(text.contains("sets topic.acks, which is fixed"), "{text}");
    let text = message(&environment(&[("NYC311_KAFKA__PROPERTIES__GROUP_ID", "hunter2")]));
    assert!(text.contains("sets group.id, which is fixed") && !text.contains("hunter2"), "{text}");
    let text = message(&environment(&[("NYC311_KAFKA__PROPERTIES", "hunter2"), (password, "hunter3")]));
    assert!(text.contains("is not a JSON object") && !text.contains("hunter"), "{text}");
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
