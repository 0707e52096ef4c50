//! How the connections through a proxy are to behave, told to all of them at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Where a connection is cut once its client has sent a certain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// The server gets so many more bytes behind it.
    Within(usize),
    /// The server has done it and answered; the answer never arrives.
    Answer,
}

/// Whom to cut, and how often.
pub struct Order {
    pub text: &'static str,
    pub cut: Cut,
    pub times: usize,
}

/// How a connection is to behave; the default is to carry everything at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    pub stalled: bool,
    pub refused: bool,
    /// How much longer each message takes, there and back.
    pub delay: Duration,
    /// Bytes in a second, there and back; none is as fast as it goes.
    pub rate: Option<u32>,
    /// How many of a thousand messages are lost: they come late, as after a retransmission, or the
    /// connection breaks.
    pub lost_per_mille: u32,
    /// Connections that were made before this number was raised are cut.
    pub age: u64,
    /// Connections that were made before this number was raised carry nothing any more.
    pub forgotten: u64,
}

/// What a proxy and its connections share.
#[derive(Default)]
pub struct Shared {
    pub manner: watch::Sender<Manner>,
    pub order: Mutex<Option<Order>>,
    pub cuts: AtomicU64,
    pub sent: AtomicU64,
}

impl Shared {
    /// Tells whether what a client sends is to be cut, and where the text ends that says so.
    pub fn ordered(&self, sent: &[u8]) -> Option<(Cut, usize)> {
        let mut order = self.order.lock();
        let current = order.as_mut()?;
        let text = current.text.as_bytes();
        let at = sent.windows(text.len()).position(|window| window == text)?;
        let found = (current.cut, at + text.len());
        current.times -= 1;
        if current.times == 0 {
            *order = None;
        }
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(found)
    }
}
