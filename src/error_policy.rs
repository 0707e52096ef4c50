//! What follows from an error of a dependency: the words that every kind of error is answered in.
//!
//! An error is classified where it is born, and one exhaustive function per kind of error
//! (`StoreErrorKind::policy`, `KafkaError::policy`, `SocrataError::policy`) gives its policy. Whoever meets
//! the error follows the directive and does not look at the error again. What nobody knows is not repeated
//! without end: it [fails].
//!
//! [fails]: Directive::Fail

/// What the pipeline does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// Wait for the dependency by its name, as long as it takes: somebody brings it back.
    Wait,
    /// Throw the client away, and do again with another one what it had in flight.
    RebuildClient,
    /// Let go what is in flight for the partition, and open it anew from its durable position.
    OpenAnew,
    /// Find the record that is to blame, and make a dead letter of it.
    DeadLetter,
    /// Repeat a bounded number of times where that is harmless, then fail the poll or the stage with what was
    /// said.
    Fail,
    /// End the process with 78: a setting or what it names has to be changed, and waiting does not do that.
    EndProcess,
}

/// How a command ends that meets the error; `cli::exit` has the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEnd {
    /// The dependency cannot be reached.
    Unreachable,
    /// The settings are wrong, or what they name is not set up.
    Settings,
    /// The answer is no.
    No,
}

/// The answer to one kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorPolicy {
    pub directive: Directive,
    pub command_end: CommandEnd,
    /// What an operator does about it; none where the error's own text says so, or nobody can know.
    pub remedy: Option<&'static str>,
}
