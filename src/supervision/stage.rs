//! One supervised stage: an actor on an Arbiter of its own, built again from its factory whenever it ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::board::{Board, StageKey, StageState};
use super::child::{Child, Drain};
use super::exit::{ExitReason, StageError, panic_text, remember_panic_location};
use super::work::{Named, Work, Works};
use crate::faults::{self, StageEnd};
use crate::telemetry::labels::Dependency;

/// How many unanswered messages of one sender a mailbox keeps in their order; with more some overtake others.
pub const KEPT_IN_ORDER: usize = 15;

/// How long an answer of a dependency may take before the stage says that it waits.
const SLOW_AFTER: Duration = Duration::from_secs(5);

enum Control {
    Fail(StageError),
    Kill,
}

/// Makes panics of stages tell where they happened.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        remember_panic_location(info);
        tracing::error!(thread = std::thread::current().name(), "{info}");
    }));
}

/// What an actor holds of its own supervision: how to say how it is, and how to give up.
#[derive(Clone)]
pub struct Life {
    key: StageKey,
    generation: u64,
    controls: mpsc::UnboundedSender<Control>,
    board: Board,
    works: Works,
}

impl Life {
    /// Returns which incarnation this is, counted from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Says that the stage does its work.
    pub fn running(&self) {
        self.board.report(self.key, self.generation, StageState::Running, None);
    }

    /// Says that the stage waits for a dependency, or for the name of this process; this is no failure. Said
    /// again as long as it lasts: a wait that is not renewed does not explain for long why nothing moves
    /// ([`Board::waits`]).
    pub fn waiting_for(&self, missing: impl AsRef<str>) {
        self.board.report(self.key, self.generation, StageState::Waiting, Some(missing.as_ref()));
    }

    /// Runs `work`, and says that the stage waits for `dependency` while it takes longer than any healthy
    /// answer does.
    pub async fn waiting_if_slow<T>(&self, dependency: Dependency, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work.named(dependency));
        loop {
            match tokio::time::timeout(SLOW_AFTER, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.waiting_for(dependency),
            }
        }
    }

    /// Does a piece of work: a stage that hangs in one is given up ([`super::work`]).
    pub fn work<T>(&self, what: &'static str, work: impl Future<Output = T>) -> impl Future<Output = T> {
        self.works.work(what, work)
    }

    /// Begins a piece of work that is no future of its own.
    pub fn begin(&self, what: &'static str) -> Work {
        self.works.begin(what)
    }

    /// Returns the board with all stages of the process.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Ends this incarnation as failed; the supervisor builds the next one.
    pub fn fail(&self, error: StageError) {
        // The receiver is gone only when this incarnation has ended already.
        let _ = self.controls.send(Control::Fail(error));
    }
}

/// The stage that was asked has no living incarnation, or died before it answered.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stage {0} is being rebuilt")]
pub struct StageGone(pub StageKey);

/// What neighbours hold of a stage: it outlives every incarnation.
pub struct StageRef<A: Actor> {
    key: StageKey,
    current: watch::Receiver<Option<(u64, Addr<A>)>>,
}

impl<A: Actor> Clone for StageRef<A> {
    fn clone(&self) -> Self {
        Self { key: self.key, current: self.current.clone() }
    }
}

impl<A: Actor<Context = Context<A>>> StageRef<A> {
    /// Hands a message to the living incarnation at once, in the caller's order, and returns its answer to
    /// come.
    ///
    /// The message is in the mailbox when this returns: a sender with at most 15 unanswered messages keeps
    /// its order. The answer comes, or the error that the incarnation is gone: also where it hangs and was
    /// given up.
    pub fn ask<M>(&self, message: M) -> impl Future<Output = Result<M::Result, StageGone>> + use<A, M>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let key = self.key;
        let mut current = self.current.clone();
        let asked = {
            let living = current.borrow_and_update();
            living.as_ref().map(|(generation, address)| (*generation, address.send(message)))
        };
        async move {
            let Some((generation, request)) = asked else { return Err(StageGone(key)) };
            // An incarnation whose thread stands still is given up while its mailbox lives on: nothing would
            // ever answer.
            let given_up =
                current.wait_for(|living| living.as_ref().is_none_or(|(current, _)| *current != generation));
            tokio::select! {
                biased;
                answer = request => answer.map_err(|_| StageGone(key)),
                _ = given_up => Err(StageGone(key)),
            }
        }
    }

    /// Hands over a rare control message; one that finds nobody is dropped, so nothing may depend on it.
    pub fn tell<M>(&self, message: M)
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message<Result = ()> + Send + 'static,
    {
        if let Some((_, address)) = self.current.borrow().as_ref() {
            address.do_send(message);
        }
    }

    /// Waits until there is a living incarnation.
    pub async fn up(&self) {
        let mut current = self.current.clone();
        // An error means that the stage itself is gone: the process ends.
        let _ =
            current.wait_for(|living| living.as_ref().is_some_and(|(_, address)| address.connected())).await;
    }
}

type Factory<A> = Box<dyn Fn(Life) -> A + Send + Sync>;

/// A stage with its factory; the supervisor owns it.
pub struct Stage<A: Actor> {
    key: StageKey,
    board: Board,
    factory: Factory<A>,
    current: watch::Sender<Option<(u64, Addr<A>)>>,
    arbiter: Mutex<Option<Arbiter>>,
    controls: Mutex<Option<mpsc::UnboundedSender<Control>>>,
    generations: AtomicU64,
    /// What the present incarnation works at.
    works: Mutex<Works>,
    /// Whether the Arbiter thread has turned since it was looked at.
    turned: Arc<AtomicBool>,
}

