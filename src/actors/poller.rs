//! Poller: takes the next poll that is due and runs it, one at a time across all processes.
//!
//! Polls live in PostgreSQL. A lease with a token says which process runs one; a process that restarts under
//! the same instance id takes its own back at once, another one takes over when the lease has passed.
//! `poll_run` has the run. Beside it the poller works at the queue of reconciliations (`reconciler`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::environment::Environment;
use super::poll_run::{PollRun, RunEnd};
use super::raw_publisher::RawPublisher;
use super::reconciler::Reconciler;
use crate::messages::TriggerPoll;
use crate::retry::DEPENDENCY_AWAY;
use crate::socrata::SocrataClient;
use crate::store::StoreError;
use crate::store::polls::{LeasedPoll, NewPoll, PollState, Submitted, Trigger, Window};
use crate::supervision::{Drain, Life, Named, StageError, StageRef, Wait};
use crate::telemetry::events;
use crate::telemetry::labels::{Dependency, StageName, WaitsOn};

/// How often the queue in PostgreSQL is looked at without being woken.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The actor that runs polls and reconciliations.
pub struct Poller {
    life: Life,
    environment: Arc<Environment>,
    publisher: StageRef<RawPublisher>,
    woken: Arc<Notify>,
    /// Wakes the queue of reconciliations.
    reconciliation_woken: Arc<Notify>,
    stop: watch::Sender<bool>,
    /// Whether a poll, and whether a reconciliation, is being run.
    idle: [watch::Sender<bool>; 2],
}

impl Poller {
    pub fn new(life: Life, environment: Arc<Environment>, publisher: StageRef<RawPublisher>) -> Self {
        Self {
            life,
            environment,
            publisher,
            woken: Arc::new(Notify::new()),
            reconciliation_woken: Arc::new(Notify::new()),
            stop: watch::channel(false).0,
            idle: [watch::channel(true).0, watch::channel(true).0],
        }
    }
}

impl Actor for Poller {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let settings = &self.environment.settings.source;
        let observer = Arc::new(|attempt: &crate::socrata::Attempt| {
            events::source_asked(attempt.code, attempt.duration);
        });
        let source = match SocrataClient::new(settings, observer) {
            Ok(source) => source,
            Err(error) => return self.life.fail(StageError::new("creating the source client", error)),
        };
        let queue = Queue {
            life: self.life.clone(),
            environment: self.environment.clone(),
            publisher: self.publisher.clone(),
            source: source.clone(),
            woken: self.woken.clone(),
            stop: self.stop.subscribe(),
        };
        let reconciler = Reconciler {
            life: self.life.clone(),
            environment: self.environment.clone(),
            source,
            woken: self.reconciliation_woken.clone(),
            polls: self.woken.clone(),
            stop: self.stop.subscribe(),
        };
        let [polls_idle, reconciler_idle] = self.idle.clone();
        let life = self.life.clone();
        let work = async move { life.work("the queue of polls", queue.work(polls_idle)).await };
        context.spawn(work.into_actor(self));
        let life = self.life.clone();
        let work =
            async move { life.work("the queue of reconciliations", reconciler.work(reconciler_idle)).await };
        context.spawn(work.into_actor(self));
    }
}

impl Handler<TriggerPoll> for Poller {
    type Result = ();

    fn handle(&mut self, _: TriggerPoll, _: &mut Self::Context) {
        self.woken.notify_one();
        self.reconciliation_woken.notify_one();
    }
}

impl Handler<Drain> for Poller {
    type Result = ResponseFuture<()>;

    /// Ends the run at the next page; the poll stays as it is and goes on after the restart.
    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.stop.send_replace(true);
        let idle = self.idle.each_ref().map(watch::Sender::subscribe);
        Box::pin(async move {
            for mut idle in idle {
                // An error means that the work itself has ended.
                drop(idle.wait_for(|idle| *idle).await);
            }
        })
    }
}

