//! A group of stages under one restart policy: one_for_one, because every stage re-establishes itself from
//! durable positions and no neighbour has to be restarted with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::board::{StageKey, StageState};
use super::child::Child;
use super::exit::ExitReason;
use super::policy::{Intensity, RestartDelay, RestartPolicy};
use super::work::LOOKS;
use crate::telemetry::events;

/// What a group is told to do with itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupOrder {
    Run,
    /// Stop from the source to the sink, until the deadline gracefully.
    Drain(Instant),
}

/// Why a group's supervision ended.
#[derive(Debug)]
pub enum GroupEnd {
    Drained,
    /// Too many failures in the window; the last one is named.
    GaveUp {
        stage: StageKey,
        reason: ExitReason,
    },
}

/// Stages that are started together, sinks first, and restarted one by one.
pub struct Group {
    pub name: &'static str,
    pub children: Vec<Arc<dyn Child>>,
    pub policy: RestartPolicy,
}

struct Place {
    child: Arc<dyn Child>,
    delay: RestartDelay,
    /// The incarnation that lives; none between two.
    living: Option<u64>,
    /// Looks in a row at a thread that had not turned since the last one. Looks are counted and not time, as
    /// the [`super::Watchdog`] does: a process that was stopped as a whole, once or again and again, finds
    /// that nothing was looked at meanwhile.
    still: u32,
}

type Exits = FuturesUnordered<LocalBoxFuture<'static, (usize, u64, ExitReason)>>;
type Restarts = FuturesUnordered<LocalBoxFuture<'static, usize>>;

/// The state of one run of a group's supervision.
struct Running<'a> {
    group: &'a Group,
    places: Vec<Place>,
    exits: Exits,
    restarts: Restarts,
    intensity: Intensity,
}

impl Group {
    /// Supervises the group until it is drained or gives up.
    pub async fn run(&self, mut orders: watch::Receiver<GroupOrder>) -> GroupEnd {
        let now = Instant::now();
        let places = self.children.iter().map(|child| Place {
            child: child.clone(),
            delay: RestartDelay::new(&self.policy, now),
            living: None,
            still: 0,
        });
        let mut running = Running {
            group: self,
            places: places.collect(),
            exits: FuturesUnordered::new(),
            restarts: FuturesUnordered::new(),
            intensity: Intensity::default(),
        };
        for index in 0..running.places.len() {
            // Ends what a supervisor that panicked may have left behind.
            running.places[index].child.kill();
            running.start(index);
        }
        let mut beat = tokio::time::interval((self.policy.hang_after / LOOKS).max(Duration::from_millis(10)));
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let GroupOrder::Drain(deadline) = *orders.borrow_and_update() {
                running.drain(deadline).await;
                return GroupEnd::Drained;
            }
            let failed = tokio::select! {
                changed = orders.changed() => {
                    if changed.is_err() {
                        running.stop_all().await;
                        return GroupEnd::Drained;
                    }
                    None
                }
                Some((index, generation, reason)) = running.exits.next() => running.exited(index, generation, reason),
                Some(index) = running.restarts.next() => { running.start(index); None }
                _ = beat.tick() => running.find_hung(),
            };
            if let Some((stage, reason)) = failed {
                running.stop_all().await;
                return GroupEnd::GaveUp { stage, reason };
            }
        }
    }
}

impl Running<'_> {
    fn start(&mut self, index: usize) {
        let place = &mut self.places[index];
        let (generation, exit) = place.child.clone().start();
        place.living = Some(generation);
        place.still = 0;
        place.delay.started(Instant::now());
        let exit = exit.map(move |reason| (index, generation, reason.unwrap_or(ExitReason::Vanished)));
        self.exits.push(exit.boxed_local());
    }

    /// Answers an exit; returns the failure when it was one too many.
    fn exited(
        &mut self,
        index: usize,
        generation: u64,
        reason: ExitReason,
    ) -> Option<(StageKey, ExitReason)> {
        if self.places[index].living != Some(generation) {
            return None; // an incarnation that was given up has woken
        }
        let now = Instant::now();
        let place = &mut self.places[index];
        let key = place.child.key();
        place.living = None;
        events::stage_failed(key.name, reason.restart_reason());
        if self.intensity.exceeded(now, &self.group.policy) {
            place.child.board().ended(key, StageState::Failed, Some(reason.to_string()));
            return Some((key, reason));
        }
        let wait = place.delay.after_failure(now);
        place.child.board().ended(key, StageState::Restarting, Some(reason.to_string()));
        tracing::warn!(stage = %key, generation, reason = %reason, restart_in_ms = wait.as_millis(), "stage failed");
        self.restarts.push(tokio::time::sleep(wait).map(move |()| index).boxed_local());
        None
    }

    /// Gives up threads that stand still, and stages whose work does.
    fn find_hung(&mut self) -> Option<(StageKey, ExitReason)> {
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            let Some(generation) = place.living else { continue };
            place.still = if place.child.has_turned() { 0 } else { place.still + 1 };
            // The thread may have stood still since just after the look before the first of them.
            let hung = if place.still > LOOKS {
                place.child.abandon();
                ExitReason::Hung
            } else if let Some(what) = place.child.stands_still() {
                // Its thread turns and takes the order at once.
                place.child.kill();
                ExitReason::StoodStill(what)
            } else {
                continue;
            };
            let failed = self.exited(index, generation, hung);
            if failed.is_some() {
                return failed;
            }
        }
        None
    }

    /// Stops the stages from source to sink, each after it has finished what it holds.
    async fn drain(&mut self, deadline: Instant) {
        for index in (0..self.places.len()).rev() {
            if self.places[index].living.is_some() {
                let child = self.places[index].child.clone();
                if tokio::time::timeout_at(deadline.into(), child.drain()).await.is_err() {
                    tracing::warn!(stage = %child.key(), "drain took too long, ending the stage");
                }
                self.end(index).await;
            }
            let child = &self.places[index].child;
            child.board().ended(child.key(), StageState::Stopped, None);
        }
    }

    async fn stop_all(&mut self) {
        for index in (0..self.places.len()).rev() {
            if self.places[index].living.is_some() {
                self.end(index).await;
                let child = &self.places[index].child;
                child.board().ended(child.key(), StageState::Restarting, None);
            }
        }
    }

    /// Ends an incarnation and waits for its exit, so that the next one never overlaps it.
    async fn end(&mut self, index: usize) {
        let Some(own) = self.places[index].living.take() else { return };
        self.places[index].child.kill();
        let gone = async {
            while let Some((other, generation, _)) = self.exits.next().await {
                if other == index && generation == own {
                    break;
                }
                let living = &mut self.places[other].living;
                *living = living.filter(|current| *current != generation);
            }
        };
        // A thread that hangs is left behind; see `Child::abandon`.
        if tokio::time::timeout(Duration::from_secs(2), gone).await.is_err() {
            self.places[index].child.abandon();
        }
    }
}
