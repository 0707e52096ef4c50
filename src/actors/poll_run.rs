//! One run of a poll: from its cursor to the end of the source, and on until its rows are in PostgreSQL.
//!
//! What is durable, in which order. For each page:
//! 1. Kafka acknowledges every row of it (the raw publisher's answer).
//! 2. One PostgreSQL transaction counts the page, moves the poll's cursor behind its last row, and moves
//!    `published`.
//!
//! A crash before 1 or between 1 and 2 leaves the cursor before the page: it is fetched and published again,
//! which changes nothing in the tables (promise 6) and shows in the poll as `republished`. A crash after 2
//! goes on behind it.
//!
//! After the last page the ends of the raw log are stored together with the state `storing`. The poll has
//! succeeded when its rows are in PostgreSQL, which follows from positions alone: the enrichers have
//! committed past those ends; the ends of both derived topics, read after that, are reached by the positions
//! in PostgreSQL. A crash in between repeats the questions.
//!
//! `published` is a time: the greatest `:updated_at` seen, never past the answer's `Date` less the visibility
//! lag. A page that reaches beyond that may lack rows that were not visible yet, and no later page of the
//! same poll can bring them: from there on `published` stays, also where the poll goes on hours later, after
//! a restart (which finds it behind the newest row that the poll has seen). Rows of a replica that lags are
//! good, but it may lack others: from the first such page on neither cursor moves. The next poll reads from
//! `published` again.
//!
//! What goes wrong ends in one of three ways, never in a page that is published again and again: what is away
//! is waited for by its name; what Kafka refuses is tried [`REFUSALS`] times, then the poll fails with what
//! Kafka said; what the database refuses fails the poll with what it said, and the stage where not even that
//! can be written.

mod completion;
mod error;
mod prepared;
mod succession;
mod walk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::OptionFuture;
use jiff::Timestamp;
use nyc311_domain::peek;
use tokio::sync::watch;
use tracing::Instrument;
use uuid::Uuid;

pub(super) use self::error::{CANCELLED, RunError, failed, poll_error};
use self::prepared::Prepared;
use self::succession::Previous;
use self::walk::{Certain, PageFacts, Walk, begins_at};
use super::cluster::Cluster;
use super::drain::past_saving;
use super::environment::Environment;
use super::raw_publisher::RawPublisher;
use crate::config::KafkaSettings;
use crate::fault_point;
use crate::kafka::{Origin, PublishedPage, RECORD_OVERHEAD_BYTES, max_row_bytes};
use crate::messages::{BatchError, RawPage};
use crate::retry::DEPENDENCY_AWAY;
use crate::socrata::{Cursor, Page, PageRequest, SocrataClient, SocrataError};
use crate::store::polls::{Lease, LeaseError, PageRecord, Poll, PollState};
use crate::store::{DeadLetter, NamedColumns};
use crate::supervision::{Life, Named, StageRef, Wait};
use crate::telemetry::events;
use crate::telemetry::labels::{Dependency, SetAside, StageName, WaitsOn};

/// How a run ended.
pub enum RunEnd {
    /// The poll has ended, or belongs to somebody else now.
    Ended,
    /// The process drains; the poll goes on after the restart.
    Stopped,
    /// Something passing got in the way; the poll is to be taken up again.
    Interrupted(String),
    /// Neither can the poll go on nor can it be ended.
    Broken(String),
}

/// How often in a row Kafka may refuse a page before the poll fails over it.
const REFUSALS: u32 = 8;

/// Everything a run needs.
pub struct PollRun<'a> {
    pub environment: &'a Arc<Environment>,
    pub publisher: &'a StageRef<RawPublisher>,
    pub source: &'a SocrataClient,
    pub life: &'a Life,
    pub cluster: Cluster,
    pub poll: Poll,
    pub token: Uuid,
    /// The poll had waited in the queue, so this run is its first.
    pub taken_from_queue: bool,
    pub stop: watch::Receiver<bool>,
}

