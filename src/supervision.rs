//! Supervision: every stage is an actor that can be rebuilt.
//!
//! actix's own `Supervisor` restarts only what stops by itself and loses whatever panics. So a stage is started
//! here by hand: [`Stage`] builds the actor from its factory, runs the actor's future as a task of the stage's own
//! Arbiter and keeps the handle, which tells why the actor ended. [`Group`] decides what follows from that
//! ([`RestartPolicy`]), and the [`Root`] turns a group that gave up into the exit code of the process.
//!
//! Life is not enough: a stage may turn and get nothing done. [`Stalls`] watches the positions of the partitions, and
//! the [`Watchdog`] the threads that nobody can replace.
//!
//! Neighbours never hold an `Addr`, which dies with its actor, but a [`StageRef`], which survives.

mod board;
mod child;
mod exit;
mod group;
mod policy;
mod root;
mod stage;
mod stalls;
#[cfg(test)]
mod tests;
mod watchdog;

pub use board::{Board, StageKey, StageState, StageStatus};
pub use child::{Child, Drain, Fault};
pub use exit::{ExitReason, StageError};
pub use group::Group;
pub use policy::RestartPolicy;
pub use root::{EXIT_GAVE_UP, EXIT_HUNG, Root};
pub use stage::{Life, Stage, StageGone, StageRef, install_panic_hook};
pub use stalls::{Remedy, Stalled, Stalls};
pub use watchdog::{Beat, Watchdog, end_hung};
