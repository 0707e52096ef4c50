//! Raw consumer: reads `nyc311.raw` and hands the records of each partition to the enricher of its borough.
//!
//! Opening a partition asks the enriched publisher for a fresh transactional producer first: that fences the
//! previous owner and ends what it left open, and only then does Kafka tell the committed offset.
//!
//! Beside each offset stands the log that it speaks of ([`OffsetNote`]). Where there is no offset that counts
//! (none was committed, or only for a log that is gone), `raw_position` in PostgreSQL says where to start;
//! and where the log begins behind that, records were lost that nobody had read. Noting that moves the start,
//! in one transaction, so that the next opening finds nothing to note.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::cluster::Cluster;
use super::enriched_publisher::EnrichedPublisher;
use super::enricher::Enricher;
use super::environment::Environment;
use super::kafka_loss::{Found, another_log};
use super::partition_reader::{Destination, OpenPosition, PartitionReader, batches_per_partition};
use crate::config::Settings;
use crate::kafka::consumer::{InFlightLimit, ReadBatch};
use crate::kafka::groups::{COMMITTED_PATIENCE, enricher_group};
use crate::kafka::transactional::{Opening, Withheld};
use crate::kafka::{KafkaError, OffsetNote, Partition};
use crate::messages::{BatchError, OpenPartition, RawBatch};
use crate::store::{LostPlace, RawStart};
use crate::supervision::StageRef;
use crate::telemetry::labels::{Dependency, StageName};

/// The raw consumer is a partition reader in front of the enrichers.
pub type RawConsumer = PartitionReader<ToEnrichers>;

/// Hands raw batches to the enricher of the partition's borough.
pub struct ToEnrichers {
    environment: Arc<Environment>,
    publisher: StageRef<EnrichedPublisher>,
    /// In the order of the boroughs.
    enrichers: Vec<StageRef<Enricher>>,
    /// What is to be committed beside the offset of each open partition.
    notes: RefCell<HashMap<i32, OffsetNote>>,
    /// Partitions whose committed offset was not told when it was asked for last.
    withheld: RefCell<HashSet<i32>>,
    /// Partitions without transactions whose commit was seen to lag: how far they were done then.
    lagging: RefCell<HashMap<Partition, i64>>,
}

impl ToEnrichers {
    /// Puts the consumer in front of the enrichers, which are in the order of the boroughs.
    pub fn new(
        environment: Arc<Environment>,
        publisher: StageRef<EnrichedPublisher>,
        enrichers: Vec<StageRef<Enricher>>,
    ) -> Self {
        Self {
            environment,
            publisher,
            enrichers,
            notes: RefCell::default(),
            withheld: RefCell::default(),
            lagging: RefCell::default(),
        }
    }

    fn enricher(&self, partition: i32) -> Option<&StageRef<Enricher>> {
        self.enrichers.get(self.environment.partition_map.owner(partition).index())
    }

    /// Returns the partitions that are done up to an offset that Kafka does not know as committed, at two
    /// looks in a row: the commit has failed, and nothing follows that would repeat it.
    async fn find_uncommitted(&self, open: Vec<OpenPosition<u64>>) -> Vec<Partition> {
        let settings = &self.environment.settings;
        let partitions: Vec<i32> = open.iter().map(|open| open.partition.1).collect();
        let (group, topic) = (enricher_group(&settings.kafka), &settings.kafka.raw_topic);
        // Without an answer there is nothing to conclude; the next look follows soon.
        let Ok(committed) =
            self.environment.admin.committed(&group, topic, &partitions, COMMITTED_PATIENCE).await
        else {
            return Vec::new();
        };
        let mut lagging = HashMap::new();
        let mut stale = Vec::new();
        for (open, committed) in open.into_iter().zip(committed) {
            let behind = match committed {
                Some(committed) => committed.next_offset < open.next_offset,
                None => open.next_offset > open.opened_at,
            };
            if !behind {
                continue;
            }
            if self.lagging.borrow().get(&open.partition) == Some(&open.next_offset) {
                stale.push(open.partition);
            } else {
                lagging.insert(open.partition, open.next_offset);
            }
        }
        *self.lagging.borrow_mut() = lagging;
        stale
    }

    /// Returns what is to stand beside the offset behind a batch.
    fn note_behind(&self, batch: &ReadBatch) -> OffsetNote {
        let mut notes = self.notes.borrow_mut();
        let note = notes.entry(batch.read.partition).or_default();
        note.last = batch.read.last.or(note.last);
        note.clone()
    }

