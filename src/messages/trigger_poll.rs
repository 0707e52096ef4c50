//! Control to poller: there may be something to do.

use actix::Message;

/// A poll was submitted or cancelled. Only a hint: the poller looks at the polls in PostgreSQL by itself too.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct TriggerPoll;
