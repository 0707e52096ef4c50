//! The topics: created at start where they are missing, and checked where they exist.

use rdkafka::admin::{AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::admin::Admin;
use super::error::KafkaError;
use super::partition_map::PartitionMap;
use crate::config::KafkaSettings;
use crate::fault_point;

/// How much larger than a raw record a record derived from it may be: what was replaced stays in it.
const DERIVED_GROWTH: usize = 4;

/// What a record has beside its value, at most: the batch's head (61 bytes), lengths (36), a borough as key
/// and the headers of the contract (some 200). A round number, so that the bound on a row does not hang on a
/// poll's id or page.
pub const RECORD_OVERHEAD_BYTES: usize = 1024;

/// What a record has beside its value as a rule, at least as much: for estimates of a request's size.
pub(super) const USUAL_OVERHEAD_BYTES: usize = 512;

/// Returns the largest row that is sent to Kafka, in bytes: whatever its content, its record fits the topic.
pub fn max_row_bytes(settings: &KafkaSettings) -> usize {
    settings.raw_max_record_bytes.saturating_sub(RECORD_OVERHEAD_BYTES)
}

/// Returns the largest record that the derived topics take, in bytes.
pub fn derived_max_bytes(settings: &KafkaSettings) -> usize {
    settings.raw_max_record_bytes * DERIVED_GROWTH
}

/// Creates the missing ones of the three topics, checks the others, and returns the names of the new ones.
///
/// # Errors
/// [`KafkaError::Mismatch`] for a topic with another number of partitions or another timestamp type: a record
/// dated days back would be deleted within seconds, and another count would send boroughs elsewhere.
pub async fn ensure(admin: &Admin, settings: &KafkaSettings) -> Result<Vec<String>, KafkaError> {
    let missing = missing(admin, settings).await?;
    if !missing.is_empty() {
        create(admin, settings, &missing).await?;
        // Another process may have been faster, with settings of its own.
        check_settings(admin, settings, &missing).await?;
    }
    Ok(missing.into_iter().map(str::to_owned).collect())
}

/// Checks those of the three topics that exist, as [`ensure`] does, and returns the names of the others.
pub async fn missing<'a>(admin: &Admin, settings: &'a KafkaSettings) -> Result<Vec<&'a str>, KafkaError> {
    let known = admin.topics().await?;
    let names = [&settings.raw_topic, &settings.enriched_topic, &settings.dead_letter_topic];
    let (mut existing, mut missing) = (Vec::new(), Vec::new());
    for name in names.map(String::as_str) {
        match known.get(name) {
            None => missing.push(name),
            Some(count) => {
                check_partitions(settings, name, *count)?;
                existing.push(name);
            }
        }
    }
    check_settings(admin, settings, &existing).await?;
    Ok(missing)
}

/// Checks the number of a topic's partitions.
pub fn check_partitions(settings: &KafkaSettings, name: &str, count: i32) -> Result<(), KafkaError> {
    let per_borough = settings.partitions_per_borough;
    let needed = PartitionMap::new(per_borough).partitions();
    if count == needed {
        return Ok(());
    }
    let remedy = if count > 0 && count % 5 == 0 {
        format!("set kafka.partitions_per_borough to {}, or name another topic", count / 5)
    } else {
        "name another topic".to_owned()
    };
    Err(KafkaError::mismatch(format!(
        "topic {name} has {count} partitions, but kafka.partitions_per_borough = {per_borough} needs {needed}: {remedy}"
    )))
}

async fn create(admin: &Admin, settings: &KafkaSettings, names: &[&str]) -> Result<(), KafkaError> {
    let partitions = PartitionMap::new(settings.partitions_per_borough).partitions();
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
                // A record carries its source times in headers. Kafka's own clock decides what is old: a
                // record dated 30 days back would be deleted at once, one dated ahead refused.
                .set("message.timestamp.type", "LogAppendTime")
                .set("max.message.bytes", max_bytes)
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(settings.request_timeout));
    fault_point!("environment:create_topics:before");
    let outcomes = admin.client().create_topics(&topics, &options).await?;
    fault_point!("environment:create_topics:after");
    for outcome in outcomes {
        match outcome {
            Ok(name) => tracing::info!(topic = name, partitions, "topic created"),
            // Another process of ours was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, RDKafkaErrorCode::InvalidReplicationFactor)) => {
                return Err(too_few_brokers(admin, settings, &name).await);
            }
            Err((name, code)) => return Err(not_created(&name, code)),
        }
    }
    admin.wait_for_topics(names, partitions).await
}

