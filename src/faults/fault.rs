//! A fault as it is asked for, in the words of the API, and as it is armed.

use std::num::NonZeroU64;
use std::time::Duration;

use nyc311_notation::quantity::duration;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::point::Point;
use crate::stage_name::StageName;
use crate::words::words;

/// How long a fault stays armed where nothing is said: long enough to watch it, and short enough for one that
/// was forgotten.
pub const EXPIRES_IN: Duration = Duration::from_secs(5 * 60);
/// How long one may stay armed: a game day ends on the same day.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The largest number that every reader of JSON reads as it is.
pub const LARGEST_NUMBER: u64 = (1 << 53) - 1;

words! {
    /// What a fault does.
    Harm {
        /// The thread, or the task, panics.
        Panic = "panic",
        /// The call fails, or the stage ends with an error.
        Error = "error",
        /// The thread stands still for a while.
        Delay = "delay",
        /// The thread stands still until the fault ends.
        Hang = "hang",
        /// The stage ends as if it was ended from outside.
        Kill = "kill",
        /// The process ends at once.
        Abort = "abort",
        /// A raw record is cut in half on its way into the enricher.
        Corrupt = "corrupt",
    }
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Point(Point),
    /// At the next turn of the stage.
    Stage(StageName),
    /// Each record that an enricher takes.
    RawRecords,
}

impl Target {
    /// Returns the name of the point or the stage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Point(point) => point.name(),
            Self::Stage(stage) => stage.as_str(),
            Self::RawRecords => StageName::Enricher.as_str(),
        }
    }
}

/// What a fault does, with all that it needs to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    Panic,
    Error(Failure),
    Delay(Duration),
    Hang,
    Kill,
    Abort,
    Corrupt,
}

impl FaultKind {
    /// Returns the word for it.
    pub fn harm(self) -> Harm {
        match self {
            Self::Panic => Harm::Panic,
            Self::Error(_) => Harm::Error,
            Self::Delay(_) => Harm::Delay,
            Self::Hang => Harm::Hang,
            Self::Kill => Harm::Kill,
            Self::Abort => Harm::Abort,
            Self::Corrupt => Harm::Corrupt,
        }
    }
}

/// One fault: what it does where, at which visits, and for how long it is armed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub target: Target,
    pub kind: FaultKind,
    /// How many visits it lets pass first.
    pub skip: u64,
    /// Of the visits behind those, every which one is meant: the first of them, and each `every` further.
    pub every: NonZeroU64,
    /// How often it strikes before it ends.
    pub count: NonZeroU64,
    pub chance: Option<Chance>,
    pub expires_in: Duration,
}

/// How likely a visit that is meant is struck; the same seed strikes the same visits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    pub probability: f64,
    pub seed: u64,
}

/// A fault as somebody asks for it; `None` is what was not said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// What is wrong with one field of what was asked for, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub field: &'static str,
    pub detail: String,
}

/// Collects what is wrong, so that all of it is said at once.
#[derive(Default)]
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn add(&mut self, field: &'static str, detail: impl Into<String>) {
        self.0.push(Refusal { field, detail: detail.into() });
    }

    fn number(&mut self, field: &'static str, value: Option<u64>, least: u64, default: u64) -> u64 {
        match value {
            Some(number) if !(least..=LARGEST_NUMBER).contains(&number) => {
                self.add(field, format!("is not a whole number from {least} to {LARGEST_NUMBER}"));
                default
            }
            Some(number) => number,
            None => default,
        }
    }

    fn time(&mut self, field: &'static str, value: &str) -> Duration {
        match duration(value) {
            Ok(time) if time.is_zero() || time > LONGEST => {
                self.add(field, format!("is not above 0 and at most {} m", LONGEST.as_secs() / 60));
            }
            Ok(time) => return time,
            Err(wrong) => self.add(field, wrong),
        }
        EXPIRES_IN
    }
}

impl FaultRequest {
    pub const FIELDS: [&str; 11] = [
        "stage",
        "point",
        "fault",
        "error",
        "delay",
        "skip",
        "every",
        "count",
        "probability",
        "seed",
        "expires_in",
    ];

    /// Says where the fault is to strike; a point has a colon in its name, and a stage none.
    pub fn place(&mut self, name: &str) {
        let field = if name.contains(':') { &mut self.point } else { &mut self.stage };
        *field = Some(name.to_owned());
    }

