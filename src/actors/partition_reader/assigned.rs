//! What a reader decides about its partitions: when one is opened, closed, opened anew or given up, and whose
//! word about it still counts. Pure: it knows no Kafka, no actor and no clock; the actor does what the steps
//! say.
//!
//! Three numbers tell old answers from new ones, and each is unique over all partitions and assignments:
//!
//! - the *assignment* under which the group gave the partition, counted by the consumer's thread;
//! - the *attempt* to open it: of several, only the last one has a say;
//! - the *opening* under which batches are read: answers to batches of an earlier one change nothing but what
//!   is in flight.
//!
//! | event | when | what follows |
//! |---|---|---|
//! | assigned | | it begins afresh: an attempt, at once |
//! | revoked | | it is forgotten |
//! | an attempt has found the position | the last attempt | an opening: the thread reads from there |
//! | | an earlier attempt, revoked, or a drain | nothing |
//! | an attempt has failed | the last attempt | *failed* |
//! | | an earlier attempt, revoked, or a drain | nothing |
//! | a batch was read | the present opening | it is handed on |
//! | | an earlier opening, or revoked | it is dropped, and no longer in flight |
//! | a batch is done | the present opening | failures are forgotten, the position moves, never back, and is committed |
//! | | an earlier opening, or revoked | it is no longer in flight |
//! | a batch has failed | the present opening | *failed* |
//! | | an earlier opening, or revoked | it is no longer in flight |
//! | the position is another's | the present opening | *failed* |
//! | | an earlier opening, or revoked | nothing |
//! | a position lies outside its log | | *failed*, each partition |
//! | it stands still | | closed, and an attempt at once, which is no failure |
//! | told to drain | | drained, once no batch is unanswered |
//!
//! *Failed* closes the partition, and then:
//!
//! | over what | failures in a row | what follows |
//! |---|---|---|
//! | whatever, in a drain | | it stays closed |
//! | a dependency is away | are not counted | an attempt, later each time |
//! | anything else | fewer than [`MAX_FAILURES`] | an attempt, later each time |
//! | anything else | as many | the reader is given up, which is for whoever counts restarts |

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::kafka::{Mark, Partition};
use crate::messages::BatchError;
use crate::retry::{Delays, OPENING};

/// A partition whose batches failed so often in a row, over some seconds, is not mended by opening it again.
/// A rebalance or a neighbour that is rebuilt costs one or two.
const MAX_FAILURES: u32 = 6;

/// A batch whose answer is awaited.
#[derive(Debug)]
pub(super) struct HandedOn {
    pub(super) partition: Partition,
    pub(super) opening: u64,
    /// The position behind it.
    pub(super) to: i64,
    /// The last record in it.
    pub(super) last: Option<Mark>,
    pub(super) bytes: usize,
}

/// What happens to partitions.
pub(super) enum Change<T> {
    /// The group has given them to this reader, under the number of the assignment.
    Assigned(u64, Vec<Partition>),
    Revoked(Vec<Partition>),
    /// An attempt has found the durable position and taken it over.
    Opened {
        partition: Partition,
        attempt: u64,
        next_offset: i64,
        token: T,
    },
    NotOpened {
        partition: Partition,
        attempt: u64,
        error: BatchError,
    },
    Answered(HandedOn, Result<(), BatchError>),
    /// The position is not where this opening has left it.
    TakenOver {
        partition: Partition,
        opening: u64,
    },
    OutOfRange,
    StandsStill(Partition),
    ToldToDrain,
}

/// What the actor does about it.
#[derive(Debug)]
pub(super) enum Step {
    /// Have the thread stop reading.
    Close(Partition),
    /// Find the durable position and take it over, after `wait`.
    Open { partition: Partition, attempt: u64, wait: Duration },
    /// Have the thread read.
    Read { partition: Partition, assignment: u64, next_offset: i64, opening: u64 },
    /// Tell the thread that a batch is no longer in flight.
    Free { partition: Partition, opening: u64, bytes: usize },
    /// The position behind everything that is done, and the last record before it.
    Commit { partition: Partition, next_offset: i64, last: Option<Mark> },
    /// Say why a partition is closed, and in how long it is opened again.
    SayFailed { partition: Partition, error: BatchError, reopen_in: Duration },
    /// Opening it again does not mend it.
    GiveUp { partition: Partition, error: BatchError },
    /// Every partition is open.
    SayRunning,
    /// Nothing is in flight any more.
    AnswerDrained,
}

