//! The queue of reconciliations: takes the next one that is due and runs it, one at a time across all
//! processes. It is worked at beside the queue of polls, which it feeds and waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::environment::Environment;
use super::poll_run::RunEnd;
use super::reconciliation_run::ReconciliationRun;
use crate::retry::DEPENDENCY_AWAY;
use crate::socrata::SocrataClient;
use crate::supervision::{Life, Named, StageError, Wait};

/// How often the queue in PostgreSQL is looked at without being woken.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The loop over the queue; it is a part of the poller.
pub struct Reconciler {
    pub life: Life,
    pub environment: Arc<Environment>,
    pub source: SocrataClient,
    pub woken: Arc<Notify>,
    /// Wakes the queue of polls.
    pub polls: Arc<Notify>,
    pub stop: watch::Receiver<bool>,
}

impl Reconciler {
    /// Works until the process is told to stop. While something is away it waits; the queue of polls says for
    /// what.
    pub async fn work(self, idle: watch::Sender<bool>) {
        let mut delays = DEPENDENCY_AWAY.delays();
        loop {
            self.environment.ready().named(Wait::Environment).await;
            if *self.stop.borrow() {
                return;
            }
            let settings = &self.environment.settings;
            let store = &self.environment.store;
            let leased = store.acquire_reconciliation(&settings.instance.id, settings.poll.lease);
            match leased.named(Wait::Database).await {
                Ok(Some(leased)) => {
                    idle.send_replace(false);
                    let run = ReconciliationRun {
                        environment: &self.environment,
                        source: &self.source,
                        life: &self.life,
                        leased,
                        polls: &self.polls,
                        stop: self.stop.clone(),
                    };
                    let end = run.run().await;
                    idle.send_replace(true);
                    match end {
                        RunEnd::Ended => delays.reset(),
                        RunEnd::Stopped => return,
                        RunEnd::Broken(detail) => {
                            let doing = "recording what became of a reconciliation";
                            return self.life.fail(StageError::new(doing, detail));
                        }
                        RunEnd::Interrupted(detail) => {
                            let wait = delays.next_delay();
                            let retry_in_ms = wait.as_millis();
                            tracing::warn!(detail, retry_in_ms, "reconciliation is taken up again");
                            tokio::time::sleep(wait).named(Wait::Pause).await;
                        }
                    }
                }
                Ok(None) => {
                    let mut stop = self.stop.clone();
                    let woken = async {
                        tokio::select! {
                            () = self.woken.notified() => {}
                            () = tokio::time::sleep(LOOK_EVERY) => {}
                            _ = stop.changed() => {}
                        }
                    };
                    woken.named(Wait::Idle).await;
                }
                Err(error) if error.may_pass() => {
                    tracing::debug!(%error, "the queue of reconciliations cannot be read");
                    delays.pause().named(Wait::Database).await;
                }
                Err(error) => {
                    let doing = "reading the queue of reconciliations";
                    return self.life.fail(StageError::new(doing, error));
                }
            }
        }
    }
}