    /// Checks all of it at once. A seed is chosen where a probability is given without one.
    ///
    /// # Errors
    /// Each field that is wrong.
    pub fn read(&self) -> Result<Fault, Vec<Refusal>> {
        let mut refusals = Refusals::default();
        let harm = self.harm(&mut refusals);
        let target = self.target(&mut refusals);
        let kind = harm.zip(target).and_then(|(harm, target)| self.kind(harm, target, &mut refusals));
        let target = target.zip(kind).map(|(target, kind)| match kind {
            FaultKind::Corrupt => Target::RawRecords,
            _ => target,
        });
        let skip = refusals.number("skip", self.skip, 0, 0);
        let every = refusals.number("every", self.every, 1, 1);
        let count = refusals.number("count", self.count, 1, 1);
        let chance = self.chance(&mut refusals);
        let expires_in =
            self.expires_in.as_deref().map_or(EXPIRES_IN, |time| refusals.time("expires_in", time));
        match (target, kind) {
            (Some(target), Some(kind)) if refusals.0.is_empty() => Ok(Fault {
                target,
                kind,
                skip,
                every: NonZeroU64::new(every).unwrap_or(NonZeroU64::MIN),
                count: NonZeroU64::new(count).unwrap_or(NonZeroU64::MIN),
                chance,
                expires_in,
            }),
            _ => Err(refusals.0),
        }
    }

    fn harm(&self, refusals: &mut Refusals) -> Option<Harm> {
        let words = || listed(Harm::ALL.iter().map(|harm| harm.as_str()));
        let Some(written) = &self.fault else {
            refusals.add("fault", format!("is missing; write one of {}", words()));
            return None;
        };
        let harm = Harm::from_word(written);
        if harm.is_none() {
            refusals.add(
                "fault",
                format!("has the kind {written:?}, which does not exist; write one of {}", words()),
            );
        }
        harm
    }

    fn target(&self, refusals: &mut Refusals) -> Option<Target> {
        match (&self.point, &self.stage) {
            (Some(name), None) => {
                let point = Point::find(name);
                if point.is_none() {
                    let nearest = Point::nearest(name);
                    refusals.add(
                        "point",
                        format!(
                            "names the point {name:?}, which does not exist; the nearest name is {nearest}"
                        ),
                    );
                }
                point.map(Target::Point)
            }
            (None, Some(name)) => {
                let stage = StageName::from_word(name);
                if stage.is_none() {
                    let stages = listed(StageName::ALL.iter().map(|stage| stage.as_str()));
                    refusals.add(
                        "stage",
                        format!("names the stage {name:?}, which does not exist; write one of {stages}"),
                    );
                }
                stage.map(Target::Stage)
            }
            (Some(_), Some(_)) => {
                refusals.add("stage", "is stated beside point; a fault has one of the two");
                None
            }
            (None, None) => {
                refusals.add("point", "is missing, and so is stage; write one of the two");
                None
            }
        }
    }

    fn kind(&self, harm: Harm, target: Target, refusals: &mut Refusals) -> Option<FaultKind> {
        if self.error.is_some() && harm != Harm::Error {
            refusals.add("error", "belongs to the fault error alone; leave it out");
        }
        if self.delay.is_some() && harm != Harm::Delay {
            refusals.add("delay", "belongs to the fault delay alone; leave it out");
        }
        match (harm, target) {
            (Harm::Kill, Target::Point(_)) => {
                refusals.add("fault", "kills a stage; name a stage in place of the point");
                None
            }
            (Harm::Corrupt, target) if target != Target::Stage(StageName::Enricher) => {
                refusals.add("fault", "spoils records on their way into the enricher; name it as the stage");
                None
            }
            (Harm::Panic, _) => Some(FaultKind::Panic),
            (Harm::Hang, _) => Some(FaultKind::Hang),
            (Harm::Abort, _) => Some(FaultKind::Abort),
            (Harm::Kill, _) => Some(FaultKind::Kill),
            (Harm::Corrupt, _) => Some(FaultKind::Corrupt),
            (Harm::Error, target) => self.failure(target, refusals).map(FaultKind::Error),
            (Harm::Delay, _) => match &self.delay {
                Some(delay) => Some(FaultKind::Delay(refusals.time("delay", delay))),
                None => {
                    refusals.add("delay", "is missing; write how long, as 500ms");
                    None
                }
            },
        }
    }

    fn failure(&self, target: Target, refusals: &mut Refusals) -> Option<Failure> {
        let Some(written) = &self.error else { return Some(Failure::Refused) };
        let Target::Point(point) = target else {
            refusals.add(
                "error",
                "names the failure of a call, and a stage is none; leave it out, or name a point",
            );
            return None;
        };
        let failure = point.calls().failures().find(|failure| failure.as_str() == written);
        if failure.is_none() {
            let known = listed(point.calls().failures().map(Failure::as_str));
            refusals.add(
                "error",
                format!("has the failure {written:?}, which {point} does not have; write one of {known}"),
            );
        }
        failure
    }

    fn chance(&self, refusals: &mut Refusals) -> Option<Chance> {
        let seed = refusals.number("seed", self.seed, 0, 0);
        let Some(probability) = self.probability else {
            if self.seed.is_some() {
                refusals
                    .add("seed", "decides nothing without a probability; state that too, or leave it out");
            }
            return None;
        };
        if !(probability > 0.0 && probability <= 1.0) {
            refusals.add("probability", "is not a number above 0 and at most 1");
        }
        let seed = if self.seed.is_some() { seed } else { fastrand::u64(..=u64::from(u32::MAX)) };
        Some(Chance { probability, seed })
    }
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
