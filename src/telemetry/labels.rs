//! The labels of the metrics, each a type: what is not in its set does not compile.
//!
//! A closed set is declared once, here or where it is at home, and whoever needs all of it walks it. Open are
//! only the code of an HTTP status, the reasons and flags of the rules, and a partition. No poll id, no key
//! and no complaint type ever is a label.

use std::borrow::Cow;

use nyc311_domain::{QualityFlags, Rejection, TermKind};

use crate::faults::{Harm, Target};
use crate::poll::PollState;
use crate::reconciliation::DifferenceKind;
pub use crate::stage_name::StageName;
use crate::words::words;

words! {
    /// What the pipeline depends on.
    Dependency { Source = "source", Kafka = "kafka", Database = "database" }

    /// What became of a record in a stage.
    Outcome {
        /// Handed on, or acknowledged by the next durable place.
        Passed = "passed",
        Stored = "stored",
        Duplicate = "duplicate",
        Reenriched = "reenriched",
        DeadLettered = "dead_lettered",
    }

    /// Why a stage was rebuilt.
    RestartReason {
        Error = "error",
        Panic = "panic",
        Hang = "hang",
        /// It ended though nobody asked.
        Vanished = "vanished",
    }

    /// What a stage waits for.
    WaitsOn {
        /// The next stage, which is full.
        Downstream = "downstream",
        /// Something to do.
        Idle = "idle",
        Source = "source",
        Kafka = "kafka",
        Database = "database",
    }

    /// How a Kafka transaction ended.
    TransactionEnd { Committed = "committed", Aborted = "aborted", Fenced = "fenced" }

    /// What happened to a word of the source.
    DriftChange {
        /// It was seen for the first time, and no rule knows it.
        Appeared = "appeared",
        /// A column that the source names no more.
        Vanished = "vanished",
    }

    /// The states of database connections.
    PoolState { Idle = "idle", InUse = "in_use" }

    /// Why a request to the source brought no page, where no HTTP status says it.
    NoPage {
        Settings = "settings",
        Unreachable = "unreachable",
        TimedOut = "timed_out",
        Truncated = "truncated",
        NotJson = "not_json",
        Unexpected = "unexpected",
        TooLarge = "too_large",
    }

    /// Why the pipeline sets a row aside that the rules have nothing against.
    SetAside {
        RowTooLarge = "row_too_large",
        EnrichmentPanicked = "enrichment_panicked",
        EnrichedTooLarge = "enriched_too_large",
        EnrichedUnreadable = "enriched_unreadable",
        RefusedByDatabase = "refused_by_database",
    }
}

/// What a request to the source came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceCode {
    /// An answer with this HTTP status.
    Status(u16),
    NoPage(NoPage),
}

impl std::fmt::Display for SourceCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.word())
    }
}

/// Why a row was set aside: what the rules have against it, or what the pipeline has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(&'static str);

impl From<SetAside> for Reason {
    fn from(reason: SetAside) -> Self {
        Self(reason.as_str())
    }
}

impl From<&Rejection> for Reason {
    fn from(rejection: &Rejection) -> Self {
        Self(rejection.reason)
    }
}

/// A flag that the rules have set on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flag(&'static str);

impl Flag {
    /// Returns each of the flags.
    pub fn each(flags: QualityFlags) -> impl Iterator<Item = Self> {
        flags.names().map(Self)
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, Copy)]
pub struct OfPartition<'a>(pub &'a str, pub i32);

/// What runs.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    pub version: &'static str,
    pub commit: &'static str,
}

/// The point or the stage at which a fault strikes.
#[derive(Debug, Clone, Copy)]
pub struct FaultTarget(pub Target);

/// One label: how it is called, and its word.
pub trait Label: Copy {
    const NAME: &'static str;

    fn word(self) -> Cow<'static, str>;
}

/// A label of which every word is known.
pub trait ClosedLabel: Label + 'static {
    const EVERY: &'static [Self];
}

macro_rules! closed_labels {
    ($($name:literal: $label:ty;)*) => {$(
        impl Label for $label {
            const NAME: &'static str = $name;

            fn word(self) -> Cow<'static, str> {
                Cow::Borrowed(self.as_str())
            }
        }

        impl ClosedLabel for $label {
            const EVERY: &'static [Self] = &Self::ALL;
        }
    )*};
}

closed_labels! {
    "stage": StageName;
    "dependency": Dependency;
    "outcome": Outcome;
    "reason": RestartReason;
    "on": WaitsOn;
    "outcome": TransactionEnd;
    "kind": TermKind;
    "kind": DifferenceKind;
    "change": DriftChange;
    "state": PoolState;
    "state": PollState;
}

impl Label for SourceCode {
    const NAME: &'static str = "code";

    fn word(self) -> Cow<'static, str> {
        match self {
            Self::Status(status) => Cow::Owned(status.to_string()),
            Self::NoPage(why) => Cow::Borrowed(why.as_str()),
        }
    }
}

impl Label for FaultTarget {
    const NAME: &'static str = "point";

    fn word(self) -> Cow<'static, str> {
        Cow::Borrowed(self.0.name())
    }
}

impl Label for Harm {
    const NAME: &'static str = "fault";

    fn word(self) -> Cow<'static, str> {
        Cow::Borrowed(self.as_str())
    }
}

impl Label for Reason {
    const NAME: &'static str = "reason";

    fn word(self) -> Cow<'static, str> {
        Cow::Borrowed(self.0)
    }
}

impl Label for Flag {
    const NAME: &'static str = "flag";

    fn word(self) -> Cow<'static, str> {
        Cow::Borrowed(self.0)
    }
}

/// The labels of a family of series: one, or several.
pub trait Labels: Copy {
    const NAMES: &'static [&'static str];

    /// Hands the words to `take`, in the order of the names.
    fn with_words<T>(self, take: impl FnOnce(&[&str]) -> T) -> T;
}

/// Labels of which every combination is known.
pub trait ClosedLabels: Labels {
    fn for_each(see: impl FnMut(Self));
}

impl<L: Label> Labels for L {
    const NAMES: &'static [&'static str] = &[L::NAME];

    fn with_words<T>(self, take: impl FnOnce(&[&str]) -> T) -> T {
        take(&[&self.word()])
    }
}

impl<L: ClosedLabel> ClosedLabels for L {
    fn for_each(see: impl FnMut(Self)) {
        L::EVERY.iter().copied().for_each(see);
    }
}

impl<One: Label, Other: Label> Labels for (One, Other) {
    const NAMES: &'static [&'static str] = &[One::NAME, Other::NAME];

    fn with_words<T>(self, take: impl FnOnce(&[&str]) -> T) -> T {
        take(&[&self.0.word(), &self.1.word()])
    }
}

impl<One: ClosedLabel, Other: ClosedLabel> ClosedLabels for (One, Other) {
    fn for_each(mut see: impl FnMut(Self)) {
        for one in One::EVERY {
            Other::EVERY.iter().for_each(|other| see((*one, *other)));
        }
    }
}

impl Labels for OfPartition<'_> {
    const NAMES: &'static [&'static str] = &["topic", "partition"];

    fn with_words<T>(self, take: impl FnOnce(&[&str]) -> T) -> T {
        take(&[self.0, &self.1.to_string()])
    }
}

impl Labels for Build {
    const NAMES: &'static [&'static str] = &["version", "commit"];

    fn with_words<T>(self, take: impl FnOnce(&[&str]) -> T) -> T {
        take(&[self.version, self.commit])
    }
}