impl PollRun<'_> {
    /// Runs the poll until it has ended or something gets in the way.
    pub async fn run(self) -> RunEnd {
        let span = tracing::info_span!("poll", poll_id = %self.poll.id, attempt = self.poll.attempt);
        async {
            tracing::info!(state = self.poll.state.as_str(), "poll runs");
            if self.taken_from_queue {
                events::poll_entered(PollState::Running);
            }
            let outcome = tokio::select! {
                outcome = self.life.work("the run of a poll", self.fetch_and_store()) => outcome,
                interruption = self.life.work("the lease of a poll", self.keep_lease()) => Err(interruption),
                () = self.environment.replaced(self.cluster.clone()) => {
                    Err(RunError::Interrupted("kafka is not the one it was".to_owned()))
                }
            };
            // Nothing but what the database is to know of it.
            self.conclude(outcome).named(Wait::Database).await
        }
        .instrument(span)
        .await
    }

    async fn conclude(&self, outcome: Result<(), RunError>) -> RunEnd {
        let (store, id) = (&self.environment.store, self.poll.id);
        let (state, recorded) = match outcome {
            Ok(()) => (PollState::Succeeded, store.finish_poll(id, self.token, self.dataset()).await),
            Err(RunError::Failed(error)) if error.code == CANCELLED => {
                (PollState::Cancelled, store.finish_cancelled(id, self.token).await)
            }
            Err(RunError::Failed(error)) => {
                tracing::error!(code = error.code, detail = error.detail, "poll failed");
                (PollState::Failed, store.fail_poll(id, self.token, &error).await)
            }
            Err(RunError::LeaseLost) => {
                tracing::warn!("poll belongs to somebody else or starts again");
                return RunEnd::Ended;
            }
            Err(RunError::GaveWay) => {
                tracing::info!("backfill gives way to a poll from the durable cursor on");
                events::poll_entered(PollState::Queued);
                return RunEnd::Ended;
            }
            Err(RunError::Stopped) => {
                // Released, so that whoever starts next need not wait for the lease to pass.
                let released = tokio::select! {
                    released = store.renew_lease(id, self.token, Duration::ZERO) => released.is_ok(),
                    _ = past_saving(self.life, self.environment, Dependency::Database) => false,
                };
                tracing::info!(released, "poll stops with the process and goes on later");
                return RunEnd::Stopped;
            }
            Err(RunError::Interrupted(detail)) => return RunEnd::Interrupted(detail),
        };
        match recorded {
            Ok(()) => {
                tracing::info!(state = state.as_str(), "poll ended");
                events::poll_entered(state);
                RunEnd::Ended
            }
            Err(LeaseError::Lost) => RunEnd::Ended,
            Err(LeaseError::Store(error)) if error.may_pass() => RunEnd::Interrupted(error.to_string()),
            Err(LeaseError::Store(error)) => RunEnd::Broken(error.to_string()),
        }
    }

    fn dataset(&self) -> &str {
        self.environment.settings.source.dataset()
    }

    /// Renews the lease until something ends the run: it is lost, or a cancellation was asked for.
    async fn keep_lease(&self) -> RunError {
        let lease = self.environment.settings.poll.lease;
        // Said once for an absence: it is asked twice a second.
        let mut is_silent = false;
        loop {
            let renewed = self.environment.store.renew_lease(self.poll.id, self.token, lease);
            match renewed.named(Wait::Database).await {
                Ok(Lease::Held { cancel_requested: true }) => return failed(CANCELLED, String::new()),
                Ok(Lease::Held { .. }) => {
                    if std::mem::take(&mut is_silent) {
                        tracing::info!("lease is renewed again");
                    }
                }
                Ok(Lease::Lost) => return RunError::LeaseLost,
                // Whoever takes over meanwhile has another token, and every step of ours is refused.
                Err(error) if std::mem::replace(&mut is_silent, true) => {
                    tracing::debug!(%error, "lease was not renewed");
                }
                Err(error) => tracing::warn!(%error, "lease was not renewed, and is tried again"),
            }
            tokio::time::sleep((lease / 4).min(Duration::from_millis(500))).named(Wait::Pause).await;
        }
    }

    async fn fetch_and_store(&self) -> Result<(), RunError> {
        if self.poll.state != PollState::Storing {
            self.fetch().await?;
        }
        self.wait_until_stored().await
    }

    fn stopping(&self) -> Result<(), RunError> {
        if *self.stop.borrow() { Err(RunError::Stopped) } else { Ok(()) }
    }

    async fn fetch(&self) -> Result<(), RunError> {
        let mut walk = self.first_request().named(Wait::Database).await?;
        let mut fetched = Some(self.fetch_page(walk.request.clone()).await?);
        while let Some((page, limit)) = fetched.take() {
            self.stopping()?;
            walk.request.limit = limit;
            let Some(prepared) = Prepared::new(page, &walk, self.environment)? else { break };
            walk.previous = Previous { rows: prepared.rows.clone(), last: prepared.last_index };
            let after = prepared.last.clone().or_else(|| walk.request.after.clone());
            let request = PageRequest { after, ..walk.request.clone() };
            // Known before the next page is asked for, which would be asked for again.
            let gives_way = !prepared.is_last && self.is_to_give_way().named(Wait::Database).await?;
            // The next page is fetched while this one is published: the source is the slower of the two.
            let following: OptionFuture<_> =
                (!prepared.is_last && !gives_way).then(|| self.fetch_page(request.clone())).into();
            let (published, following) = tokio::join!(self.publish(&walk, &prepared), following);
            let published = published?;
            walk.request = request;
            self.record(&mut walk, &prepared, published).await?;
            fetched = following.transpose()?;
            if gives_way {
                self.give_way().named(Wait::Database).await?;
                fetched = Some(self.fetch_page(walk.request.clone()).await?);
            }
        }
        let topic = &self.environment.settings.kafka.raw_topic;
        let partitions = 0..self.environment.partition_map.partitions();
        let ends = self.environment.admin.log_ends(topic, partitions.clone()).named(Wait::Kafka).await?;
        let ends: Vec<_> = partitions.zip(ends.iter().map(|ends| ends.high)).collect();
        let topic_id = self.cluster.topic_id(topic);
        let begun = self.environment.store.begin_storing(self.poll.id, self.token, topic_id, &ends);
        begun.named(Wait::Database).await?;
        events::poll_entered(PollState::Storing);
        tracing::info!(pages = walk.page, "source is read to its end, rows are being stored");
        Ok(())
    }

    /// A backfill gives way at the end of a page; it goes on at its cursor afterwards.
    async fn is_to_give_way(&self) -> Result<bool, RunError> {
        Ok(!self.poll.window.is_open() && self.environment.store.incremental_poll_waits().await?)
    }

    /// Ends the run, unless the poll that waited does so no longer.
    async fn give_way(&self) -> Result<(), RunError> {
        let gave_way = self.environment.store.give_way(self.poll.id, self.token).await?;
        if gave_way { Err(RunError::GaveWay) } else { Ok(()) }
    }

    async fn first_request(&self) -> Result<Walk, RunError> {
        let settings = &self.environment.settings;
        let window = self.poll.window;
        let position = self.environment.store.source_position(self.dataset()).await?;
        let published = position.and_then(|position| position.published_updated_at);
        let since = begins_at(window, published, settings.poll.initial_since);
        let certain = Certain::after_restart(self.poll.newest_source_updated_at, published);
        let after =
            self.poll.cursor.clone().map(|(updated_at, row_id)| Cursor { updated_at, stated: None, row_id });
        match (&after, since) {
            (Some(after), _) => tracing::info!(from = %after.updated_at, "poll goes on where it stopped"),
            (None, Some(since)) => {
                tracing::info!(from = %since, on = ?window.on, until = ?window.until, "poll begins")
            }
            (None, None) if window.is_open() => tracing::warn!(
                url = settings.source.url,
                "poll takes the whole history of the source: there is no cursor yet, and poll.initial_since is not set"
            ),
            (None, None) => {
                tracing::info!(on = ?window.on, until = ?window.until, "poll begins at the first row")
            }
        }
        let limit = settings.source.page_rows;
        let page = u64::try_from(self.poll.counts.pages).unwrap_or(0);
        let request = PageRequest { on: window.on, since, until: window.until, after, limit };
        Ok(Walk::new(request, page, window.is_open(), certain))
    }

    /// Fetches the page, and says for how many rows it asked: half as many, and half again, where the answer
    /// is larger than what may be held in memory.
    async fn fetch_page(&self, mut request: PageRequest) -> Result<(Page, usize), RunError> {
        let began = Instant::now();
        let mut stop = self.stop.clone();
        let fetched = loop {
            let span = tracing::info_span!("fetch", limit = request.limit);
            let fetched = tokio::select! {
                fetched = self.source.fetch_page(&request).instrument(span).named(Wait::Source) => fetched,
                // A page may take minutes; a drain does not wait for it.
                _ = stop.wait_for(|stop| *stop) => return Err(RunError::Stopped),
            };
            match fetched {
                Err(error @ SocrataError::TooLarge { .. }) if request.limit > 1 => {
                    tracing::warn!(%error, rows = request.limit, "page is too large, half as many rows are asked for");
                    request.limit /= 2;
                }
                fetched => break fetched,
            }
        };
        events::waited(StageName::Poller, WaitsOn::Source, began);
        Ok((fetched?, request.limit))
    }

    /// Publishes a page; while Kafka is away or the publisher is being rebuilt, the page waits.
    async fn publish(&self, walk: &Walk, prepared: &Prepared) -> Result<PublishedPage, RunError> {
        let origin = Origin::new(self.poll.id, walk.page + 1, Timestamp::now());
        let message = RawPage { origin: Arc::new(origin), rows: prepared.rows.clone() };
        let mut delays = DEPENDENCY_AWAY.delays();
        let mut refusals = 0;
        loop {
            fault_point!("raw_publisher:publish:before");
            let began = Instant::now();
            let asked = self.publisher.ask(message.clone());
            let answer = self.life.waiting_if_slow(Dependency::Kafka, asked).await;
            events::waited(StageName::Poller, WaitsOn::Kafka, began);
            let error = match answer {
                Ok(Ok(published)) => {
                    self.life.running();
                    fault_point!("raw_publisher:publish:after");
                    return Ok(published);
                }
                Ok(Err(error)) => error,
                Err(gone) => gone.into(),
            };
            self.stopping()?;
            let error = self.environment.excused(error);
            let wait = delays.next_delay();
            if let BatchError::Unavailable { dependency, .. } = error {
                self.life.waiting_for(dependency);
            } else {
                refusals += 1;
                if refusals >= REFUSALS {
                    return Err(failed("kafka_refused", error.to_string()));
                }
            }
            tracing::warn!(%error, retry_in_ms = wait.as_millis(), "page was not published, it waits");
            tokio::time::sleep(wait).named(Wait::Kafka).await;
            self.publisher.up().named(Wait::Neighbour).await;
        }
    }

    /// Records the page; while the database is away it waits.
    async fn record(
        &self,
        walk: &mut Walk,
        prepared: &Prepared,
        published: PublishedPage,
    ) -> Result<(), RunError> {
        let was_frozen = walk.is_frozen();
        let facts = PageFacts {
            last: prepared.last.as_ref(),
            newest_updated_at: prepared.newest_updated_at,
            answered_at: prepared.answered_at,
            out_of_date: prepared.out_of_date,
        };
        let moves = walk.take(&facts, self.environment.settings.source.visibility_lag);
        if walk.is_frozen() && !was_frozen {
            tracing::warn!(
                page = walk.page,
                "a replica that lags has answered, the cursors stay before this page"
            );
        }
        let news = walk.hear_columns(prepared.columns.as_deref(), prepared.out_of_date);
        let raw_topic = &self.environment.settings.kafka.raw_topic;
        let record = PageRecord {
            page: walk.page,
            rows: prepared.rows.len() as u64,
            published: published.published,
            cursor: moves.cursor,
            newest_updated_at: prepared.newest_updated_at,
            newest_created_at: prepared.newest_created_at,
            published_updated_at: moves.published,
            source: self.dataset().to_owned(),
            cluster_id: self.cluster.id.to_string(),
            raw_topic: raw_topic.clone(),
            raw_topic_id: self.cluster.topic_id(raw_topic).map(str::to_owned),
            acknowledged: published.acknowledged.clone(),
            dead_letters: self.too_large(prepared, &published, walk.page),
            columns: news.and_then(|named| self.read_columns(&named)),
        };
        events::rows_passed(StageName::Poller, record.rows);
        events::batch_seen(StageName::Poller, prepared.rows.len());
        let mut delays = DEPENDENCY_AWAY.delays();
        loop {
            let recording = self.environment.store.record_page(self.poll.id, self.token, &record);
            let recorded = tokio::select! {
                recorded = recording.named(Wait::Database) => recorded,
                _ = past_saving(self.life, self.environment, Dependency::Database) => return Err(RunError::Stopped),
            };
            match recorded {
                Ok(()) => break,
                // Repeated until it is known to have been done: the page is in Kafka, and goes there once.
                Err(LeaseError::Store(error)) if error.may_pass() => {
                    self.stopping()?;
                    self.life.waiting_for(Dependency::Database);
                    tracing::warn!(%error, "page was not recorded, it waits");
                    let began = Instant::now();
                    delays.pause().named(Wait::Database).await;
                    events::waited(StageName::Poller, WaitsOn::Database, began);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.life.running();
        tracing::info!(page = walk.page, rows = record.rows, cursor = ?record.cursor, "page published");
        Ok(())
    }

    fn read_columns(&self, named: &str) -> Option<NamedColumns> {
        match serde_json::from_str(named) {
            Ok(names) => {
                Some(NamedColumns { names, complete: self.environment.settings.source.columns.is_empty() })
            }
            Err(error) => {
                tracing::warn!(%error, named, "the source names its columns in a way that cannot be read");
                None
            }
        }
    }

    /// Rows that Kafka cannot take: they are written where the cursor is, in one transaction with it.
    fn too_large(&self, prepared: &Prepared, published: &PublishedPage, page: u64) -> Vec<DeadLetter> {
        let kafka = &self.environment.settings.kafka;
        let limit = max_row_bytes(kafka);
        let rows = published.too_large.iter().filter_map(|index| prepared.rows.get(*index));
        rows.map(|row| {
            events::row_too_large(page, row.value.len(), limit);
            DeadLetter {
                payload: row.value.clone(),
                stage: StageName::Poller,
                reason: SetAside::RowTooLarge.to_string(),
                field: None,
                detail: Some(too_large_detail(row.value.len(), kafka)),
                unique_key: peek(&row.value).unique_key.and_then(|key| key.trim().parse().ok()),
                kafka_cluster_id: None,
                topic: Some(self.environment.settings.kafka.raw_topic.clone()),
                partition: Some(row.partition),
                offset: None,
                headers: None,
                poll_id: Some(self.poll.id),
                raw_partition: row.partition,
            }
        })
        .collect()
    }
}

/// Says which bound a row is above: ours, or one that the brokers have of their own.
fn too_large_detail(bytes: usize, kafka: &KafkaSettings) -> String {
    let (most, topic, setting) = (max_row_bytes(kafka), &kafka.raw_topic, kafka.raw_max_record_bytes);
    if bytes > most {
        return format!(
            "the row has {bytes} bytes, {most} are the most: kafka.raw_max_record_bytes = {setting}, of which \
             {RECORD_OVERHEAD_BYTES} are for key, headers and framing"
        );
    }
    format!(
        "the row has {bytes} bytes and kafka.raw_max_record_bytes = {setting} lets it pass, but the brokers refused it: \
         raise max.message.bytes of topic {topic} to {setting}"
    )
}
