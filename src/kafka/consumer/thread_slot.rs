//! The slot of a consumer: who has it, and how the next one gets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::kafka::group_member::SESSION_TIMEOUT;
use crate::supervision::{Beat, Watchdog, end_hung};

/// The slot of a consumer: one incarnation at a time, because two members of one name would fence each other.
pub struct ThreadSlot {
    watchdog: Watchdog,
    taken: Mutex<Option<Taken>>,
    /// The next one is to be a new member of its group, and not to inherit what the group knows of its name.
    renewed: AtomicBool,
}

struct Taken {
    thread: std::thread::JoinHandle<()>,
    /// Tells the thread to leave, also where the actor that it works for hangs and never lets go.
    superseded: Arc<AtomicBool>,
}

/// How long a predecessor may take to leave its group before the process is ended over it.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);

impl ThreadSlot {
    /// Makes a slot whose threads the watchdog watches.
    pub fn new(watchdog: Watchdog) -> Self {
        Self { watchdog, taken: Mutex::new(None), renewed: AtomicBool::new(false) }
    }

    /// Lets the session of the present member end before the next one begins. A member with a stable name
    /// that returns within its session gets what it had, also where that was nothing.
    pub fn renew(&self) {
        self.renewed.store(true, Ordering::Relaxed);
    }

    /// Starts a thread that runs as soon as the one before it has left.
    pub(super) fn take(
        &self,
        name: String,
        run: impl FnOnce(Holding) + Send + 'static,
    ) -> Result<(), std::io::Error> {
        let superseded = Arc::new(AtomicBool::new(false));
        let holding = Holding { beat: self.watchdog.watch(name.as_str()), superseded: superseded.clone() };
        let renewed = self.renewed.swap(false, Ordering::Relaxed);
        let mut taken = self.taken.lock();
        let predecessor = taken.take();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Some(predecessor) = predecessor {
                predecessor.leave(&holding.beat);
            }
            if renewed {
                rest(SESSION_TIMEOUT + SESSION_MARGIN, &holding.beat);
            }
            run(holding);
        })?;
        *taken = Some(Taken { thread, superseded });
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
    fn leave(self, beat: &Beat) {
        self.superseded.store(true, Ordering::Relaxed);
        let began = Instant::now();
        while !self.thread.is_finished() {
            if began.elapsed() > LEAVE_WITHIN {
                end_hung(format!("a consumer thread did not leave its group within {LEAVE_WITHIN:?}"));
            }
            beat.turn();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
