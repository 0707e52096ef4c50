//! The board: what every stage is doing right now, for readiness, `/v1/pipeline` and the metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::telemetry::labels::StageName;
use crate::telemetry::metrics::metrics;
use crate::words::words;

words! {
    /// Where a stage is in its life.
    StageState {
        Starting = "starting",
        /// Alive, and waiting for a dependency that is away.
        Waiting = "waiting",
        Running = "running",
        Restarting = "restarting",
        Draining = "draining",
        Stopped = "stopped",
        Failed = "failed",
    }
}

/// What is known of one stage.
#[derive(Debug, Clone)]
pub struct StageStatus {
    pub name: &'static str,
    pub borough: Option<&'static str>,
    pub state: StageState,
    pub generation: u64,
    pub restarts: u64,
    pub last_error: Option<String>,
    pub since: Timestamp,
    /// What keeps it, where its state is `Waiting`.
    pub waiting_for: Option<String>,
}

/// Names a stage: its kind, and the borough where there is one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    pub order: u8,
    pub name: StageName,
    pub borough: Option<&'static str>,
}

impl std::fmt::Display for StageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.borough {
            Some(borough) => write!(f, "{}/{borough}", self.name),
            None => f.write_str(self.name.as_str()),
        }
    }
}

/// How long it counts that a stage said it waits: longer than any attempt after which it says so again.
const WAIT_COUNTS_FOR: Duration = Duration::from_secs(20);

/// The shared board; every clone shows the same stages.
#[derive(Clone, Default)]
pub struct Board {
    stages: Arc<Mutex<BTreeMap<StageKey, StageStatus>>>,
    /// When each stage last said that it waits; none where it has said otherwise since.
    waited_at: Arc<Mutex<BTreeMap<StageKey, Instant>>>,
    told_to_stop: watch::Sender<bool>,
}

impl Board {
    /// Puts a stage on the board before it first starts.
    pub fn register(&self, key: StageKey) {
        let status = StageStatus {
            name: key.name.as_str(),
            borough: key.borough,
            state: StageState::Starting,
            generation: 0,
            restarts: 0,
            last_error: None,
            since: Timestamp::now(),
            waiting_for: None,
        };
        self.stages.lock().insert(key, status);
    }

    /// Returns every stage, in the order in which data passes them.
    pub fn stages(&self) -> Vec<StageStatus> {
        self.stages.lock().values().cloned().collect()
    }

    /// Returns whether one of these stages waits for a dependency, by its own word of the last moments.
    pub fn waits(&self, names: &[StageName]) -> bool {
        let lately = |at: Instant| at.elapsed() < WAIT_COUNTS_FOR;
        let waited_at = self.waited_at.lock();
        waited_at.iter().any(|(key, at)| names.contains(&key.name) && lately(*at))
    }

    /// Returns whether any stage waits for this dependency.
    pub fn waits_for(&self, dependency: &str) -> bool {
        self.stages.lock().values().any(|stage| stage.waiting_for.as_deref() == Some(dependency))
    }

    /// Says that the process was told to stop.
    pub fn stop(&self) {
        self.told_to_stop.send_replace(true);
    }

    /// Returns whether the process was told to stop.
    pub fn stopping(&self) -> bool {
        *self.told_to_stop.borrow()
    }

    /// Waits until the process is told to stop.
    pub async fn told_to_stop(&self) {
        // The sender lives as long as the board, so this ends with an order only.
        let _ = self.told_to_stop.subscribe().wait_for(|told| *told).await;
    }

    /// Records a new incarnation.
    pub fn started(&self, key: StageKey, generation: u64) {
        self.change(key, |stage| {
            stage.generation = generation;
            stage.state = StageState::Starting;
            stage.waiting_for = None;
        });
    }

    /// Records what the incarnation `generation` says of itself; an older one has no say any more.
    pub fn report(&self, key: StageKey, generation: u64, state: StageState, waiting_for: Option<&str>) {
        self.change(key, |stage| {
            if stage.generation == generation
                && !matches!(stage.state, StageState::Stopped | StageState::Failed)
            {
                stage.state = state;
                stage.waiting_for = waiting_for.map(str::to_owned);
            }
        });
    }

    /// Records the end of an incarnation, and whether it counts as a restart.
    pub fn ended(&self, key: StageKey, state: StageState, error: Option<String>) {
        self.change(key, |stage| {
            stage.state = state;
            stage.waiting_for = None;
            if state == StageState::Restarting {
                stage.restarts += 1;
            }
            if error.is_some() {
                stage.last_error = error;
            }
        });
    }

    fn change(&self, key: StageKey, apply: impl FnOnce(&mut StageStatus)) {
        let mut stages = self.stages.lock();
        let Some(stage) = stages.get_mut(&key) else { return };
        let (state, waiting_for) = (stage.state, stage.waiting_for.clone());
        apply(stage);
        match stage.waiting_for {
            Some(_) => drop(self.waited_at.lock().insert(key, Instant::now())),
            None => drop(self.waited_at.lock().remove(&key)),
        }
        if stage.state != state || stage.waiting_for != waiting_for {
            stage.since = Timestamp::now();
        }
        let mut parts = stages.iter().filter(|(other, _)| other.name == key.name);
        let up = parts.all(|(_, stage)| stage.state == StageState::Running);
        metrics().stage_up.of(key.name).set(i64::from(up));
    }
}