    /// Finds where enriching goes on: behind what the group has committed, unless that speaks of another log,
    /// or of records that are gone.
    async fn start_at(&self, cluster: &Cluster, partition: i32) -> Result<(i64, OffsetNote), BatchError> {
        let environment = &self.environment;
        let settings = &environment.settings;
        let topic = &settings.kafka.raw_topic;
        let group = enricher_group(&settings.kafka);
        let topic_id = cluster.topic_id(topic);
        let answer = || BatchError::from(KafkaError::unavailable("no answer with offsets"));
        // What is known of the partition is read first, the ends of the log last: offsets only grow, so that
        // a process that stood still in between finds nothing beyond its log that is not.
        for _ in 0..ATTEMPTS_TO_START {
            let known = environment.store.raw_positions(&cluster.id, topic).await?;
            let known = known.into_iter().find(|row| row.partition == partition);
            let stored_id = known.as_ref().and_then(|row| row.topic_id.as_deref());
            let start = known.as_ref().map(|row| row.start.clone()).unwrap_or_default();
            let committed =
                environment.admin.committed(&group, topic, &[partition], COMMITTED_PATIENCE).await;
            if committed.is_err() {
                self.withheld.borrow_mut().insert(partition);
            }
            let committed = committed?.into_iter().next().ok_or_else(answer)?;
            if stored_id.zip(topic_id).is_some_and(|(stored, now)| stored != now) {
                environment.doubt_logs();
                return Err(another_log(topic));
            }
            let committed = committed.filter(|committed| committed.speaks_of(topic_id));
            let next_offset = start.position(committed.as_ref());
            let last = committed
                .as_ref()
                .filter(|committed| committed.next_offset == next_offset)
                .and_then(|committed| committed.note.last);
            let ends = environment.admin.log_ends(topic, [partition]).await?;
            let ends = ends.first().copied().ok_or_else(answer)?;
            let found = Found { topic, partition, next_offset, ends };
            let note = OffsetNote { topic_id: topic_id.map(Into::into), last };
            let Some(detail) = Environment::missing_in(&environment.admin, found, last).await? else {
                return Ok((next_offset, note));
            };
            let superseded_commit = committed.map(|committed| committed.to_string());
            let goes_on = RawStart { start_offset: ends.low, superseded_commit };
            let place = LostPlace::Enrichers { found: start, start: goes_on };
            let noted = environment.note_loss(&cluster.id, topic_id, found, detail, place).await?;
            if noted.is_some() {
                return Ok((ends.low, OffsetNote { last: None, ..note }));
            }
            // Somebody else has noted it meanwhile.
        }
        Err(BatchError::interrupted(format!("{topic}/{partition}: the start moves while it is looked for")))
    }
}

/// How often the start of a partition is looked for while others move it.
const ATTEMPTS_TO_START: u32 = 3;

impl Destination for ToEnrichers {
    type Token = u64;

    const STAGE: StageName = StageName::RawConsumer;
    const PATH: &'static [StageName] =
        &[StageName::RawConsumer, StageName::Enricher, StageName::EnrichedPublisher];
    const NEEDS: Dependency = Dependency::Kafka;

    fn group(settings: &Settings) -> String {
        enricher_group(&settings.kafka)
    }

    fn topics(settings: &Settings) -> (Arc<str>, Vec<Arc<str>>) {
        (Arc::from(settings.kafka.raw_topic.as_str()), Vec::new())
    }

    fn in_flight_limit(settings: &Settings) -> InFlightLimit {
        // A transaction takes about 15 ms, most of it fixed, and takes all that is queued for the partition.
        InFlightLimit {
            batch_rows: 3_000,
            batch_bytes: 4 << 20,
            batches_per_partition: batches_per_partition(settings),
            // Each is held three times: as read, as derived, and in the producer's queue.
            bytes: 10 << 20,
            linger: Duration::from_millis(5),
        }
    }

    fn open(
        self: Rc<Self>,
        cluster: Cluster,
        (_, partition): Partition,
    ) -> LocalBoxFuture<'static, Result<(i64, u64), BatchError>> {
        async move {
            if let Some(enricher) = self.enricher(partition) {
                enricher.up().await;
            }
            self.publisher.up().await;
            let withheld = self.withheld.borrow_mut().remove(&partition);
            let settings = &self.environment.settings.kafka;
            let withheld = withheld.then(|| Withheld {
                group: enricher_group(settings),
                topic_id: cluster.topic_id(&settings.raw_topic).map(Into::into),
            });
            let opened = self.publisher.ask(OpenPartition(Opening { partition, withheld })).await??;
            let (next_offset, note) = self.start_at(&cluster, partition).await?;
            self.notes.borrow_mut().insert(partition, note);
            Ok((next_offset, opened.opening))
        }
        .boxed_local()
    }

    fn hand_on(&self, batch: ReadBatch, opening: u64) -> LocalBoxFuture<'static, Result<(), BatchError>> {
        let partition = batch.read.partition;
        let note = self.note_behind(&batch);
        let message = RawBatch { read: batch.read, opening, note, group: batch.group };
        match self.enricher(partition) {
            Some(enricher) => enricher.ask(message).map(|answer| answer?).boxed_local(),
            None => {
                let error = BatchError::interrupted(format!("partition {partition} belongs to no borough"));
                std::future::ready(Err(error)).boxed_local()
            }
        }
    }

    fn find_stale(
        self: Rc<Self>,
        _: Cluster,
        open: Vec<OpenPosition<u64>>,
    ) -> LocalBoxFuture<'static, Vec<Partition>> {
        async move {
            let settings = &self.environment.settings;
            if settings.kafka.transactions {
                // Kafka itself tells: a commit under an old member or producer id is refused.
                return Vec::new();
            }
            self.find_uncommitted(open).await
        }
        .boxed_local()
    }

    fn commits_offsets(settings: &Settings) -> bool {
        !settings.kafka.transactions
    }
}
