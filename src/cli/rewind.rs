//! `nyc311 rewind`: has records of a topic read again. The tables do not change by it, unless the rules have.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::exit::{self, Failure};
use super::output::{self, Format, OutputArgs};
use super::setup;
use crate::actors::enricher_group;
use crate::config::{Settings, parse_instant};
use crate::kafka::{Admin, KafkaFailure, OffsetNote, PartitionMap};
use crate::quantity;

/// How long members may take to leave their group. One with a stable name does not say that it leaves, so that it finds its partitions
/// again after a restart; the session ends after 6 s.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// How often the group is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct RewindArgs {
    /// Whose records are read again: raw by the enrichers, while none of them runs; enriched by the writer, at any time
    #[arg(long, value_enum, value_name = "TOPIC")]
    topic: Topic,
    /// `start`, an offset, or a time: the first record appended then or later (a date is its midnight in New York)
    #[arg(long, value_name = "POSITION", value_parser = target, allow_hyphen_values = true)]
    to: Target,
    /// Only these partitions; an offset without it is taken for each
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = quantity::number(0..=i32::MAX))]
    partition: Vec<i32>,
    #[command(flatten)]
    form: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Topic {
    Raw,
    Enriched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Start,
    Offset(i64),
    Time(Timestamp),
}

fn target(text: &str) -> Result<Target, String> {
    if text == "start" {
        return Ok(Target::Start);
    }
    if let Ok(offset) = text.parse::<i64>() {
        return if offset < 0 {
            Err("an offset is not negative; `start` is the first that the log still holds".to_owned())
        } else {
            Ok(Target::Offset(offset))
        };
    }
    parse_instant(text)
        .map(Target::Time)
        .map_err(|error| format!("is neither `start` nor an offset, and {error}"))
}

pub async fn run(args: &RewindArgs, settings: &Settings) -> Result<i32, Failure> {
    let kafka = &settings.kafka;
    let (setting, topic) = match args.topic {
        Topic::Raw => ("kafka.raw_topic", &kafka.raw_topic),
        Topic::Enriched => ("kafka.enriched_topic", &kafka.enriched_topic),
    };
    let partitions = partitions(args, settings)?;
    let admin = Admin::new(kafka)?;
    setup::expect_topic(&admin, kafka, setting, topic).await?;
    let positions = positions(&admin, topic, &partitions, args.to).await?;
    match args.topic {
        Topic::Raw => {
            let (store, cluster) = (setup::migrated_store(settings).await?, admin.cluster_id().await?);
            rewind_group(&admin, settings, &positions).await?;
            store.forget_raw_starts(&cluster, topic).await?;
        }
        Topic::Enriched => {
            let (store, cluster) = (setup::migrated_store(settings).await?, admin.cluster_id().await?);
            for (partition, next_offset) in &positions {
                store.rewind_position(&cluster, topic, *partition, *next_offset).await?;
            }
        }
    }
    match args.form.output {
        Format::Json => {
            let positions: Vec<_> = positions
                .iter()
                .map(|(partition, next_offset)| json!({"partition": partition, "next_offset": next_offset}))
                .collect();
            output::print_json(&json!({"topic": topic, "positions": positions}));
        }
        Format::Table => {
            let rows: Vec<_> = positions
                .iter()
                .map(|(partition, next_offset)| {
                    vec![topic.clone(), partition.to_string(), output::grouped(*next_offset)]
                })
                .collect();
            output::print_block(&output::table(&["TOPIC", "PARTITION", "NEXT OFFSET"], &rows));
        }
    }
    Ok(exit::DONE)
}

fn partitions(args: &RewindArgs, settings: &Settings) -> Result<Vec<i32>, Failure> {
    let count = PartitionMap::new(settings.kafka.partitions_per_borough).partitions();
    if args.partition.is_empty() {
        return Ok((0..count).collect());
    }
    match args.partition.iter().find(|partition| !(0..count).contains(*partition)) {
        Some(wrong) => Err(Failure::new(
            exit::USAGE,
            format!("there is no partition {wrong}, they are 0 to {}", count - 1),
        )),
        None => {
            let mut partitions = args.partition.clone();
            partitions.sort_unstable();
            partitions.dedup();
            Ok(partitions)
        }
    }
}

