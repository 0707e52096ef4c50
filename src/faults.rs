//! Where the program breaks when somebody tells it to: a test, or an operator on a game day.
//!
//! Points are compiled into every build, so that what is tested is what runs. While nothing is armed, a visit
//! costs one relaxed load. What is armed comes from the settings at start (`faults.at_start`) or from the
//! API, and never without `faults.enabled`.
//!
//! | kind | at a point | in a stage, at its next turn |
//! |---|---|---|
//! | `abort` | the process ends at once: nothing is flushed, committed or given back, as after SIGKILL | the same |
//! | `panic` | the thread, or the task, panics | the same |
//! | `error` | the function around the point fails as a call to its dependency does, in a way that may be named | the stage fails |
//! | `delay` | the thread stands still for that long | the same |
//! | `hang` | the thread stands still until the fault ends | the same |
//! | `kill` | - | the stage ends as if it was ended from outside |
//! | `corrupt` | - | of the enricher: the next raw records are cut in half on their way into it |
//!
//! An `error` before an effect is a refused effect; one after it is an effect that nobody heard of.
//!
//! Every fault ends by itself, when it has struck as often as it was to or when its time is over. A thread of
//! its own sees to the second; it lives as long as something is armed.

mod failure;
mod fault;
mod plan;
mod point;
mod written;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;

pub use self::failure::{Calls, Failure};
pub use self::fault::{
    Chance, EXPIRES_IN, Fault, FaultKind, FaultRequest, Harm, LARGEST_NUMBER, LONGEST, Refusal, Target,
};
use self::plan::Plan;
pub use self::plan::{ArmedFault, FaultState, MOST_ARMED};
pub use self::point::{POINTS, Point};
pub use self::written::{FORM, FaultError, parse};
use crate::stage_name::StageName;

/// Marks a point of the list [`POINTS`]; a name that it does not have does not compile. The function around
/// it returns an error that converts from [`Injected`].
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {{
        const POINT: $crate::faults::Point = $crate::faults::Point::named($name);
        $crate::faults::visit(POINT)?;
    }};
}

/// The error that a function returns where a point was told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("injected fault at {point}: {failure}")]
pub struct Injected {
    pub point: Point,
    pub failure: Failure,
}

/// How a stage ends that was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageEnd {
    Failed,
    Killed,
}

/// What happens to a fault, for whoever counts and tells it.
#[derive(Debug, Clone, Copy)]
pub enum Happening {
    Armed,
    /// It has struck so often at once.
    Hit(u64),
    Ended,
}

/// Whoever hears what happens to a fault, with the number of those that are armed now.
pub type Listener = fn(&ArmedFault, Happening, usize);

/// Whether anything is armed: all that a visit looks at until then.
static ANY_ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: Mutex<Plan> = Mutex::new(Plan::new());
/// A fault was armed or has ended.
static CHANGED: Condvar = Condvar::new();
/// The same for the stages, which turn for it.
static ARMED: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::Sender::new(()));
static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Says who hears of the faults; only the first one does.
pub fn listen(listener: Listener) {
    // A second listener would be told the same: there is one in a process.
    let _ = LISTENER.set(listener);
}

/// As many faults are armed as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_ARMED} faults are armed already; clear some")]
pub struct TooManyArmed;

/// Arms a fault, in addition to what is armed already. Visits are counted from now on.
///
/// # Errors
/// [`TooManyArmed`].
pub fn arm(fault: Fault) -> Result<ArmedFault, TooManyArmed> {
    let mut plan = PLAN.lock();
    let armed = plan.arm(fault, Instant::now()).ok_or(TooManyArmed)?;
    let watches = !std::mem::replace(&mut plan.is_watched, true);
    let count = publish(&plan);
    drop(plan);
    tell(&armed, Happening::Armed, count);
    if watches && std::thread::Builder::new().name("faults".to_owned()).spawn(end_in_time).is_err() {
        // A fault whose time is over strikes no more all the same; it only ends when somebody looks.
        PLAN.lock().is_watched = false;
    }
    CHANGED.notify_all();
    ARMED.send_replace(());
    Ok(armed)
}

/// Returns what is armed.
pub fn armed() -> Vec<ArmedFault> {
    PLAN.lock().armed()
}

/// Returns what was armed, the last one that ended first.
pub fn ended() -> Vec<ArmedFault> {
    PLAN.lock().ended()
}

/// Finds a fault that is armed, or has ended not long ago.
pub fn find(id: u64) -> Option<ArmedFault> {
    PLAN.lock().find(id)
}

/// Ends one fault, or all, and lets those threads go on that it holds; returns how many have ended.
pub fn clear(id: Option<u64>) -> usize {
    let mut plan = PLAN.lock();
    let ended = plan.clear(id);
    conclude(plan, &ended);
    ended.len()
}

