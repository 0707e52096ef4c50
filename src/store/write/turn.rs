//! The order of the batches of one process: one is written after the other, whatever is done beside.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Says by its end that a batch is written, or never will be.
#[derive(Debug)]
pub struct Ended {
    _held: oneshot::Sender<()>,
}

/// The turn of a batch: comes when the batch before it has ended.
#[derive(Debug)]
pub struct Turn {
    /// None once it has come.
    before: Option<oneshot::Receiver<()>>,
    waited: Duration,
}

impl Turn {
    /// The turn of a batch that has none before it.
    pub fn now() -> Self {
        Self { before: None, waited: Duration::ZERO }
    }

    /// The turn of a batch behind another one, and what that one drops at its end.
    pub fn after() -> (Ended, Self) {
        let (ended, before) = oneshot::channel();
        (Ended { _held: ended }, Self { before: Some(before), waited: Duration::ZERO })
    }

    /// How long it was waited for.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Waits for it so long; tells whether it has come.
    pub(super) async fn comes_within(&mut self, patience: Duration) -> bool {
        let Some(before) = &mut self.before else { return true };
        let began = Instant::now();
        // Nothing is ever sent: the end is that of the sender.
        let came = tokio::time::timeout(patience, before).await.is_ok();
        self.waited += began.elapsed();
        if came {
            self.before = None;
        }
        came
    }
}
