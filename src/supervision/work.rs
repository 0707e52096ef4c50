//! The work of a stage: each piece of it makes a step within a set time, or waits for something that has a
//! name.
//!
//! A thread that turns says nothing of a future that never ends. So what a stage works at is a [`Work`], and
//! whatever it waits for there has a name ([`Named`]): a dependency, a full neighbour, something to do, a set
//! time. A piece that neither waits under a name nor makes a step ([`Works::look`]) stands still, and its
//! stage is given up.
//!
//! A step is the beginning or the end of a named wait. Parts that run side by side are a piece each, and what
//! they are parts of waits for them: with one piece for both, one that waits would excuse the other.
//!
//! As for threads, looks are counted and not time: a process that was stopped as a whole finds that nothing
//! was looked at meanwhile.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::telemetry::labels::Dependency;
use crate::words::words;

words! {
    /// What a piece of work may wait for.
    Wait {
        Source = "the source",
        Kafka = "kafka",
        Database = "the database",
        /// Whatever keeps the process from working: a dependency, or its own name.
        Environment = "the environment",
        /// A neighbour that is full, or is being rebuilt.
        Neighbour = "a neighbour",
        /// There is nothing to do.
        Idle = "something to do",
        /// A set time.
        Pause = "a set time",
        /// Its own parts, each of which is a piece of work.
        Parts = "its parts",
    }
}

impl From<Dependency> for Wait {
    fn from(dependency: Dependency) -> Self {
        match dependency {
            Dependency::Source => Self::Source,
            Dependency::Kafka => Self::Kafka,
            Dependency::Database => Self::Database,
        }
    }
}

/// How many looks a piece may pass without a step. The one before the first of them may just have missed one.
pub(crate) const LOOKS: u32 = 4;

tokio::task_local! {
    /// The piece whose future is polled.
    static CURRENT: Arc<Piece>;
}

struct Piece {
    what: &'static str,
    waits: AtomicUsize,
    steps: AtomicU64,
    /// What it waited for last.
    last_wait: Mutex<Option<Wait>>,
}

impl Piece {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }
}

/// A piece as it was seen last.
struct Watched {
    piece: Weak<Piece>,
    steps: u64,
    /// Looks in a row at which it neither waited nor had made a step.
    still: u32,
}

/// The pieces of work of one incarnation; every clone has the same.
#[derive(Clone, Default)]
pub struct Works(Arc<Mutex<Vec<Watched>>>);

impl Works {
    /// Begins a piece of work.
    pub fn begin(&self, what: &'static str) -> Work {
        let piece = Arc::new(Piece {
            what,
            waits: AtomicUsize::new(0),
            steps: AtomicU64::new(0),
            last_wait: Mutex::default(),
        });
        let mut watched = self.0.lock();
        watched.retain(|watched| watched.piece.strong_count() > 0);
        watched.push(Watched { piece: Arc::downgrade(&piece), steps: 0, still: 0 });
        Work(piece)
    }

    /// Does a piece of work; it is over when its future is done or dropped.
    pub fn work<T>(&self, what: &'static str, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let works = self.clone();
        // On the heap: what holds it would have room for it twice, and a poll is a large one.
        let work = Box::pin(work);
        async move {
            let Work(piece) = works.begin(what);
            let whole = CURRENT.try_with(Arc::clone).ok();
            let _waits = whole.map(|whole| Waiting::of(whole, Wait::Parts));
            CURRENT.scope(piece, work).await
        }
    }

    /// Looks at every piece; says of one that has stood still for more than [`LOOKS`] what it is.
    pub fn look(&self) -> Option<String> {
        let mut stands_still = None;
        for watched in self.0.lock().iter_mut() {
            let Some(piece) = watched.piece.upgrade() else { continue };
            let steps = piece.steps.load(Ordering::Relaxed);
            let moves = piece.waits.load(Ordering::Relaxed) > 0 || steps != watched.steps;
            watched.still = if moves { 0 } else { watched.still + 1 };
            watched.steps = steps;
            if watched.still > LOOKS {
                stands_still = stands_still.or_else(|| Some(described(&piece)));
            }
        }
        stands_still
    }
}

fn described(piece: &Piece) -> String {
    let what = piece.what;
    match *piece.last_wait.lock() {
        Some(wait) => format!("{what} stands still after it waited for {wait}, and waits for nothing now"),
        None => format!("{what} stands still, and waits for nothing"),
    }
}

/// A piece of work that is no future of its own: an actor holds it. Dropping it ends the piece.
pub struct Work(Arc<Piece>);

impl Work {
    /// The piece waits until what is returned is dropped.
    pub fn waits(&self, wait: Wait) -> Waiting {
        Waiting::of(self.0.clone(), wait)
    }
}

/// A piece of work waits.
pub struct Waiting(Arc<Piece>);

impl Waiting {
    fn of(piece: Arc<Piece>, wait: Wait) -> Self {
        piece.waits.fetch_add(1, Ordering::Relaxed);
        piece.step();
        *piece.last_wait.lock() = Some(wait);
        Self(piece)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.step();
        self.0.waits.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A future that is waited for under a name.
pub trait Named: Future + Sized {
    /// Waits, and says what for, wherever this is part of a piece of work.
    fn named(self, wait: impl Into<Wait>) -> impl Future<Output = Self::Output> {
        let wait = wait.into();
        // On the heap, for the same reason as a piece of work.
        let waited_for = Box::pin(self);
        async move {
            let _waits = CURRENT.try_with(|piece| Waiting::of(piece.clone(), wait)).ok();
            waited_for.await
        }
    }
}

impl<F: Future> Named for F {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Looks until a piece is found to stand still, for so many times at most; returns after how many.
    fn found_after(works: &Works, most: u32) -> Option<u32> {
        (1..=most).find(|_| works.look().is_some())
    }

    #[test]
    fn a_future_that_never_ends_stands_still_and_is_called_by_its_name() {
        let works = Works::default();
        let mut work = Box::pin(works.work("a page", async {
            std::future::ready(()).named(Wait::Database).await;
            std::future::pending::<()>().await;
        }));
        assert!(work.as_mut().now_or_never().is_none());
        // The first look finds the step that was made.
        assert_eq!(found_after(&works, 100), Some(LOOKS + 2));
        let said = works.look().unwrap();
        assert_eq!(said, "a page stands still after it waited for the database, and waits for nothing now");
        drop(work);
        assert_eq!(found_after(&works, 100), None, "what is over is no longer looked at");
    }

    #[test]
    fn whoever_waits_under_a_name_or_makes_steps_does_not_stand_still() {
        let works = Works::default();
        let mut waits = Box::pin(works.work("a", std::future::pending::<()>().named(Dependency::Kafka)));
        assert!(waits.as_mut().now_or_never().is_none());
        let held = works.begin("b");
        for _ in 0..100 {
            assert_eq!(works.look(), None);
            drop(held.waits(Wait::Neighbour));
        }
        assert_eq!(found_after(&works, 100), Some(LOOKS + 2), "b makes no more steps");
    }

    #[test]
    fn of_parts_side_by_side_one_that_waits_does_not_excuse_the_other() {
        let works = Works::default();
        let mut whole = Box::pin(works.work("a whole", async {
            let one = works.work("one", std::future::pending::<()>().named(Wait::Pause));
            let other = works.work("other", std::future::pending::<()>());
            tokio::join!(one, other);
        }));
        assert!(whole.as_mut().now_or_never().is_none());
        assert!(found_after(&works, 100).is_some());
        assert_eq!(works.look().unwrap(), "other stands still, and waits for nothing");
    }
}
