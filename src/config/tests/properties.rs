//! What `kafka.properties` may hold, and how it is hidden.

use super::{environment, file, message};
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
