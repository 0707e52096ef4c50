//! Supervision: every stage is an actor that can be rebuilt.
//!
//! actix's own `Supervisor` restarts only what stops by itself and loses whatever panics. So a stage is
//! started here by hand: [`Stage`] builds the actor from its factory, runs the actor's future as a task of
//! the stage's own Arbiter and keeps the handle, which tells why the actor ended. [`Group`] decides what
//! follows from that ([`RestartPolicy`]), and the [`Root`] turns a group that gave up into the exit code of
//! the process.
//!
//! Life is not enough: a stage may turn and get nothing done. [`Works`] tells what it works at and what that
//! waits for, [`Stalls`] watches the positions of the partitions, and the [`Watchdog`] the threads that
//! nobody can replace.
//!
//! # Who restarts whom, and when it gives up
//!
//! | who | what it answers | with what | gives up after | which is |
//! |---|---|---|---|---|
//! | a reader (`actors::partition_reader`) | a batch or an opening of a partition fails, though nothing is away | the partition is opened anew, after 50 ms, doubled up to 5 s | six failures in a row | a failure of its stage |
//! | [`Stalls`] | a partition does not move for `supervision.stalled_after` | it is opened anew | twice as long | a failure of its stage |
//! | [`Stalls`] | the same, three times as long | nothing more | at once | the end of the process, 71 |
//! | a [`Group`] | its stage returns an error, panics, ends unasked, or its thread or a piece of its work stands still for `supervision.hang_after` | that stage is rebuilt, its neighbours live on, after `supervision.backoff_initial`, doubled up to `supervision.backoff_max`; afresh after a healthy `supervision.window` | more than `supervision.max_restarts` failures of its stages within `supervision.window` | a failure of the group |
//! | the [`Root`] | a group gives up, or its supervisor panics | the group is rebuilt as a whole, with the same delays | more than 2 failures of groups within 4 windows | the end of the process, 71 where the last failure was a hang, else 70 |
//! | the [`Watchdog`] | a thread stands still for `supervision.hang_after` that nobody can replace | nothing | at once | the end of the process, 71 |
//! | the process (`actors::pipeline`) | settings, topics, a database or a name that waiting cannot mend | nothing | at once | the end of the process, 78 |
//! | the process (`actors::pipeline`) | the tables of the database are gone | nothing | at once | the end of the process, 70 |
//!
//! What waits for a dependency does not fail, and nothing here counts it. Which stages are in which group
//! stands in `actors::pipeline`; all exit codes stand in `exit_code`.
//!
//! Neighbours never hold an `Addr`, which dies with its actor, but a [`StageRef`], which survives.

mod board;
mod child;
mod exit;
mod group;
mod patience;
mod policy;
mod root;
mod stage;
mod stalls;
#[cfg(test)]
mod tests;
mod watchdog;
mod work;

pub use self::board::{Board, StageKey, StageState, StageStatus};
pub use self::child::{Child, Drain};
pub use self::exit::{ExitReason, StageError};
pub use self::group::Group;
pub use self::patience::Patience;
pub use self::policy::RestartPolicy;
pub use self::root::Root;
pub use self::stage::{KEPT_IN_ORDER, Life, Stage, StageGone, StageRef, install_panic_hook};
pub use self::stalls::{Place, Remedy, Stalled, Stalls};
pub use self::watchdog::{Beat, Watchdog, end_hung};
pub(crate) use self::work::LOOKS;
pub use self::work::{Named, Wait, Waiting, Work, Works};
