//! Questions to the cluster: its id, its topics, the ends of its logs, what a group has committed.
//!
//! A question has an end even where librdkafka gives none: a thread of it that stands still holds up whoever
//! asks. And a client that gets no answer for long is replaced by a fresh one ([`Admin::renew`]), so that a
//! Kafka that is there is not taken for one that is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rdkafka::admin::AdminClient;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::answer::{answer_for, no_offset};
use super::asking::{ANSWER_WITHIN, Asking, Clients, asking_config};
use super::client::Logged;
use super::error::KafkaError;
use super::look;
use super::offset_note::OffsetNote;
use super::reading::mark_at;
use super::record::Mark;
use super::topic_ids::{self, DescribedTopic};
use crate::config::KafkaSettings;
use crate::fault_point;
use crate::retry::KAFKA_LOOK;

/// The first and the next offset of a partition's log, aborted and open transactions included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnds {
    pub low: i64,
    pub high: i64,
}

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub next_offset: i64,
    /// The log that it speaks of, as far as it says.
    pub note: OffsetNote,
}

impl Committed {
    /// Tells whether the offset is one of this log. What was committed for a deleted topic is forgotten by
    /// Kafka a moment later than the topic.
    pub fn speaks_of(&self, topic_id: Option<&str>) -> bool {
        self.note.topic_id.as_deref().zip(topic_id).is_none_or(|(of_log, now)| of_log == now)
    }
}

impl std::fmt::Display for Committed {
    /// Writes what tells one commit from another, also of the same offset.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.next_offset, self.note)
    }
}

/// What the members of a group have been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenOut {
    pub partitions: usize,
    /// No rebalance is under way: nothing changes until a member comes or goes.
    pub is_at_rest: bool,
}

/// How much longer than its patience a call may take: there are threads of librdkafka's in between, and one
/// of them may stand still.
const OVERRUN: Duration = Duration::from_secs(5);

/// A client for questions; every clone shares its connections.
#[derive(Clone)]
pub struct Admin {
    clients: Arc<RwLock<Clients>>,
    config: ClientConfig,
    timeout: Duration,
}

