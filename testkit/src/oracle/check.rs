//! One thing that must be true, and what was seen of it.

use std::fmt;

/// Of what is wrong so many are told; the rest is counted.
const TOLD: usize = 5;

/// A demand by its name, with what speaks against it.
#[derive(Debug)]
pub struct Check {
    pub name: &'static str,
    seen: String,
    told: Vec<String>,
    wrong: usize,
}

impl Check {
    /// Begins a check against which nothing speaks yet.
    pub fn of(name: &'static str) -> Self {
        Self { name, seen: String::new(), told: Vec::new(), wrong: 0 }
    }

    /// Notes how much was looked at: a check of nothing proves nothing.
    pub fn saw(&mut self, count: usize, of_what: &str) {
        self.seen = format!("{count} {of_what}");
    }

    /// Notes what speaks against it where a demand is not met.
    pub fn demand(&mut self, is_met: bool, otherwise: impl FnOnce() -> String) {
        if is_met {
            return;
        }
        self.wrong += 1;
        if self.told.len() < TOLD {
            self.told.push(otherwise());
        }
    }

    /// Tells whether nothing speaks against it.
    pub fn holds(&self) -> bool {
        self.wrong == 0
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds() { "holds " } else { "BROKEN" };
        write!(f, "{verdict}  {}", self.name)?;
        if !self.seen.is_empty() {
            write!(f, " ({})", self.seen)?;
        }
        for told in &self.told {
            write!(f, "\n            {told}")?;
        }
        if self.wrong > self.told.len() {
            write!(f, "\n            and {} more", self.wrong - self.told.len())?;
        }
        Ok(())
    }
}
