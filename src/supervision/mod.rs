//! Supervision: every stage is an actor that can be rebuilt.
//!
//! actix's own `Supervisor` restarts only what stops by itself and loses whatever panics. So a stage is started
//! here by hand: [`Stage`] builds the actor from its factory, runs the actor's future as a task of the stage's own
//! Arbiter and keeps the handle, which tells why the actor ended. [`Group`] decides what follows from that
//! ([`RestartPolicy`]), and the [`Root`] turns a group that gave up into the exit code of the process.
//!
//! Neighbours never hold an `Addr`, which dies with its actor, but a [`StageRef`], which survives.

mod board;
mod exit;
mod group;
mod policy;
mod root;
mod stage;
#[cfg(test)]
mod tests;

pub use board::{Board, StageKey, StageState, StageStatus};
pub use exit::{ExitReason, StageError};
pub use group::{Child, Group};
pub use policy::RestartPolicy;
pub use root::{EXIT_GAVE_UP, EXIT_HUNG, Root};
pub use stage::{Drain, Fault, Life, Stage, StageGone, StageRef, install_panic_hook};
