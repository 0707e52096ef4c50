//! The slot of a consumer: who has it, and how the next one gets it.
//!
//! A predecessor is waited for, and never left behind: under a stable name it would fence its successor, or
//! be fenced by it, at a moment that nobody chose. Its end may need the brokers (a commit under way is waited
//! for), so their absence does not count against it: that is waited for by its own name, and a thread that
//! cannot be stopped is one that does not end though they are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::kafka::group_member::SESSION_TIMEOUT;
use crate::supervision::{Beat, Patience, Watchdog, end_hung};

/// The slot of a consumer: one incarnation at a time, because two members of one name would fence each other.
pub struct ThreadSlot {
    watchdog: Watchdog,
    /// Whether the brokers are away now.
    brokers_are_away: Arc<dyn Fn() -> bool + Send + Sync>,
    taken: Mutex<Option<Taken>>,
    /// The next one is to be a new member of its group, and not to inherit what the group knows of its name.
    renewed: AtomicBool,
}

struct Taken {
    thread: std::thread::JoinHandle<()>,
    /// Tells the thread to leave, also where the actor that it works for hangs and never lets go.
    superseded: Arc<AtomicBool>,
    leaves_within: Duration,
}

impl ThreadSlot {
    /// Makes a slot whose threads the watchdog watches.
    pub fn new(watchdog: Watchdog, brokers_are_away: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            watchdog,
            brokers_are_away: Arc::new(brokers_are_away),
            taken: Mutex::new(None),
            renewed: AtomicBool::new(false),
        }
    }

    /// Lets the session of the present member end before the next one begins. A member with a stable name
    /// that returns within its session gets what it had, also where that was nothing.
    pub fn renew(&self) {
        self.renewed.store(true, Ordering::Relaxed);
    }

    /// Starts a thread that runs as soon as the one before it has left. It will itself leave within
    /// `leaves_within` of presence of the brokers, or the process is ended over it.
    pub(super) fn take(
        &self,
        name: String,
        leaves_within: Duration,
        run: impl FnOnce(Holding) + Send + 'static,
    ) -> Result<(), std::io::Error> {
        let superseded = Arc::new(AtomicBool::new(false));
        let holding = Holding { beat: self.watchdog.watch(name.as_str()), superseded: superseded.clone() };
        let renewed = self.renewed.swap(false, Ordering::Relaxed);
        let brokers_are_away = self.brokers_are_away.clone();
        let mut taken = self.taken.lock();
        let predecessor = taken.take();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Some(predecessor) = predecessor {
                predecessor.leave(&holding.beat, &*brokers_are_away);
            }
            if renewed {
                rest(SESSION_TIMEOUT + SESSION_MARGIN, &holding.beat);
            }
            run(holding);
        })?;
        *taken = Some(Taken { thread, superseded, leaves_within });
        Ok(())
    }
}

/// What the thread in the slot has of it.
pub(super) struct Holding {
    pub(super) beat: Arc<Beat>,
    /// A successor waits.
    pub(super) superseded: Arc<AtomicBool>,
}

/// How much later than a session's end the brokers may notice it.
const SESSION_MARGIN: Duration = Duration::from_secs(1);

/// Sleeps with signs of life.
fn rest(time: Duration, beat: &Beat) {
    let began = Instant::now();
    while began.elapsed() < time {
        beat.turn();
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Taken {
    /// Has the thread leave, and waits for it.
    fn leave(self, beat: &Beat, brokers_are_away: &dyn Fn() -> bool) {
        self.superseded.store(true, Ordering::Relaxed);
        let mut patience = Patience::new(self.leaves_within, Instant::now());
        while !self.thread.is_finished() {
            if patience.is_over(brokers_are_away(), Instant::now()) {
                let limit = self.leaves_within;
                end_hung(format!(
                    "a consumer thread did not leave its group within {limit:?}, though the brokers are there"
                ));
            }
            beat.turn();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
