//! `nyc311 replay`: sends dead letters through the pipeline again, after whatever kept them out was mended.
//!
//! A raw row goes to the raw topic. What only the database refused goes to the enriched topic, since that is
//! what its bytes are. A letter is resolved when its row is in the tables, and open again when it fails
//! again.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use nyc311_domain::peek;
use nyc311_notation::quantity;
use serde_json::{Value, json};

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use super::setup;
use crate::config::{KafkaSettings, Settings};
use crate::kafka::raw_producer::RawProducer;
use crate::kafka::topics::derived_max_bytes;
use crate::kafka::{Admin, HeaderList, KafkaError, PartitionMap, RawRow};
use crate::store::{LetterKey, LetterSelection, StoredLetter};
use crate::telemetry::labels::StageName;

/// What became of a letter that no topic takes; one that somebody else discarded or replayed meanwhile is
/// left alone.
const TOO_LARGE: &str = "too large";
/// Letters that are locked, sent and marked together.
const TOGETHER: i64 = 50;
/// How long sending may take while their rows are locked: less than the database lets a transaction idle.
const SEND_WITHIN: Duration = Duration::from_secs(8);

/// The stages that set rows aside.
const SETS_ASIDE: [StageName; 4] =
    [StageName::Poller, StageName::Enricher, StageName::Aggregator, StageName::Writer];

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Only this letter: its payload_sha256 in hexadecimal digits; may be given several times
    #[arg(long, value_name = "SHA256", value_parser = key)]
    sha256: Vec<LetterKey>,
    /// Only letters with this reason's code
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Only letters of this stage
    #[arg(long, value_name = "STAGE", value_parser = SETS_ASIDE.map(StageName::as_str))]
    stage: Option<String>,
    /// Also letters that were replayed before and have neither arrived nor failed since
    #[arg(long)]
    again: bool,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = quantity::number(1..=u32::MAX))]
    limit: Option<u32>,
    /// List them only
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: OutputArgs,
}

fn key(text: &str) -> Result<LetterKey, String> {
    crate::hex::from_hex(text).ok_or_else(|| "is not 64 hexadecimal digits".to_owned())
}

pub async fn run(args: &ReplayArgs, settings: &Settings) -> Result<i32, CommandError> {
    let store = setup::migrated_store(settings).await?;
    let selection = LetterSelection {
        keys: args.sha256.clone(),
        stage: args.stage.clone(),
        reason: args.reason.clone(),
        again: args.again,
    };
    let mut sender = Sender::new(&settings.kafka);
    let (mut after, mut left) = (None, args.limit.map_or(i64::MAX, i64::from));
    let mut outcomes: Vec<(StoredLetter, &'static str)> = Vec::new();
    while left > 0 {
        // A letter that fails again at once lies behind `after`, so it is not taken twice.
        let letters = store.dead_letters(&selection, after, left.min(TOGETHER)).await?;
        let Some(last) = letters.last() else { break };
        after = Some((last.first_seen_at, last.key));
        left -= i64::try_from(letters.len()).unwrap_or(i64::MAX);
        let (mut held, mut sent) = (Vec::new(), Vec::new());
        if !args.dry_run {
            sender.expect_topics(&letters).await?;
            let keys: Vec<LetterKey> = letters.iter().map(|letter| letter.key).collect();
            let send = async |keys: Vec<LetterKey>| {
                held = keys;
                sender.send(letters.iter().filter(|letter| held.contains(&letter.key))).await
            };
            sent = store.replay(&keys, args.again, send).await??;
        }
        for letter in letters {
            let outcome = if args.dry_run {
                "would be replayed"
            } else if sent.contains(&letter.key) {
                "replayed"
            } else if held.contains(&letter.key) {
                TOO_LARGE
            } else {
                "left alone"
            };
            // The bytes are not shown, and there may be many of them.
            outcomes.push((StoredLetter { payload: bytes::Bytes::new(), ..letter }, outcome));
        }
    }
    show(&outcomes, args.form.output);
    Ok(if outcomes.iter().any(|(_, outcome)| *outcome == TOO_LARGE) { exit::NO } else { exit::DONE })
}

/// Whether the bytes of a letter are those of an enriched record.
fn is_enriched(letter: &StoredLetter) -> bool {
    matches!(StageName::from_word(&letter.stage), Some(StageName::Aggregator | StageName::Writer))
}

/// Sends letters to the topic that their bytes belong to.
struct Sender<'a> {
    settings: &'a KafkaSettings,
    /// The topics that are there: raw and enriched.
    found: [bool; 2],
    raw: Option<Arc<RawProducer>>,
    enriched: Option<Arc<RawProducer>>,
}