impl Admin {
    /// Creates the client; no connection is needed yet.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let config = asking_config(settings);
        let clients = Arc::new(RwLock::new(Clients::new(&config)?));
        Ok(Self { clients, config, timeout: settings.request_timeout })
    }

    /// Returns librdkafka's own admin client.
    pub fn client(&self) -> Arc<AdminClient<Logged>> {
        self.clients.read().client.clone()
    }

    /// Returns a handle whose calls wait for a few seconds at most, for whoever watches: a broker that stands
    /// still is away, however patient other requests are.
    pub fn impatient(&self) -> Self {
        Self { timeout: self.timeout.min(ANSWER_WITHIN), ..self.clone() }
    }

    /// Asks with fresh clients from now on. The old ones are ended on a thread of their own: one of theirs
    /// may stand still.
    pub fn renew(&self) -> Result<(), KafkaError> {
        let fresh = Clients::new(&self.config)?;
        let old = std::mem::replace(&mut *self.clients.write(), fresh);
        let ended = std::thread::Builder::new().name("admin-end".to_owned()).spawn(move || drop(old));
        ended.map(drop).map_err(|error| {
            KafkaError::other(format!("no thread to end a client: {error}")).caused_by(error)
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Asking) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        self.blocking_within(self.timeout, call).await
    }

    /// Calls on a thread where it may block. What the call asks has to be answered within `patience`.
    async fn blocking_within<T: Send + 'static>(
        &self,
        patience: Duration,
        call: impl FnOnce(&Asking) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let clients = self.clients.read().clone();
        let asking = Asking { clients, config: self.config.clone(), until: Instant::now() + patience };
        match tokio::time::timeout(patience + OVERRUN, spawn_blocking(move || call(&asking))).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(KafkaError::other(error.to_string()).caused_by(error)),
            Err(_) => Err(KafkaError::unavailable("the client's own threads give no answer")),
        }
    }

    /// Returns the cluster's id: a Kafka whose volume was wiped has another one. It waits for a few seconds
    /// at most.
    pub async fn cluster_id(&self) -> Result<Arc<str>, KafkaError> {
        fault_point!("environment:cluster_id:before");
        self.blocking_within(self.timeout.min(ANSWER_WITHIN), |admin| {
            look::cluster_id(&admin.clients.reader, &admin.config, admin.left())
        })
        .await
    }

    /// Returns every topic with its number of partitions.
    pub async fn topics(&self) -> Result<HashMap<String, i32>, KafkaError> {
        self.blocking(|admin| {
            let client = admin.clients.reader.client();
            let metadata = admin.ask(|within| Ok(client.fetch_metadata(None, within)?))?;
            let count = |topic: &rdkafka::metadata::MetadataTopic| {
                i32::try_from(topic.partitions().len()).unwrap_or(0)
            };
            let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
            Ok(topics.map(|topic| (topic.name().to_owned(), count(topic))).collect())
        })
        .await
    }

    /// Returns those of these topics that exist, with the id of each. It waits for a few seconds at most.
    pub async fn describe(&self, names: &[&str]) -> Result<HashMap<String, DescribedTopic>, KafkaError> {
        fault_point!("environment:topic_ids:before");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.blocking_within(self.timeout.min(ANSWER_WITHIN), move |admin| {
            admin.ask(|within| topic_ids::describe(admin.clients.client.inner(), &names, within))
        })
        .await
    }

    /// Waits until new topics are known to the brokers with a leader for each partition.
    pub async fn wait_for_topics(&self, names: &[&str], partitions: i32) -> Result<(), KafkaError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        loop {
            let known = self.topics().await?;
            let mut ready = names.iter().all(|name| known.get(*name) == Some(&partitions));
            if ready {
                for name in names {
                    ready &= self.log_ends(name, 0..partitions).await.is_ok();
                }
            }
            if ready {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(KafkaError::unavailable(format!(
                    "topics {} have no leaders yet",
                    names.join(", ")
                )));
            }
            tokio::time::sleep(KAFKA_LOOK).await;
        }
    }

    /// Returns the ends of the logs of `partitions`, in their order.
    pub async fn log_ends(
        &self,
        topic: &str,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<Vec<LogEnds>, KafkaError> {
        fault_point!("environment:log_ends:before");
        let (topic, partitions): (String, Vec<_>) = (topic.to_owned(), partitions.into_iter().collect());
        self.blocking(move |admin| {
            let ends = partitions.iter().map(|partition| {
                let client = admin.clients.reader.client();
                let ends = |within| Ok(client.fetch_watermarks(&topic, *partition, within)?);
                admin.ask(ends).map(|(low, high)| LogEnds { low, high })
            });
            ends.collect()
        })
        .await
    }

    /// Returns what `group` has committed for `partitions` of `topic`; none where it never has.
    ///
    /// While a transaction that holds offsets of the group is open, Kafka does not answer until it has ended,
    /// and `patience` bounds the wait. Brokers before 2.5 answer with what was committed before it. Neither
    /// consumer of this program needs more: whoever opens a partition has ended such a transaction before it
    /// asks, and whoever waits for a position asks again.
    pub async fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
        patience: Duration,
    ) -> Result<Vec<Option<Committed>>, KafkaError> {
        fault_point!("environment:committed:before");
        let (group, topic, partitions) = (group.to_owned(), topic.to_owned(), partitions.to_vec());
        self.blocking_within(patience, move |admin| {
            let consumer = admin.group_client(&group)?;
            // The list must be gone before the consumer is dropped, or the drop hangs: hence the inner scope.
            let committed = {
                let mut wanted = TopicPartitionList::new();
                for partition in &partitions {
                    wanted.add_partition(&topic, *partition);
                }
                let list = admin.ask(|within| Ok(consumer.committed_offsets(wanted.clone(), within)?))?;
                let committed = |partition: &i32| {
                    let found = answer_for(&list, &topic, *partition)?;
                    match found.offset() {
                        Offset::Offset(next_offset) => {
                            Ok(Some(Committed { next_offset, note: OffsetNote::read(found.metadata()) }))
                        }
                        Offset::Invalid => Ok(None),
                        other => Err(no_offset(&topic, *partition, other).into()),
                    }
                };
                partitions.iter().map(committed).collect::<Result<Vec<_>, KafkaError>>()?
            };
            Ok(committed)
        })
        .await
    }

    /// Tells whether the log still has the record that was seen there. One that is past its retention is
    /// taken for there: whether the log begins behind it is for its ends to tell.
    ///
    /// Kafka's own clock dates each record, so the first record that is as old as the mark lies at it or
    /// before it, and the first that is younger lies behind it. Two cheap questions tell that; where the
    /// clock of a broker went back, they may err, and the record itself is read.
    pub async fn holds(&self, topic: &str, partition: i32, mark: Mark) -> Result<bool, KafkaError> {
        let ends = self.log_ends(topic, [partition]).await?;
        let Some(ends) = ends.first().copied() else { return Ok(true) };
        if mark.offset < ends.low {
            return Ok(true);
        }
        if mark.offset >= ends.high {
            return Ok(false);
        }
        let first_since = async |time_ms| -> Result<i64, KafkaError> {
            let found = self.offsets_at(topic, &[partition], time_ms).await?;
            Ok(found.first().map_or(ends.high, |(_, offset)| *offset))
        };
        if first_since(mark.appended_at_ms).await? <= mark.offset
            && first_since(mark.appended_at_ms.saturating_add(1)).await? > mark.offset
        {
            return Ok(true);
        }
        Ok(self.mark_at(topic, partition, mark.offset).await? == Some(mark))
    }

    /// Reads when the record at an offset was appended; none where the next record lies behind it.
    async fn mark_at(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<Mark>, KafkaError> {
        let topic = topic.to_owned();
        self.blocking(move |admin| {
            // It takes part in no group, but librdkafka reads under the name of one only.
            let mut config = admin.config.clone();
            config
                .set("group.id", "nyc311-look")
                .set("enable.auto.commit", "false")
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true");
            let consumer: BaseConsumer<Logged> = config.create_with_context(Logged::default())?;
            admin.ask(|within| mark_at(&consumer, &topic, partition, offset, within))
        })
        .await
    }

    /// Returns how many members `group` has now.
    pub async fn group_members(&self, group: &str) -> Result<usize, KafkaError> {
        let group = group.to_owned();
        self.blocking(move |admin| {
            let client = admin.clients.client.inner();
            let list = admin.ask(|within| Ok(client.fetch_group_list(Some(&group), within)?))?;
            Ok(list
                .groups()
                .iter()
                .find(|found| found.name() == group)
                .map_or(0, |found| found.members().len()))
        })
        .await
    }

    /// Returns how many partitions of a topic the members of a group have been given, all together.
    pub async fn given_out(&self, group: &str, topic: &str) -> Result<GivenOut, KafkaError> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        self.blocking(move |admin| {
            let client = admin.clients.client.inner();
            let list = admin.ask(|within| Ok(client.fetch_group_list(Some(&group), within)?))?;
            let Some(found) = list.groups().iter().find(|found| found.name() == group) else {
                return Ok(GivenOut { partitions: 0, is_at_rest: false });
            };
            let members = found.members().iter();
            let partitions =
                members.map(|member| assigned(member.assignment().unwrap_or_default(), &topic)).sum();
            Ok(GivenOut { partitions, is_at_rest: found.state() == "Stable" })
        })
        .await
    }

    /// Commits positions for a group without members; Kafka refuses it for a group with some.
    pub async fn commit(
        &self,
        group: &str,
        topic: &str,
        positions: &[(i32, i64)],
        note: &OffsetNote,
    ) -> Result<(), KafkaError> {
        let (group, topic, positions) = (group.to_owned(), topic.to_owned(), positions.to_vec());
        let note = note.to_string();
        self.blocking(move |admin| {
            let consumer = admin.group_client(&group)?;
            {
                let mut list = TopicPartitionList::new();
                for (partition, next_offset) in &positions {
                    let mut position = list.add_partition(&topic, *partition);
                    position.set_offset(Offset::Offset(*next_offset))?;
                    position.set_metadata(&note);
                }
                fault_point!("rewind:commit:before");
                admin.ask(|_| Ok(consumer.commit(&list, CommitMode::Sync)?))?;
                fault_point!("rewind:commit:after");
            }
            Ok(())
        })
        .await
    }

    /// Returns, for each partition, the first offset whose record was appended at or after `time_ms`
    /// (milliseconds since 1970), or the log's end where there is none. No record is older than 1970.
    pub async fn offsets_at(
        &self,
        topic: &str,
        partitions: &[i32],
        time_ms: i64,
    ) -> Result<Vec<(i32, i64)>, KafkaError> {
        let ends = self.log_ends(topic, partitions.iter().copied()).await?;
        let (topic, partitions) = (topic.to_owned(), partitions.to_vec());
        self.blocking(move |admin| {
            let mut wanted = TopicPartitionList::new();
            for partition in &partitions {
                wanted.add_partition_offset(&topic, *partition, Offset::Offset(time_ms.max(0)))?;
            }
            let reader = &admin.clients.reader;
            let found = admin.ask(|within| Ok(reader.offsets_for_times(wanted.clone(), within)?))?;
            let offset = |(partition, ends): (&i32, &LogEnds)| match answer_for(&found, &topic, *partition)?
                .offset()
            {
                Offset::Offset(offset) => Ok((*partition, offset)),
                Offset::End => Ok((*partition, ends.high)),
                other => Err(no_offset(&topic, *partition, other).into()),
            };
            partitions.iter().zip(&ends).map(offset).collect()
        })
        .await
    }
}

