//! The properties of librdkafka that cannot be chosen: the delivery guarantees rest on them, or this build
//! cannot do what they ask.
//!
//! They are a rule of the settings, not of the Kafka clients: a wrong one is named with its origin beside
//! everything else that is wrong, before any client is made.

use std::collections::BTreeMap;

mod build;

pub use self::build::{Build, impossible};
use super::form::{Described, Form, Shape, Shown, names_alone};
use super::secret::HIDDEN;
use super::written::Written;

/// Names and values for librdkafka.
pub struct Properties;

impl Described for Properties {
    fn allowed(&self) -> String {
        "a JSON object of names and values; in the file, a table; or a variable for each, as \
         `NYC311_KAFKA__PROPERTIES__SASL_PASSWORD` and `NYC311_KAFKA__PROPERTIES__SASL_PASSWORD_FILE`"
            .to_owned()
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

/// Reads a JSON object of names and values.
pub fn json_properties(text: &str) -> Result<BTreeMap<String, String>, String> {
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

/// Says why a property is refused, if it is. Those of topics count with and without librdkafka's prefix.
pub fn refusal(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("topic.").unwrap_or(name);
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason)
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
