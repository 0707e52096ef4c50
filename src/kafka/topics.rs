//! The topics: created at start where they are missing, and checked where they exist.

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};

use super::{admin::Admin, failure::KafkaFailure, partition_map::PartitionMap};
use crate::config::KafkaSettings;

/// How much larger than a raw record a record derived from it may be: what was replaced stays in it.
const DERIVED_GROWTH: usize = 4;

/// Returns the largest record that the derived topics take, in bytes.
pub fn derived_max_bytes(settings: &KafkaSettings) -> usize {
    settings.raw_max_record_bytes * DERIVED_GROWTH
}

/// Creates the missing ones of the three topics, checks the others, and returns the names of the new ones.
///
/// # Errors
/// [`KafkaFailure::Mismatch`] for a topic with another number of partitions or another timestamp type: a record dated
/// days back would be deleted within seconds, and another count would send boroughs elsewhere.
pub async fn ensure(admin: &Admin, settings: &KafkaSettings) -> Result<Vec<String>, KafkaFailure> {
    let partitions = PartitionMap::new(settings.partitions_per_borough).partitions();
    let known = admin.topics().await?;
    let names = [&settings.raw_topic, &settings.enriched_topic, &settings.dead_letter_topic];
    let mut missing = Vec::new();
    for name in names {
        match known.get(name.as_str()) {
            None => missing.push(name.as_str()),
            Some(count) if *count == partitions => {}
            Some(count) => {
                return Err(KafkaFailure::Mismatch(format!(
                    "topic {name} has {count} partitions, but kafka.partitions_per_borough = {} needs {partitions}: \
                     set kafka.partitions_per_borough to {} or name another topic",
                    settings.partitions_per_borough,
                    count / 5,
                )));
            }
        }
    }
    if !missing.is_empty() {
        create(admin, settings, &missing, partitions).await?;
    }
    check_settings(admin, settings, &names.map(String::as_str)).await?;
    Ok(missing.into_iter().map(str::to_owned).collect())
}

async fn create(
    admin: &Admin,
    settings: &KafkaSettings,
    names: &[&str],
    partitions: i32,
) -> Result<(), KafkaFailure> {
    let retention_ms = settings.retention.as_millis().to_string();
    let (raw_max, derived_max) =
        (settings.raw_max_record_bytes.to_string(), derived_max_bytes(settings).to_string());
    let topics: Vec<_> = names
        .iter()
        .map(|name| {
            let max_bytes = if *name == settings.raw_topic { &raw_max } else { &derived_max };
            NewTopic::new(name, partitions, TopicReplication::Fixed(settings.replication_factor))
                .set("cleanup.policy", "delete")
                .set("retention.ms", &retention_ms)
                // A record carries its source times in headers. Kafka's own clock decides what is old: a record dated
                // 30 days back would be deleted at once, one dated ahead refused.
                .set("message.timestamp.type", "LogAppendTime")
                .set("max.message.bytes", max_bytes)
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(settings.request_timeout));
    for outcome in admin.client().create_topics(&topics, &options).await? {
        match outcome {
            Ok(name) => tracing::info!(topic = name, partitions, "topic created"),
            // Another process of ours was faster.
            Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(KafkaFailure::Mismatch(format!("topic {name} could not be created: {code}")));
            }
        }
    }
    admin.wait_for_topics(names, partitions).await
}

async fn check_settings(admin: &Admin, settings: &KafkaSettings, names: &[&str]) -> Result<(), KafkaFailure> {
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let configs = admin.client().describe_configs(&resources, &AdminOptions::new()).await?;
    for (name, config) in names.iter().zip(configs) {
        let config =
            config.map_err(|code| KafkaFailure::Other(format!("settings of topic {name}: {code}")))?;
        let value = |setting: &str| config.get(setting).and_then(|entry| entry.value.clone());
        let kind = value("message.timestamp.type");
        if kind.as_deref() != Some("LogAppendTime") {
            return Err(KafkaFailure::Mismatch(format!(
                "topic {name} has message.timestamp.type = {}, needed is LogAppendTime: alter the topic's setting, \
                 or name another topic",
                kind.as_deref().unwrap_or("unset"),
            )));
        }
        let needed = if *name == settings.raw_topic {
            settings.raw_max_record_bytes
        } else {
            derived_max_bytes(settings)
        };
        let limit = value("max.message.bytes").and_then(|limit| limit.parse::<usize>().ok());
        if limit.is_some_and(|limit| limit < needed) {
            return Err(KafkaFailure::Mismatch(format!(
                "topic {name} has max.message.bytes = {}, needed are {needed} bytes: raise the topic's setting, or \
                 lower kafka.raw_max_record_bytes",
                limit.unwrap_or(0),
            )));
        }
    }
    Ok(())
}