impl<'a> Sender<'a> {
    fn new(settings: &'a KafkaSettings) -> Self {
        Self { settings, found: [false; 2], raw: None, enriched: None }
    }

    /// Checks the topics before any letter is held: waiting for one that nobody has created would end in "no
    /// acknowledgement".
    async fn expect_topics(&mut self, letters: &[StoredLetter]) -> Result<(), CommandError> {
        let topics = [
            ("kafka.raw_topic", &self.settings.raw_topic),
            ("kafka.enriched_topic", &self.settings.enriched_topic),
        ];
        for (index, (setting, topic)) in topics.into_iter().enumerate() {
            let needed = letters.iter().any(|letter| usize::from(is_enriched(letter)) == index);
            if needed && !self.found[index] {
                setup::expect_topic(&Admin::new(self.settings)?, self.settings, setting, topic).await?;
                self.found[index] = true;
            }
        }
        Ok(())
    }

    /// Returns the letters that the brokers have acknowledged; the others are too large.
    async fn send(
        &mut self,
        letters: impl Iterator<Item = &StoredLetter>,
    ) -> Result<Vec<LetterKey>, KafkaError> {
        let sending = async {
            let mut sent = Vec::new();
            for letter in letters {
                if self.send_one(letter).await? {
                    sent.push(letter.key);
                }
            }
            Ok(sent)
        };
        match tokio::time::timeout(SEND_WITHIN, sending).await {
            Ok(sent) => sent,
            Err(_) => {
                let detail = format!("no acknowledgement within {} s", SEND_WITHIN.as_secs());
                Err(KafkaError::unavailable(detail))
            }
        }
    }

    async fn send_one(&mut self, letter: &StoredLetter) -> Result<bool, KafkaError> {
        let enriched = is_enriched(letter);
        let producer = self.producer(enriched)?;
        let head = peek(&letter.payload);
        let map = PartitionMap::new(self.settings.partitions_per_borough);
        // An enriched record stays in its partition; a raw one goes where the poller would send it today.
        let partition = match letter.partition.filter(|partition| enriched && *partition < map.partitions()) {
            Some(partition) => partition,
            None => map.partition(&head, &letter.payload),
        };
        let number = |name: &str| {
            letter.headers.as_ref().and_then(|headers| headers[name].as_str()?.parse::<i64>().ok())
        };
        let headers = HeaderList {
            raw_partition: enriched.then_some(partition),
            raw_offset: number("nyc311-raw-offset").filter(|_| enriched),
            replay_of: Some(letter.key),
            ..HeaderList::default()
        };
        let row = RawRow { value: letter.payload.clone(), borough: head.borough, partition };
        Ok(producer.publish(&[row], &headers).await?.too_large.is_empty())
    }

    fn producer(&mut self, enriched: bool) -> Result<Arc<RawProducer>, KafkaError> {
        let known = if enriched { &mut self.enriched } else { &mut self.raw };
        if let Some(producer) = known {
            return Ok(producer.clone());
        }
        let mut settings = self.settings.clone();
        if enriched {
            settings.raw_max_record_bytes = derived_max_bytes(&settings);
            settings.raw_topic.clone_from(&self.settings.enriched_topic);
        }
        let producer = Arc::new(RawProducer::new(&settings)?);
        *known = Some(producer.clone());
        Ok(producer)
    }
}

fn show(outcomes: &[(StoredLetter, &'static str)], format: Format) {
    let hex = |key: &LetterKey| crate::hex::to_hex(key);
    if format == Format::Json {
        let letters: Vec<Value> = outcomes
            .iter()
            .map(|(letter, outcome)| {
                json!({
                    "payload_sha256": hex(&letter.key),
                    "stage": letter.stage,
                    "reason": letter.reason,
                    "field": letter.field,
                    "detail": letter.detail,
                    "unique_key": letter.unique_key,
                    "replay_count": letter.replay_count,
                    "outcome": outcome,
                })
            })
            .collect();
        return output::print_json(&json!({"dead_letters": letters}));
    }
    if outcomes.is_empty() {
        return output::print("no dead letters to replay");
    }
    let rows: Vec<_> = outcomes
        .iter()
        .map(|(letter, outcome)| {
            let unique_key = letter.unique_key.map_or_else(|| "-".to_owned(), |key| key.to_string());
            vec![
                hex(&letter.key),
                letter.stage.clone(),
                letter.reason.clone(),
                unique_key,
                (*outcome).to_owned(),
            ]
        })
        .collect();
    output::print_block(&output::table(
        &["PAYLOAD SHA256", "STAGE", "REASON", "UNIQUE KEY", "OUTCOME"],
        &rows,
    ));
}
