//! The watchdog: ends the process when a thread that nobody can replace no longer turns.
//!
//! The Arbiter of a stage can be given up and built anew ([`super::Group`] does). Other threads cannot: the
//! one that supervises, the one that polls a consumer (its member id would stay in the group), the one that
//! carries the traffic of the database. Each of them has a [`Beat`] and turns it while it works and while it
//! waits. One that stands still for longer than `supervision.hang_after` ends the process with
//! [`exit_code::HUNG`], so that whoever runs it starts it anew: what was in flight is read again from the
//! durable positions.
//!
//! A beat is counted in looks of the watchdog and not in time: a process that was stopped as a whole and goes
//! on finds that nothing was looked at meanwhile. The watchdog's own thread is watched in turn, by the thread
//! that supervises.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::exit_code;

/// How many looks a thread may pass without a turn; two would do, were it not for a machine that is busy.
const LOOKS: u32 = 8;
/// How long the last words may take: the thread that stands still may hold what is needed to say them.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The sign of life of one thread. Dropping it ends the watch.
#[derive(Debug)]
pub struct Beat {
    name: String,
    turns: AtomicU64,
}

impl Beat {
    /// Says that the thread turns.
    pub fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// A beat as the watchdog saw it last.
struct Watched {
    beat: Weak<Beat>,
    turns: u64,
    /// Looks in a row without a turn.
    still: u32,
}

/// The threads that are watched; every clone watches the same.
#[derive(Clone)]
pub struct Watchdog {
    watched: Arc<Mutex<Vec<Watched>>>,
    own: Arc<Beat>,
    look_every: Duration,
}

impl Watchdog {
    /// Starts the watch over nobody yet: a thread that stands still for `hang_after` ends the process.
    pub fn start(hang_after: Duration) -> Result<Self, std::io::Error> {
        let watchdog = Self {
            watched: Arc::default(),
            own: Arc::new(Beat { name: "watchdog".to_owned(), turns: AtomicU64::new(0) }),
            look_every: hang_after / LOOKS,
        };
        let looking = watchdog.clone();
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(looking.look_every);
                looking.own.turn();
                if let Some(name) = looking.look() {
                    end_process(&name);
                }
            }
        })?;
        Ok(watchdog)
    }

    /// Begins to watch a thread; it has to turn the beat more often than every [`Self::turn_every`].
    pub fn watch(&self, name: impl Into<String>) -> Arc<Beat> {
        let beat = Arc::new(Beat { name: name.into(), turns: AtomicU64::new(0) });
        self.watched.lock().push(Watched { beat: Arc::downgrade(&beat), turns: 0, still: 0 });
        beat
    }

    /// Returns how often a thread that only waits should turn its beat.
    pub fn turn_every(&self) -> Duration {
        self.look_every / 2
    }

    /// Turns a beat from a runtime's thread for as long as the future is polled.
    pub async fn keep_turning(self, beat: Arc<Beat>) {
        loop {
            beat.turn();
            tokio::time::sleep(self.turn_every()).await;
        }
    }

    /// Turns the beat of the thread that supervises, and watches the watchdog from there.
    pub async fn supervise(self) {
        let beat = self.watch("supervisor");
        let mut own = Watched { beat: Arc::downgrade(&self.own), turns: 0, still: 0 };
        let mut until_look = 0;
        loop {
            beat.turn();
            tokio::time::sleep(self.turn_every()).await;
            until_look = (until_look + 1) % 4;
            if until_look == 0 && own.stands_still() {
                end_process(&self.own.name);
            }
        }
    }

    /// Looks at every beat; returns the name of a thread that stands still.
    fn look(&self) -> Option<String> {
        let mut watched = self.watched.lock();
        watched.retain(|watched| watched.beat.strong_count() > 0);
        let mut named = None;
        for watched in watched.iter_mut() {
            if watched.stands_still() {
                named = named.or_else(|| Some(watched.beat.upgrade()?.name.clone()));
            }
        }
        named
    }
}

impl Watched {
    fn stands_still(&mut self) -> bool {
        let Some(beat) = self.beat.upgrade() else { return false };
        let turns = beat.turns.load(Ordering::Relaxed);
        self.still = if turns == self.turns { self.still + 1 } else { 0 };
        self.turns = turns;
        self.still >= LOOKS
    }
}

fn end_process(name: &str) -> ! {
    end_hung(format!("the thread {name} no longer turns and cannot be replaced, the process ends"))
}

/// Ends the process at once with [`exit_code::HUNG`], for a hang that nothing in the process can mend.
pub fn end_hung(why: String) -> ! {
    // The log may be held by the very thread that hangs.
    let said = std::thread::Builder::new().spawn(move || tracing::error!(code = exit_code::HUNG, "{why}"));
    if let Ok(said) = said {
        let began = std::time::Instant::now();
        while !said.is_finished() && began.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    std::process::exit(exit_code::HUNG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watchdog whose looks a test makes itself.
    fn watchdog() -> Watchdog {
        Watchdog {
            watched: Arc::default(),
            own: Arc::new(Beat { name: "watchdog".to_owned(), turns: AtomicU64::new(0) }),
            look_every: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_thread_that_turns_between_the_looks_is_left_alone() {
        let watchdog = watchdog();
        let beat = watchdog.watch("a");
        for _ in 0..100 {
            beat.turn();
            assert_eq!(watchdog.look(), None);
        }
    }

    #[test]
    fn a_thread_that_stands_still_is_named_after_eight_looks() {
        let watchdog = watchdog();
        let (turning, _still) = (watchdog.watch("turning"), watchdog.watch("still"));
        for look in 1..LOOKS {
            turning.turn();
            assert_eq!(watchdog.look(), None, "look {look}");
        }
        turning.turn();
        assert_eq!(watchdog.look().as_deref(), Some("still"));
    }

    #[test]
    fn a_late_turn_begins_the_count_anew() {
        let watchdog = watchdog();
        let beat = watchdog.watch("a");
        (0..LOOKS - 1).for_each(|_| assert_eq!(watchdog.look(), None));
        beat.turn();
        (0..LOOKS).for_each(|_| assert_eq!(watchdog.look(), None));
        assert_eq!(watchdog.look().as_deref(), Some("a"));
    }

    #[test]
    fn a_thread_that_ended_is_no_longer_watched() {
        let watchdog = watchdog();
        drop(watchdog.watch("a"));
        (0..2 * LOOKS).for_each(|_| assert_eq!(watchdog.look(), None));
        assert!(watchdog.watched.lock().is_empty());
    }
}
