//! The properties of librdkafka that cannot be chosen: the delivery guarantees rest on them, or this build
//! cannot do what they ask.
//!
//! They are a rule of the settings, not of the Kafka clients: a wrong one is named with its origin beside
//! everything else that is wrong, before any client is made.

use std::collections::BTreeMap;

use super::form::{Described, Form, Shape, Shown, names_alone};
use super::secret::HIDDEN;
use super::written::Written;

/// Names and values for librdkafka.
pub struct Properties;

impl Described for Properties {
    fn allowed(&self) -> String {
        "a JSON object of names and values; in the file, a table".to_owned()
    }

    fn shape(&self) -> Shape {
        Shape::Table
    }

    fn hidden(&self, written: &Written) -> String {
        match written {
            Written::Table(table) => names_alone(table.keys()),
            Written::Text(text) => {
                match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text) {
                    Ok(object) => names_alone(object.keys()),
                    Err(_) => HIDDEN.to_owned(),
                }
            }
            Written::List(_) => HIDDEN.to_owned(),
        }
    }
}

impl Form<BTreeMap<String, String>> for Properties {
    fn read(&self, written: &Written) -> Result<BTreeMap<String, String>, String> {
        match written {
            Written::Table(table) => Ok(table.clone()),
            other => json_properties(other.text()?),
        }
    }

    fn shown(&self, value: &BTreeMap<String, String>) -> Option<Shown> {
        let open = |(name, value): (&String, &String)| {
            let value = if is_secret(name) { HIDDEN } else { value };
            (name.clone(), value.to_owned())
        };
        Some(Shown::Table(value.iter().map(open).collect()))
    }
}

fn json_properties(text: &str) -> Result<BTreeMap<String, String>, String> {
    // The parser's message may quote a value, so only the place is passed on.
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| {
        format!("is not a JSON object (line {}, column {})", error.line(), error.column())
    })?;
    let mut properties = BTreeMap::new();
    for (name, value) in object {
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(switch) => switch.to_string(),
            _ => return Err(format!("has something else than a text, a number or a switch for {name:?}")),
        };
        properties.insert(name, value);
    }
    Ok(properties)
}

/// `(property, why it is fixed)`.
pub const REFUSED: &[(&str, &str)] = &[
    ("enable.idempotence", "it is always on: a retried send must not write a row twice"),
    ("acks", "every replica must acknowledge before the cursor moves"),
    ("request.required.acks", "every replica must acknowledge before the cursor moves"),
    ("isolation.level", "readers must not see what a transaction took back"),
    (
        "transactional.id",
        "it is made of kafka.group_prefix, topic and partition, so that an old owner is fenced",
    ),
    ("group.id", "it is made of kafka.group_prefix"),
    ("group.instance.id", "it is instance.id"),
    ("auto.offset.reset", "a position outside the log is an event with a decision, never a silent jump"),
    (
        "topic.auto.offset.reset",
        "a position outside the log is an event with a decision, never a silent jump",
    ),
    ("enable.auto.commit", "offsets are committed with the rows that they cover"),
    ("auto.commit.enable", "offsets are committed with the rows that they cover"),
    ("auto.commit.interval.ms", "offsets are committed with the rows that they cover"),
    ("enable.auto.offset.store", "offsets are stored when the rows are"),
    ("enable.partition.eof", "the end of a partition is how a finished poll is recognised"),
    ("message.max.bytes", "it follows from kafka.raw_max_record_bytes"),
    ("allow.auto.create.topics", "topics are created with explicit partitions, one set for each borough"),
    ("bootstrap.servers", "it is kafka.bootstrap_servers"),
    ("metadata.broker.list", "it is kafka.bootstrap_servers"),
];

/// Says why a property is refused, if it is.
pub fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason)
}

/// What librdkafka's mechanisms of SASL are called; those that it is built with here come first.
const MECHANISMS: [&str; 5] = ["PLAIN", "GSSAPI", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
const BUILT_IN: &str = MECHANISMS[0];
/// What librdkafka takes where no mechanism is named.
const DEFAULT_MECHANISM: &str = MECHANISMS[1];
const WITHOUT_TLS: &str = "write PLAINTEXT or SASL_PLAINTEXT without ssl.*, and let a proxy beside this program speak TLS to the brokers (docs/configuration.md)";
const WITHOUT_MECHANISM: &str =
    "write PLAIN, or let a proxy beside this program sign in to the brokers (docs/configuration.md)";

/// Says what the properties ask of librdkafka that it cannot do here, and what to do instead: it is built
/// without OpenSSL, so it has no TLS, and no mechanism of SASL that needs its hashes.
pub fn impossible(properties: &BTreeMap<String, String>) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    // Names are librdkafka's, in lower case; its protocols are read in any case.
    let protocol = properties.get("security.protocol").map(|value| value.trim().to_ascii_uppercase());
    let protocol = protocol.as_deref().unwrap_or_default();
    if matches!(protocol, "SSL" | "SASL_SSL") {
        let detail =
            format!("sets security.protocol to {protocol}, and there is no TLS to Kafka in this build");
        found.push((detail, WITHOUT_TLS));
    }
    for name in properties.keys() {
        if name.starts_with("ssl.") || name == "enable.ssl.certificate.verification" {
            found.push((format!("sets {name}, and there is no TLS to Kafka in this build"), WITHOUT_TLS));
        }
    }
    if protocol.starts_with("SASL_") {
        let stated = ["sasl.mechanism", "sasl.mechanisms"].map(|name| properties.get_key_value(name));
        for (name, value) in stated.into_iter().flatten() {
            // Only a name that librdkafka knows is shown: anything else may be a secret that got into the
            // wrong place.
            let shown = MECHANISMS.iter().find(|known| *known == value);
            if *value != BUILT_IN {
                let shown = shown.copied().unwrap_or("something else");
                found.push((
                    format!("sets {name} to {shown}, and this build knows {BUILT_IN} alone"),
                    WITHOUT_MECHANISM,
                ));
            }
        }
        if stated == [None, None] {
            let detail = format!(
                "sets security.protocol to {protocol} without sasl.mechanism, which is then {DEFAULT_MECHANISM}, and this build knows {BUILT_IN} alone"
            );
            found.push((detail, WITHOUT_MECHANISM));
        }
    }
    found
}

/// Whether the value of a property must not be shown. All of `sasl.` and `ssl.` counts, since most of it is
/// what librdkafka itself calls sensitive, and a misspelt name is no less a secret; the rest is what other
/// clients of Kafka know.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let sign_in = name.starts_with("sasl.") || name.starts_with("ssl.");
    sign_in && !matches!(name.as_str(), "sasl.mechanism" | "sasl.mechanisms")
        || ["password", "passphrase", "secret", "token", "jaas", "key.pem"]
            .iter()
            .any(|part| name.contains(part))
}