/// Says whether waiting can help a topic that could not be created. Only what somebody has to change ends the
/// program: rights, policies, names, settings. Anything else (a controller that moves, a leader that is not
/// there yet, a request that took too long, a code that is not known here) is waited for, since a start-up of
/// brokers looks like that, and readiness tells of it.
fn not_created(name: &str, code: RDKafkaErrorCode) -> KafkaError {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, InvalidConfig, InvalidPartitions, InvalidReplicaAssignment,
        InvalidRequest, InvalidTopic, PolicyViolation, TopicAuthorizationFailed, UnsupportedFeature,
        UnsupportedVersion,
    };
    let remedy = match code {
        TopicAuthorizationFailed | ClusterAuthorizationFailed => {
            "let the user of kafka.properties create topics, or create it by hand (docs/topics.md)"
        }
        InvalidTopic => {
            "name another topic in kafka.raw_topic, kafka.enriched_topic or kafka.dead_letter_topic"
        }
        PolicyViolation | InvalidConfig | InvalidPartitions | InvalidReplicaAssignment => {
            "mend kafka.retention, kafka.raw_max_record_bytes, kafka.partitions_per_borough or \
             kafka.replication_factor, or create it by hand (docs/topics.md)"
        }
        // Brokers before 2.4 have no default for a request to fall back on.
        InvalidRequest | UnsupportedVersion | UnsupportedFeature => {
            "set kafka.replication_factor to a number of brokers, or create it by hand (docs/topics.md)"
        }
        _ => return KafkaError::unavailable(format!("topic {name} could not be created yet: {code}")),
    };
    KafkaError::mismatch(format!("topic {name} could not be created: {code}: {remedy}"))
}

/// Says how many brokers there are for the replicas that were asked for: more of them may be starting.
async fn too_few_brokers(admin: &Admin, settings: &KafkaSettings, name: &str) -> KafkaError {
    let (asker, timeout) = (admin.clone(), settings.request_timeout);
    let counted = tokio::task::spawn_blocking(move || {
        asker.client().inner().fetch_metadata(None, timeout).map(|metadata| metadata.brokers().len())
    });
    let brokers = match counted.await {
        Ok(Ok(brokers)) => brokers.to_string(),
        Ok(Err(_)) | Err(_) => "an unknown number of".to_owned(),
    };
    let wanted = match settings.replication_factor {
        -1 => "kafka.replication_factor = -1 takes the brokers' default, which is".to_owned(),
        wanted => format!("kafka.replication_factor = {wanted} is"),
    };
    KafkaError::unavailable(format!(
        "topic {name} could not be created yet: {wanted} more than the brokers that are up, {brokers}: start more \
         brokers, or lower it",
    ))
}

async fn check_settings(admin: &Admin, settings: &KafkaSettings, names: &[&str]) -> Result<(), KafkaError> {
    if names.is_empty() {
        return Ok(());
    }
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(settings.request_timeout));
    let configs = admin.client().describe_configs(&resources, &options).await?;
    for (name, config) in names.iter().zip(configs) {
        let config = config.map_err(|code| KafkaError::other(format!("settings of topic {name}: {code}")))?;
        let value = |setting: &str| config.get(setting).and_then(|entry| entry.value.clone());
        let kind = value("message.timestamp.type");
        if kind.as_deref() != Some("LogAppendTime") {
            return Err(KafkaError::mismatch(format!(
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
            return Err(KafkaError::mismatch(format!(
                "topic {name} has max.message.bytes = {}, needed are {needed} bytes: raise the topic's setting, or \
                 lower kafka.raw_max_record_bytes",
                limit.unwrap_or(0),
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_has_to_change_ends_the_program() {
        use RDKafkaErrorCode::*;
        for code in [
            RequestTimedOut,
            OperationTimedOut,
            NotController,
            LeaderNotAvailable,
            BrokerNotAvailable,
            NetworkException,
            ThrottlingQuotaExceeded,
            Unknown,
        ] {
            assert!(matches!(not_created("t", code), KafkaError::Unavailable { .. }), "{code:?}");
        }
        for code in [
            PolicyViolation,
            InvalidConfig,
            InvalidPartitions,
            InvalidTopic,
            TopicAuthorizationFailed,
            ClusterAuthorizationFailed,
            UnsupportedVersion,
        ] {
            let KafkaError::Mismatch { detail: text, .. } = not_created("t", code) else {
                panic!("{code:?}")
            };
            assert!(text.starts_with("topic t could not be created: "), "{text}");
        }
    }

    #[test]
    fn the_remedy_for_another_number_of_partitions_can_be_followed() {
        let settings = KafkaSettings::default();
        assert!(check_partitions(&settings, "t", 5).is_ok());
        let remedy = |count| check_partitions(&settings, "t", count).unwrap_err().to_string();
        assert!(remedy(15).ends_with("set kafka.partitions_per_borough to 3, or name another topic"));
        assert!(remedy(3).ends_with("needs 5: name another topic"), "{}", remedy(3));
    }
}