/// A partition that the group has given to this reader.
pub(super) struct Assigned<T> {
    assignment: u64,
    /// The opening under which batches are read; none while the partition is being opened.
    opening: Option<(u64, T)>,
    attempt: u64,
    /// Batches without an answer, of all openings: a drain waits for them.
    unanswered: usize,
    /// When Kafka appended the first record of each batch of this opening in flight, in milliseconds
    /// since 1970.
    appended_at_ms: VecDeque<Option<i64>>,
    opened_at: i64,
    /// The position behind everything that is done, and the last record before it that was read in this
    /// opening.
    next_offset: i64,
    last: Option<Mark>,
    delays: Delays,
    /// Failures in a row that waiting for a dependency does not explain.
    failures: u32,
}

impl<T: Copy> Assigned<T> {
    fn new(assignment: u64) -> Self {
        Self {
            assignment,
            opening: None,
            attempt: 0,
            unanswered: 0,
            appended_at_ms: VecDeque::new(),
            opened_at: 0,
            next_offset: 0,
            last: None,
            delays: OPENING.delays(),
            failures: 0,
        }
    }

    /// Returns the number of the opening and its token; none while the partition is being opened.
    pub(super) fn opening(&self) -> Option<(u64, T)> {
        self.opening
    }

    /// Returns where the opening began.
    pub(super) fn opened_at(&self) -> i64 {
        self.opened_at
    }

    /// Returns the position behind everything that is done; none while the partition is being opened.
    pub(super) fn position(&self) -> Option<i64> {
        self.opening.map(|_| self.next_offset)
    }

    /// Returns when Kafka appended the oldest record in flight, in milliseconds since 1970.
    pub(super) fn oldest_in_flight_ms(&self) -> Option<i64> {
        self.appended_at_ms.iter().flatten().next().copied()
    }

    fn reads_as(&self, opening: u64) -> bool {
        self.opening.is_some_and(|(current, _)| current == opening)
    }
}

/// The partitions of a reader.
pub(super) struct Assignments<T> {
    partitions: HashMap<Partition, Assigned<T>>,
    attempts: u64,
    openings: u64,
    draining: bool,
}

