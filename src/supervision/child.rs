//! What a supervisor and a stage know of each other.

use std::sync::Arc;

use actix::Message;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use super::board::{Board, StageKey};
use super::exit::ExitReason;

/// Asks a stage to finish what it holds and to answer when nothing is in flight any more.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Drain;

/// What a supervisor needs of a stage, whatever its actor.
pub trait Child: Send + Sync {
    fn key(&self) -> StageKey;
    fn board(&self) -> &Board;
    /// Starts an incarnation; the receiver tells how it ended.
    fn start(self: Arc<Self>) -> (u64, oneshot::Receiver<ExitReason>);
    /// Asks the incarnation to finish what it holds.
    fn drain(&self) -> LocalBoxFuture<'static, ()>;
    fn kill(&self);
    /// Returns whether the Arbiter thread has turned since this was asked last, and asks it to turn.
    fn has_turned(&self) -> bool;
    /// Looks at the work of the incarnation, and says which piece of it stands still.
    fn stands_still(&self) -> Option<String>;
    /// Gives the Arbiter thread up.
    fn abandon(&self);
}