/// Counts the partitions of `topic` in what Kafka's consumer protocol says of a member: a version, then for
/// each topic its name and its partitions. What is not of that form assigns nothing.
fn assigned(assignment: &[u8], topic: &str) -> usize {
    fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(length)?;
        *rest = left;
        Some(taken)
    }
    fn number(rest: &mut &[u8], length: usize) -> Option<usize> {
        let bytes = take(rest, length)?;
        Some(bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }
    let mut rest = assignment;
    let mut count = || {
        take(&mut rest, 2)?;
        let mut found = 0;
        for _ in 0..number(&mut rest, 4)? {
            let length = number(&mut rest, 2)?;
            let name = take(&mut rest, length)?;
            let partitions = number(&mut rest, 4)?;
            take(&mut rest, partitions.checked_mul(4)?)?;
            if topic.as_bytes() == name {
                found += partitions;
            }
        }
        Some(found)
    };
    count().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_counted_by_topic_and_a_broken_one_counts_nothing() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (name, partitions) in [("raw", 3_u32), ("foreign", 2)] {
            bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&partitions.to_be_bytes());
            (0..partitions).for_each(|partition: u32| bytes.extend_from_slice(&partition.to_be_bytes()));
        }
        assert_eq!(assigned(&bytes, "raw"), 3);
        assert_eq!(assigned(&bytes[..bytes.len() - 1], "raw"), 0);
        assert_eq!(assigned(&[], "raw"), 0);
        assert_eq!(assigned(&[0, 1, 0xff, 0xff, 0xff, 0xff], "raw"), 0);
    }
}