/// Finds the offset of each partition; one that lies outside its log would be refused by whoever reads it next.
async fn positions(
    admin: &Admin,
    topic: &str,
    partitions: &[i32],
    to: Target,
) -> Result<Vec<(i32, i64)>, Failure> {
    let ends = admin.log_ends(topic, partitions.iter().copied()).await?;
    match to {
        Target::Start => {
            Ok(partitions.iter().zip(&ends).map(|(partition, ends)| (*partition, ends.low)).collect())
        }
        Target::Time(time) => Ok(admin.offsets_at(topic, partitions, time.as_millisecond()).await?),
        Target::Offset(offset) => {
            let outside =
                partitions.iter().zip(&ends).find(|(_, ends)| !(ends.low..=ends.high).contains(&offset));
            match outside {
                None => Ok(partitions.iter().map(|partition| (*partition, offset)).collect()),
                Some((partition, ends)) => Err(Failure::new(
                    exit::NO,
                    format!(
                        "partition {partition} of {topic} holds the offsets {} to {}, and {offset} is not among them; name partitions with --partition",
                        ends.low, ends.high
                    ),
                )),
            }
        }
    }
}

/// Moves the enrichers' group. Kafka keeps its positions, and refuses to move those of a group at work.
async fn rewind_group(admin: &Admin, settings: &Settings, positions: &[(i32, i64)]) -> Result<(), Failure> {
    let group = enricher_group(settings);
    let members = members_left(admin, &group).await?;
    if members > 0 {
        return Err(Failure::new(
            exit::NO,
            format!(
                "the group {group} has {members} members that read {}; stop every process with the role enricher, then rewind",
                settings.kafka.raw_topic
            ),
        ));
    }
    let raw = settings.kafka.raw_topic.as_str();
    let topic_id = admin.describe(&[raw]).await?.remove(raw).and_then(|topic| topic.id);
    Ok(admin.commit(&group, raw, positions, &OffsetNote { topic_id, last: None }).await?)
}

/// Returns how many members a group has when those that were stopped have had the time to leave.
async fn members_left(admin: &Admin, group: &str) -> Result<usize, KafkaFailure> {
    let deadline = Instant::now() + LEAVE_WITHIN;
    let mut members = admin.group_members(group).await?;
    if members > 0 {
        output::note(&format!(
            "the group {group} has {members} members; waiting up to {} s, since a stopped process stays one until its session ends",
            LEAVE_WITHIN.as_secs()
        ));
    }
    while members > 0 && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
        members = admin.group_members(group).await?;
    }
    Ok(members)
}

impl From<KafkaFailure> for Failure {
    fn from(failure: KafkaFailure) -> Self {
        let code = match &failure {
            KafkaFailure::Unavailable(_) => exit::UNREACHABLE,
            KafkaFailure::Mismatch(_) => exit::SETTINGS,
            KafkaFailure::Fenced(_)
            | KafkaFailure::Fatal(_)
            | KafkaFailure::TooLarge
            | KafkaFailure::Other(_) => exit::NO,
        };
        let remedy = if code == exit::UNREACHABLE {
            "; is Kafka running where kafka.bootstrap_servers says?"
        } else {
            ""
        };
        Self::new(code, format!("{failure}{remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_start_an_offset_or_a_time() {
        assert_eq!(target("start"), Ok(Target::Start));
        assert_eq!(target("42"), Ok(Target::Offset(42)));
        assert_eq!(target("2026-01-31"), Ok(Target::Time("2026-01-31T05:00:00Z".parse().unwrap())));
        assert!(target("-1").is_err());
        assert!(target("end").is_err());
    }
}
