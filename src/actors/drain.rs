//! The end of a process: what is in flight is finished, unless it needs what is away.

use std::time::Duration;

use super::environment::Environment;
use crate::messages::BatchError;
use crate::supervision::Life;
use crate::telemetry::labels::Dependency;

/// How often a drain looks whether what it needs is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until the process has been told to stop while `dependency` is away, or holds a stage up: what needs
/// it cannot be finished in the time that is left, and is given up at once. It is done again from the durable
/// position at the next start.
pub async fn past_saving(life: &Life, environment: &Environment, dependency: Dependency) -> BatchError {
    life.board().told_to_stop().await;
    loop {
        if environment.missing().iter().any(|missing| missing == dependency.as_str())
            || life.board().waits_for(dependency.as_str())
        {
            return BatchError::unavailable(dependency, "the process was told to stop");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