/// Does what is armed for this visit of a point.
///
/// # Errors
/// [`Injected`] where that is an error.
#[inline]
pub fn visit(point: Point) -> Result<(), Injected> {
    if ANY_ARMED.load(Ordering::Relaxed) { visit_armed(point) } else { Ok(()) }
}

#[cold]
fn visit_armed(point: Point) -> Result<(), Injected> {
    match strike(Target::Point(point)) {
        Some(FaultKind::Error(failure)) => Err(Injected { point, failure }),
        _ => Ok(()),
    }
}

/// Does what is armed for this turn of a stage; returns how the stage is to end, if it is.
#[inline]
pub fn turn(stage: StageName) -> Option<StageEnd> {
    if ANY_ARMED.load(Ordering::Relaxed) { turn_armed(stage) } else { None }
}

#[cold]
fn turn_armed(stage: StageName) -> Option<StageEnd> {
    match strike(Target::Stage(stage))? {
        FaultKind::Error(_) => Some(StageEnd::Failed),
        FaultKind::Kill => Some(StageEnd::Killed),
        _ => None,
    }
}

/// Returns what hears that a fault was armed: a stage that has nothing to do takes a turn for it.
pub fn arrivals() -> watch::Receiver<()> {
    ARMED.subscribe()
}

/// Returns which of so many raw records are to be spoiled on their way into the enricher.
#[inline]
pub fn spoiled(records: usize) -> Vec<usize> {
    if ANY_ARMED.load(Ordering::Relaxed) { spoiled_armed(records) } else { Vec::new() }
}

#[cold]
fn spoiled_armed(records: usize) -> Vec<usize> {
    let mut plan = PLAN.lock();
    let now = Instant::now();
    let (mut chosen, mut hit) = (Vec::new(), Vec::<(ArmedFault, u64)>::new());
    for record in 0..records {
        let Some(fault) = plan.due(Target::RawRecords, now) else { continue };
        chosen.push(record);
        match hit.iter_mut().find(|(known, _)| known.id == fault.id) {
            Some((known, times)) => (*known, *times) = (fault, *times + 1),
            None => hit.push((fault, 1)),
        }
    }
    let ended = plan.settle(now);
    let count = publish(&plan);
    drop(plan);
    hit.iter().for_each(|(fault, times)| tell(fault, Happening::Hit(*times), count));
    tell_ended(&ended, count);
    chosen
}

/// Returns what is left of a raw record that is spoiled: its first half.
pub fn half_of(record: &Bytes) -> Bytes {
    record.slice(..record.len() / 2)
}

/// Does what is armed for this visit, as far as the thread itself can, and returns what that is.
#[expect(clippy::panic, reason = "an armed panic is what was asked for")]
fn strike(target: Target) -> Option<FaultKind> {
    let mut plan = PLAN.lock();
    let now = Instant::now();
    let due = plan.due(target, now);
    let ended = plan.settle(now);
    let count = publish(&plan);
    drop(plan);
    if let Some(fault) = &due {
        tell(fault, Happening::Hit(1), count);
    }
    tell_ended(&ended, count);
    let due = due?;
    match due.fault.kind {
        FaultKind::Abort => std::process::abort(),
        FaultKind::Panic => panic!("injected panic at {}", target.name()),
        FaultKind::Hang => stand_still(due.id),
        FaultKind::Delay(delay) => std::thread::sleep(delay),
        FaultKind::Error(_) | FaultKind::Kill | FaultKind::Corrupt => {}
    }
    Some(due.fault.kind)
}

/// Holds the thread until the fault ends.
fn stand_still(id: u64) {
    let mut plan = PLAN.lock();
    while let Some(end) = plan.end_of(id).filter(|end| *end > Instant::now()) {
        CHANGED.wait_until(&mut plan, end);
    }
}

/// Ends faults when their time is over, as long as any is armed.
fn end_in_time() {
    loop {
        let mut plan = PLAN.lock();
        let Some(end) = plan.next_end() else {
            plan.is_watched = false;
            return;
        };
        CHANGED.wait_until(&mut plan, end);
        let ended = plan.settle(Instant::now());
        conclude(plan, &ended);
    }
}

/// Says that faults have ended, and lets go what they held.
fn conclude(plan: MutexGuard<'_, Plan>, ended: &[ArmedFault]) {
    let count = publish(&plan);
    drop(plan);
    tell_ended(ended, count);
}

/// Says how many are armed now; under the lock, so that the last word is the right one.
fn publish(plan: &Plan) -> usize {
    ANY_ARMED.store(plan.count() > 0, Ordering::Relaxed);
    plan.count()
}

fn tell_ended(ended: &[ArmedFault], armed: usize) {
    if !ended.is_empty() {
        CHANGED.notify_all();
    }
    ended.iter().for_each(|fault| tell(fault, Happening::Ended, armed));
}

fn tell(fault: &ArmedFault, happening: Happening, armed: usize) {
    if let Some(listener) = LISTENER.get() {
        listener(fault, happening, armed);
    }
}
