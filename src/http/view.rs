//! What the endpoint sees of the pipeline, through a trait, so that it depends on neither actors nor Kafka.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use crate::documents::{PartitionStatus, ReadinessDocument, StalledDocument};
use crate::faults;
use crate::supervision::{StageState, StageStatus, Stalled};

/// The pipeline as seen from outside.
pub trait PipelineView: Send + Sync + 'static {
    /// Returns every stage of this process, in the order in which data passes them.
    fn stages(&self) -> Vec<StageStatus>;

    /// Returns the dependencies that are away: `database`, `kafka`.
    fn missing(&self) -> Vec<String>;

    /// Returns why they are away, in words, as the last look found it.
    fn reasons(&self) -> BTreeMap<String, String>;

    /// Returns the partitions that make no progress though nothing that they wait for is away.
    fn stalled(&self) -> Vec<Stalled>;

    /// Returns how far each partition is read. May ask the brokers; the endpoint bounds the wait.
    fn partitions(&self) -> BoxFuture<'_, Vec<PartitionStatus>>;

    /// Tells the poller that a poll was submitted or cancelled.
    fn wake_poller(&self);
}

/// Asks the pipeline whether it does its work, and if not, what is in the way. A stage that waits names what
/// it waits for.
pub fn readiness(view: &dyn PipelineView) -> ReadinessDocument {
    let mut missing = view.missing();
    let mut stages: BTreeMap<String, StageState> = BTreeMap::new();
    for stage in view.stages() {
        if stage.state == StageState::Running {
            continue;
        }
        missing.extend(stage.waiting_for);
        let worst = stages.entry(stage.name.to_owned()).or_insert(stage.state);
        if severity(stage.state) > severity(*worst) {
            *worst = stage.state;
        }
    }
    missing.sort();
    missing.dedup();
    let stalled: Vec<_> = view.stalled().into_iter().map(StalledDocument::from).collect();
    let ready = missing.is_empty() && stages.is_empty() && stalled.is_empty();
    let faults_armed = faults::armed().iter().map(|armed| armed.fault.to_string()).collect();
    ReadinessDocument { ready, missing, reasons: view.reasons(), stages, stalled, faults_armed }
}

fn severity(state: StageState) -> u8 {
    match state {
        StageState::Running => 0,
        StageState::Starting => 1,
        StageState::Waiting => 2,
        StageState::Restarting => 3,
        StageState::Draining => 4,
        StageState::Stopped => 5,
        StageState::Failed => 6,
    }
}