impl<A> Stage<A>
where
    A: Actor<Context = Context<A>> + Handler<Drain>,
{
    /// Declares a stage and returns it with the reference for its neighbours.
    pub fn new(
        key: StageKey,
        board: &Board,
        factory: impl Fn(Life) -> A + Send + Sync + 'static,
    ) -> (Arc<Self>, StageRef<A>) {
        board.register(key);
        let (current, living) = watch::channel(None);
        let stage = Self {
            key,
            board: board.clone(),
            factory: Box::new(factory),
            current,
            arbiter: Mutex::new(None),
            controls: Mutex::new(None),
            generations: AtomicU64::new(0),
            works: Mutex::default(),
            turned: Arc::new(AtomicBool::new(true)),
        };
        (Arc::new(stage), StageRef { key, current: living })
    }

    fn arbiter(&self) -> ArbiterHandle {
        let mut arbiter = self.arbiter.lock();
        let arbiter = arbiter.get_or_insert_with(|| {
            self.turned.store(true, Ordering::Relaxed);
            Arbiter::new()
        });
        arbiter.handle()
    }

    async fn live(self: Arc<Self>, life: Life, mut orders: mpsc::UnboundedReceiver<Control>) -> ExitReason {
        let generation = life.generation;
        let stage = self.clone();
        // The actor's future is run here and its handle kept: `Actor::start` throws the handle away, and with
        // it every panic.
        let task = actix_rt::spawn(async move {
            let context = Context::new();
            let address = context.address();
            let mut actor = std::pin::pin!(context.into_future((stage.factory)(life)));
            let mut armed = faults::arrivals();
            stage.current.send_replace(Some((generation, address)));
            loop {
                let turn = poll_fn(|task| match faults::turn(stage.key.name) {
                    None => actor.as_mut().poll(task).map(|()| ExitReason::Vanished),
                    Some(StageEnd::Killed) => Poll::Ready(ExitReason::Killed),
                    Some(StageEnd::Failed) => {
                        Poll::Ready(ExitReason::Failed(StageError::new("fault injection", "error")))
                    }
                });
                tokio::select! {
                    biased;
                    order = orders.recv() => match order {
                        Some(Control::Fail(error)) => return ExitReason::Failed(error),
                        Some(Control::Kill) | None => return ExitReason::Killed,
                    },
                    reason = turn => return reason,
                    // Only to turn: whoever is idle would not find out about a fault.
                    _ = armed.changed() => {}
                }
            }
        });
        let reason = match task.await {
            Ok(reason) => reason,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => ExitReason::Panicked(panic_text(payload)),
                Err(_) => ExitReason::Killed,
            },
        };
        // A thread that was given up and wakes later must not take its successor off the board.
        self.current.send_if_modified(|living| {
            let own = living.as_ref().is_some_and(|(current, _)| *current == generation);
            if own {
                *living = None;
            }
            own
        });
        reason
    }

    fn order(&self, control: Control) {
        if let Some(controls) = &*self.controls.lock() {
            // The receiver is gone only when the incarnation has ended already.
            let _ = controls.send(control);
        }
    }
}

impl<A> Child for Stage<A>
where
    A: Actor<Context = Context<A>> + Handler<Drain>,
{
    fn key(&self) -> StageKey {
        self.key
    }

    fn board(&self) -> &Board {
        &self.board
    }

    fn start(self: Arc<Self>) -> (u64, oneshot::Receiver<ExitReason>) {
        let (exited, exit) = oneshot::channel();
        let (controls, orders) = mpsc::unbounded_channel();
        *self.controls.lock() = Some(controls.clone());
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        self.board.started(self.key, generation);
        // Of its own: what an earlier one left standing says nothing of this one.
        let works = Works::default();
        *self.works.lock() = works.clone();
        let life = Life { key: self.key, generation, controls, board: self.board.clone(), works };
        let stage = self.clone();
        let living = async move {
            // Nobody listens when the thread had been given up.
            let _ = exited.send(stage.live(life, orders).await);
        };
        if !self.arbiter().spawn(living) {
            // The Arbiter thread itself is gone: forget it, the next start makes another. Dropping the sender
            // tells the supervisor that this incarnation never lived.
            *self.arbiter.lock() = None;
        }
        (generation, exit)
    }

    fn drain(&self) -> LocalBoxFuture<'static, ()> {
        let address = self.current.borrow().as_ref().map(|(_, address)| address.clone());
        self.board.report(self.key, self.generations.load(Ordering::Relaxed), StageState::Draining, None);
        async move {
            if let Some(address) = address {
                // An actor that dies while it drains has nothing left to finish.
                let _ = address.send(Drain).await;
            }
        }
        .boxed_local()
    }

    fn kill(&self) {
        self.order(Control::Kill);
    }

    fn has_turned(&self) -> bool {
        let has_turned = self.turned.swap(false, Ordering::Relaxed);
        let turned = self.turned.clone();
        let beat = async move { turned.store(true, Ordering::Relaxed) };
        match &*self.arbiter.lock() {
            Some(arbiter) if arbiter.spawn(beat) => has_turned,
            _ => true,
        }
    }

    fn stands_still(&self) -> Option<String> {
        self.works.lock().look()
    }

    fn abandon(&self) {
        // A thread cannot be killed. When it wakes, the incarnation finds the order to end before anything
        // else. What it did until then is fenced by epochs, transactional ids and tokens of leases; but work
        // that goes on beside its successor would take each of these back from it, for ever.
        self.order(Control::Kill);
        *self.arbiter.lock() = None;
        *self.controls.lock() = None;
        self.current.send_replace(None);
    }
}