impl<T: Copy> Assignments<T> {
    pub(super) fn new() -> Self {
        Self { partitions: HashMap::new(), attempts: 0, openings: 0, draining: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn get(&self, partition: &Partition) -> Option<&Assigned<T>> {
        self.partitions.get(partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Partition, &Assigned<T>)> {
        self.partitions.iter()
    }

    /// A batch was read. Returns the token to hand it on with; none for one of an earlier opening.
    pub(super) fn take(
        &mut self,
        partition: &Partition,
        opening: u64,
        appended_at_ms: Option<i64>,
    ) -> Option<T> {
        let assigned = self.partitions.get_mut(partition)?;
        let (_, token) = assigned.opening.filter(|(current, _)| *current == opening)?;
        assigned.unanswered += 1;
        assigned.appended_at_ms.push_back(appended_at_ms);
        Some(token)
    }

    /// Decides what follows from a change.
    pub(super) fn on(&mut self, change: Change<T>) -> Vec<Step> {
        let mut steps = Vec::new();
        match change {
            Change::Assigned(assignment, partitions) => {
                for partition in partitions {
                    self.partitions.insert(partition.clone(), Assigned::new(assignment));
                    self.open(partition, Duration::ZERO, &mut steps);
                }
                self.say_running(&mut steps);
            }
            Change::Revoked(partitions) => {
                for partition in &partitions {
                    self.partitions.remove(partition);
                }
                self.say_running(&mut steps);
                self.answer_drained(&mut steps);
            }
            Change::Opened { partition, attempt, next_offset, token } => {
                let opening = self.openings + 1;
                let Some(assigned) = self.attempting(&partition, attempt) else { return steps };
                assigned.opening = Some((opening, token));
                assigned.appended_at_ms.clear();
                (assigned.opened_at, assigned.next_offset) = (next_offset, next_offset);
                // What an earlier opening saw last may be gone, and must not be told of this one.
                assigned.last = None;
                let assignment = assigned.assignment;
                self.openings = opening;
                steps.push(Step::Read { partition, assignment, next_offset, opening });
                self.say_running(&mut steps);
            }
            Change::NotOpened { partition, attempt, error } => {
                if self.attempting(&partition, attempt).is_some() {
                    self.fail(partition, error, &mut steps);
                }
            }
            Change::Answered(batch, outcome) => {
                self.answered(batch, outcome, &mut steps);
                self.answer_drained(&mut steps);
            }
            Change::TakenOver { partition, opening } => {
                if self.partitions.get(&partition).is_some_and(|assigned| assigned.reads_as(opening)) {
                    let why = "the position is not where this opening has left it";
                    self.fail(partition, BatchError::fenced(why.to_owned()), &mut steps);
                }
            }
            Change::OutOfRange => {
                for partition in self.partitions.keys().cloned().collect::<Vec<_>>() {
                    let why = "a position lies outside its log";
                    self.fail(partition, BatchError::interrupted(why.to_owned()), &mut steps);
                }
            }
            Change::StandsStill(partition) => {
                steps.push(Step::Close(partition.clone()));
                self.open(partition, Duration::ZERO, &mut steps);
            }
            Change::ToldToDrain => {
                self.draining = true;
                self.answer_drained(&mut steps);
            }
        }
        steps
    }

    /// Returns the partition whose last attempt this is, unless nothing is opened any more.
    fn attempting(&mut self, partition: &Partition, attempt: u64) -> Option<&mut Assigned<T>> {
        let draining = self.draining;
        self.partitions.get_mut(partition).filter(|assigned| assigned.attempt == attempt && !draining)
    }

    fn open(&mut self, partition: Partition, wait: Duration, steps: &mut Vec<Step>) {
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        assigned.opening = None;
        // Unique over all assignments: an attempt of an earlier one must not pass for one of this.
        self.attempts += 1;
        assigned.attempt = self.attempts;
        steps.push(Step::Open { partition, attempt: self.attempts, wait });
    }

    /// Closes a partition over a failure and opens it again, later each time.
    fn fail(&mut self, partition: Partition, error: BatchError, steps: &mut Vec<Step>) {
        steps.push(Step::Close(partition.clone()));
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        if self.draining {
            assigned.opening = None;
            return;
        }
        let wait = assigned.delays.next_delay();
        let (named, why) = (partition.clone(), error.clone());
        steps.push(Step::SayFailed { partition: named, error: why, reopen_in: wait });
        if !matches!(error, BatchError::Unavailable { .. }) {
            assigned.failures += 1;
            if assigned.failures >= MAX_FAILURES {
                return steps.push(Step::GiveUp { partition, error });
            }
        }
        self.open(partition, wait, steps);
    }

    fn answered(
        &mut self,
        HandedOn { partition, opening, to, last, bytes }: HandedOn,
        outcome: Result<(), BatchError>,
        steps: &mut Vec<Step>,
    ) {
        // Whatever came of it, it is no longer in flight: the thread drops what is of an earlier opening.
        steps.push(Step::Free { partition: partition.clone(), opening, bytes });
        let Some(assigned) = self.partitions.get_mut(&partition) else { return };
        assigned.unanswered = assigned.unanswered.saturating_sub(1);
        if !assigned.reads_as(opening) {
            return;
        }
        if let Err(error) = outcome {
            return self.fail(partition, error, steps);
        }
        assigned.delays.reset();
        assigned.failures = 0;
        assigned.appended_at_ms.pop_front();
        // Answers may overtake each other on their way; what is done is done.
        if to > assigned.next_offset {
            (assigned.next_offset, assigned.last) = (to, last.or(assigned.last));
        }
        let (next_offset, last) = (assigned.next_offset, assigned.last);
        steps.push(Step::Commit { partition, next_offset, last });
        self.say_running(steps);
    }

    fn say_running(&self, steps: &mut Vec<Step>) {
        if self.partitions.values().all(|assigned| assigned.opening.is_some()) {
            steps.push(Step::SayRunning);
        }
    }

    fn answer_drained(&self, steps: &mut Vec<Step>) {
        if self.draining && self.partitions.values().all(|assigned| assigned.unanswered == 0) {
            steps.push(Step::AnswerDrained);
        }
    }
}

#[cfg(test)]
mod tests;
