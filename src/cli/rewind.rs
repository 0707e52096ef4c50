//! `nyc311 rewind`: has records of a topic read again. The tables do not change by it, unless the rules have.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use nyc311_notation::{parse_instant, quantity};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use super::setup;
use crate::config::Settings;
use crate::kafka::groups::enricher_group;
use crate::kafka::{Admin, KafkaError, OffsetNote, PartitionMap};
use crate::store::Store;

/// How long members may take to leave their group. One with a stable name does not say that it leaves, so
/// that it finds its partitions again after a restart; the session ends after 6 s.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// How often the group is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct RewindArgs {
    /// Whose records are read again: raw by the enrichers, while none of them runs; enriched by the writer,
    /// at any time
    #[arg(long, value_enum, value_name = "TOPIC")]
    topic: Topic,
    /// `start`, an offset, or a time: the first record appended then or later (a date is its midnight in New
    /// York)
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

pub async fn run(args: &RewindArgs, settings: &Settings) -> Result<i32, CommandError> {
    let kafka = &settings.kafka;
    let (setting, topic) = match args.topic {
        Topic::Raw => ("kafka.raw_topic", &kafka.raw_topic),
        Topic::Enriched => ("kafka.enriched_topic", &kafka.enriched_topic),
    };
    let partitions = partitions(args, settings)?;
    let admin = Admin::new(kafka)?;
    setup::expect_topic(&admin, kafka, setting, topic).await?;
    let targets = targets(&admin, topic, &partitions, args.to).await?;
    let (store, cluster) = (setup::migrated_store(settings).await?, admin.cluster_id().await?);
    let mut positions = Vec::new();
    match args.topic {
        Topic::Raw => {
            positions = rewind_group(&admin, settings, &store, &targets).await?;
            store.forget_raw_starts(&cluster, topic).await?;
        }
        Topic::Enriched => {
            for Aim { partition, next_offset, low } in &targets {
                let position = store.rewind_position(&cluster, topic, *partition, *next_offset, *low).await?;
                positions.push((*partition, position.next_offset));
            }
        }
    }
    let stays = positions.iter().zip(&targets).find(|((_, now), aim)| *now < aim.next_offset);
    if let Some(((partition, next_offset), _)) = stays {
        output::note(&format!(
            "partition {partition} stays at {next_offset}: a rewind goes back only, and what lies before the target was not read yet"
        ));
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

fn partitions(args: &RewindArgs, settings: &Settings) -> Result<Vec<i32>, CommandError> {
    let count = PartitionMap::new(settings.kafka.partitions_per_borough).partitions();
    if args.partition.is_empty() {
        return Ok((0..count).collect());
    }
    match args.partition.iter().find(|partition| !(0..count).contains(*partition)) {
        Some(wrong) => Err(CommandError::new(
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

/// Where a partition is to go on, and where its log begins.
struct Aim {
    partition: i32,
    next_offset: i64,
    low: i64,
}

/// Finds the offset of each partition; one that lies outside its log would be refused by whoever reads it
/// next.
async fn targets(
    admin: &Admin,
    topic: &str,
    partitions: &[i32],
    to: Target,
) -> Result<Vec<Aim>, CommandError> {
    let ends = admin.log_ends(topic, partitions.iter().copied()).await?;
    let offsets: Vec<i64> = match to {
        Target::Start => ends.iter().map(|ends| ends.low).collect(),
        Target::Time(time) => {
            let found = admin.offsets_at(topic, partitions, time.as_millisecond()).await?;
            found.into_iter().map(|(_, offset)| offset).collect()
        }
        Target::Offset(offset) => {
            let outside =
                partitions.iter().zip(&ends).find(|(_, ends)| !(ends.low..=ends.high).contains(&offset));
            if let Some((partition, ends)) = outside {
                return Err(CommandError::new(
                    exit::NO,
                    format!(
                        "partition {partition} of {topic} holds the offsets {} to {}, and {offset} is not among them; name partitions with --partition",
                        ends.low, ends.high
                    ),
                ));
            }
            vec![offset; partitions.len()]
        }
    };
    let aims = partitions.iter().zip(&ends).zip(offsets);
    Ok(aims
        .map(|((partition, ends), next_offset)| Aim { partition: *partition, next_offset, low: ends.low })
        .collect())
}

/// How long what the group has committed may be withheld by an open transaction.
const COMMITTED_PATIENCE: Duration = Duration::from_secs(20);

/// Moves the enrichers' group back, and returns where its partitions are. Kafka keeps its positions, and
/// refuses to move those of a group at work.
async fn rewind_group(
    admin: &Admin,
    settings: &Settings,
    store: &Store,
    targets: &[Aim],
) -> Result<Vec<(i32, i64)>, CommandError> {
    let group = enricher_group(&settings.kafka);
    let members = members_left(admin, &group).await?;
    if members > 0 {
        return Err(CommandError::new(
            exit::NO,
            format!(
                "the group {group} has {members} members that read {}; stop every process with the role enricher, then rewind",
                settings.kafka.raw_topic
            ),
        ));
    }
    let raw = settings.kafka.raw_topic.as_str();
    let topic_id = admin.describe(&[raw]).await?.remove(raw).and_then(|topic| topic.id);
    let partitions: Vec<i32> = targets.iter().map(|aim| aim.partition).collect();
    let committed = admin.committed(&group, raw, &partitions, COMMITTED_PATIENCE).await?;
    let starts = store.raw_positions(&admin.cluster_id().await?, raw).await?;
    let positions: Vec<_> = targets
        .iter()
        .zip(committed)
        .map(|(aim, committed)| {
            let start = starts.iter().find(|row| row.partition == aim.partition);
            let start = start.map(|row| row.start.clone()).unwrap_or_default();
            let stands = start.position(committed.as_ref()).max(aim.low);
            (aim.partition, aim.next_offset.min(stands))
        })
        .collect();
    admin.commit(&group, raw, &positions, &OffsetNote { topic_id, last: None }).await?;
    Ok(positions)
}

/// Returns how many members a group has when those that were stopped have had the time to leave.
async fn members_left(admin: &Admin, group: &str) -> Result<usize, KafkaError> {
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
