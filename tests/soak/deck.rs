//! Which fault comes next: a shuffled deck of all kinds, taken to its end before it is shuffled again, so
//! that each kind comes in turn. Everything that is drawn follows from the seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::kinds::{Kind, Target};
use crate::order::Order;

/// A fault as it was drawn.
#[derive(Debug, Clone)]
pub struct Fault {
    pub number: u64,
    pub kind: Kind,
    pub target: Target,
    /// The time between the one before it and this one.
    pub after: Duration,
    pub lasting: Duration,
    /// What else is left to chance.
    pub luck: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ({:?})", self.number, self.kind.name(), self.target)?;
        if !self.lasting.is_zero() {
            write!(f, " for {:.1} s", self.lasting.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The deck, and what was drawn of it so far.
pub struct Deck {
    chance: fastrand::Rng,
    processes: usize,
    left: Vec<Kind>,
    drawn: u64,
    counts: BTreeMap<String, u64>,
}

impl Deck {
    pub fn shuffled(order: &Order) -> Self {
        let chance = fastrand::Rng::with_seed(order.seed);
        Self { chance, processes: order.processes, left: Vec::new(), drawn: 0, counts: BTreeMap::new() }
    }

    /// Returns how many faults follow each other before the service is left in peace.
    pub fn next_burst(&mut self) -> u64 {
        self.chance.u64(4..=9)
    }

    /// Returns for how long it is left in peace.
    pub fn next_rest(&mut self) -> Duration {
        Duration::from_millis(self.chance.u64(500..3_500))
    }

    pub fn next(&mut self) -> Fault {
        if self.left.is_empty() {
            self.left.extend(Kind::ALL);
            self.chance.shuffle(&mut self.left);
        }
        let kind = self.left.pop().expect("a deck that is not empty");
        self.drawn += 1;
        *self.counts.entry(kind.name()).or_default() += 1;
        Fault {
            number: self.drawn,
            kind,
            target: kind.target(self.chance.usize(..self.processes)),
            after: Duration::from_millis(self.chance.u64(100..2_000)),
            lasting: Duration::from_millis(self.chance.u64(kind.lasts_ms())),
            luck: self.chance.u64(..),
        }
    }

    /// Returns how many were drawn.
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Returns how many of each kind.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}