/// The loop over the queue.
struct Queue {
    life: Life,
    environment: Arc<Environment>,
    publisher: StageRef<RawPublisher>,
    source: SocrataClient,
    woken: Arc<Notify>,
    stop: watch::Receiver<bool>,
}

impl Queue {
    async fn work(self, idle: watch::Sender<bool>) {
        let mut delays = DEPENDENCY_AWAY.delays();
        loop {
            let cluster = self.environment.prepared(&self.life).await;
            if *self.stop.borrow() {
                return;
            }
            self.life.running();
            match self.next_poll().named(Wait::Database).await {
                Ok(Some(leased)) => {
                    idle.send_replace(false);
                    let run = PollRun {
                        environment: &self.environment,
                        publisher: &self.publisher,
                        source: &self.source,
                        life: &self.life,
                        cluster,
                        poll: leased.poll,
                        token: leased.token,
                        taken_from_queue: leased.taken_from_queue,
                        stop: self.stop.clone(),
                    };
                    let end = run.run().await;
                    idle.send_replace(true);
                    match end {
                        RunEnd::Ended => delays.reset(),
                        RunEnd::Stopped => return,
                        RunEnd::Broken(detail) => {
                            return self
                                .life
                                .fail(StageError::new("recording what became of a poll", detail));
                        }
                        RunEnd::Interrupted(detail) => {
                            let wait = delays.next_delay();
                            tracing::warn!(detail, retry_in_ms = wait.as_millis(), "poll is taken up again");
                            tokio::time::sleep(wait).named(Wait::Pause).await;
                        }
                    }
                }
                Ok(None) => {
                    let began = Instant::now();
                    let mut stop = self.stop.clone();
                    let woken = async {
                        tokio::select! {
                            () = self.woken.notified() => {}
                            () = tokio::time::sleep(LOOK_EVERY) => {}
                            _ = stop.changed() => {}
                        }
                    };
                    woken.named(Wait::Idle).await;
                    events::waited(StageName::Poller, WaitsOn::Idle, began);
                }
                Err(error) if error.may_pass() => {
                    self.life.waiting_for(Dependency::Database);
                    tracing::debug!(%error, "the queue of polls cannot be read");
                    delays.pause().named(Wait::Database).await;
                }
                Err(error) => return self.life.fail(StageError::new("reading the queue of polls", error)),
            }
        }
    }

    async fn next_poll(&self) -> Result<Option<LeasedPoll>, StoreError> {
        let settings = &self.environment.settings;
        let store = &self.environment.store;
        self.submit_by_interval().await?;
        store.acquire_poll(&settings.instance.id, settings.poll.lease).await
    }

    /// Submits a poll of its own when `poll.interval` has passed since the last one from the durable cursor
    /// on, whoever asked for it. A backfill that runs for days holds none up.
    async fn submit_by_interval(&self) -> Result<(), StoreError> {
        let settings = &self.environment.settings.poll;
        let Some(interval) = settings.interval else { return Ok(()) };
        let store = &self.environment.store;
        let latest = store.latest_incremental_poll().await?;
        let due = latest.is_none_or(|(created_at, has_ended)| {
            let age = Timestamp::now().duration_since(created_at);
            has_ended && Duration::try_from(age).is_ok_and(|age| age >= interval)
        });
        if !due {
            return Ok(());
        }
        let new = NewPoll {
            // One for each interval, whichever process asks first.
            idempotency_key: Some(format!(
                "interval/{}",
                Timestamp::now().as_millisecond()
                    / i64::try_from(interval.as_millis().max(1)).unwrap_or(i64::MAX)
            )),
            trigger: Trigger::Interval,
            request: serde_json::json!({}),
            window: Window::OPEN,
        };
        match store.submit_poll(&new, settings.max_queued).await? {
            Submitted::Created(poll) | Submitted::Resumed(poll) => {
                tracing::info!(poll_id = %poll.id, "poll submitted by interval");
                events::poll_entered(PollState::Queued);
            }
            Submitted::Existing(_) | Submitted::KeyConflict | Submitted::QueueFull => {}
        }
        Ok(())
    }
}
