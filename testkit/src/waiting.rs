//! Waiting for conditions, which is the only thing that a test waits for.

use std::time::{Duration, Instant};

/// Waits until `condition` yields something, for a minute at most.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(60), condition)
        .await
        .unwrap_or_else(|| panic!("{what} did not happen within a minute"))
}

/// Waits until `condition` yields something; none where it did not in time.
pub async fn within<T>(limit: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition().await {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
