//! The properties of librdkafka that are not the operator's to choose, since the delivery guarantees rest on them.

use super::secret::HIDDEN;

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

/// Whether the value of a property must not be shown. All of `sasl.` and `ssl.` counts, since most of it is what librdkafka itself
/// calls sensitive, and a misspelt name is no less a secret; the rest is what other clients of Kafka know.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let sign_in = name.starts_with("sasl.") || name.starts_with("ssl.");
    sign_in && !matches!(name.as_str(), "sasl.mechanism" | "sasl.mechanisms")
        || ["password", "passphrase", "secret", "token", "jaas", "key.pem"]
            .iter()
            .any(|part| name.contains(part))
}

/// Shows properties in an error by their names alone: which of the values is a secret is not certain where something is wrong.
pub fn shown<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("{name}={HIDDEN}")).collect::<Vec<_>>().join(",")
}
