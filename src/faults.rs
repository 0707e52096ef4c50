//! Points around durable effects, where the program breaks when a test tells it to.
//!
//! Points are compiled into every build, so that what is tested is what runs. While nothing is armed, a visit
//! costs one relaxed load. What is armed comes from the settings at start (`faults.at_start`), and never
//! without `faults.enabled`.
//!
//! | kind | what happens at the point |
//! |---|---|
//! | `abort` | the process ends at once: nothing is flushed, committed or given back, as after SIGKILL |
//! | `panic` | the thread, or the task, panics |
//! | `error` | the function around the point fails as if its dependency had gone away |
//! | `hang` | the thread stands still for ever |
//! | `delay:500ms` | the thread stands still for that long |
//!
//! An `error` before an effect is a refused effect; one after it is an effect that nobody heard of.

mod plan;
mod point;

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use self::plan::Plan;
pub use self::plan::{FORM, Fault, FaultError, FaultKind, parse};
pub use self::point::{POINTS, Point};

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
#[error("injected fault at {0}")]
pub struct Injected(pub Point);

/// Whether anything is armed: all that a visit looks at until then.
static ANY_ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: Mutex<Plan> = Mutex::new(Plan::new());

/// Arms faults, in addition to what is armed already. Visits are counted from now on.
pub fn arm(faults: impl IntoIterator<Item = Fault>) {
    let mut plan = PLAN.lock();
    for fault in faults {
        tracing::warn!(%fault, "fault point armed");
        plan.arm(fault);
    }
    ANY_ARMED.store(!plan.is_empty(), Ordering::Relaxed);
}

/// Does what is armed for this visit of a point.
///
/// # Errors
/// [`Injected`] where that is an error.
#[inline]
pub fn visit(point: Point) -> Result<(), Injected> {
    if ANY_ARMED.load(Ordering::Relaxed) { strike(point) } else { Ok(()) }
}

#[cold]
#[expect(clippy::panic, reason = "an armed panic is what was asked for")]
fn strike(point: Point) -> Result<(), Injected> {
    let due = {
        let mut plan = PLAN.lock();
        let due = plan.due(point);
        ANY_ARMED.store(!plan.is_empty(), Ordering::Relaxed);
        due
    };
    let Some(kind) = due else { return Ok(()) };
    tracing::warn!(%point, %kind, "fault point reached");
    match kind {
        FaultKind::Abort => std::process::abort(),
        FaultKind::Panic => panic!("injected panic at {point}"),
        FaultKind::Error => Err(Injected(point)),
        FaultKind::Hang => loop {
            std::thread::park();
        },
        FaultKind::Delay(delay) => {
            std::thread::sleep(delay);
            Ok(())
        }
    }
}
