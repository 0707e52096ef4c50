//! The kinds of faults: what each is called, whom it can hit, and how long it lasts.
//!
//! A kind is added in [`Kind::ALL`] and below it; what it does stands in `strike` and what that calls.

use std::ops::Range;

/// Whom the processes talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    Kafka,
    Database,
    Source,
}

/// What the connections to a peer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// All are cut, and new ones are taken.
    Severed,
    Refused,
    Slow,
    Narrow,
    Silent,
    Lossy,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ProcessKilled,
    ProcessTerminated,
    ProcessStopped,
    /// For longer than the session at Kafka and the lease of the name last.
    ProcessStoppedForLong,
    ThreadFrozen,
    /// Another process takes partitions over, and leaves again.
    ProcessJoins,
    /// Those of the program's own interface: at one of its points, or in one of its stages.
    PointFails,
    PointPanics,
    PointDelays,
    PointHangs,
    PointAborts,
    StageFails,
    StagePanics,
    StageKilled,
    StageHangs,
    BrokerKilled,
    BrokerStopped,
    BrokerRestarted,
    DatabaseKilled,
    DatabaseStopped,
    DatabaseRestarted,
    BackendsTerminated,
    /// For longer than a statement waits for a lock.
    TableLocked,
    DatabaseFull,
    SerializationFailures,
    Network(Peer, Network),
    CopyCut,
    CommitCut,
    /// The database has committed; nobody hears of it.
    CommitAnswerLost,
    SourceThrottles,
    SourceFails,
    SourceSlow,
    SourceTruncates,
    SourceAnswersHtml,
    SourceMalformedRows,
    SourceBrokenRows,
    SourceRepeatsRows,
    SourceCapsPages,
    SourceReversesPages,
    SourceLags,
    /// Time passes with every page, so rows change while they are paged.
    SourceChangesWhilePaged,
    /// The clock of the source, and what it shows, goes back by a day for a while.
    SourceClockBack,
}

/// What a fault can hit; faults of one target come one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    Process(usize),
    /// What is armed within a process.
    Within(usize),
    Guest,
    Broker,
    Database,
    Sessions,
    Tables,
    Link(usize, Peer),
    Source,
    SourceClock,
}

use Network::{Lossy, Narrow, Refused, Severed, Silent, Slow};
use Peer::{Database, Kafka, Source};

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 59] = [
        Self::ProcessKilled,
        Self::ProcessTerminated,
        Self::ProcessStopped,
        Self::ProcessStoppedForLong,
        Self::ThreadFrozen,
        Self::ProcessJoins,
        Self::PointFails,
        Self::PointPanics,
        Self::PointDelays,
        Self::PointHangs,
        Self::PointAborts,
        Self::StageFails,
        Self::StagePanics,
        Self::StageKilled,
        Self::StageHangs,
        Self::BrokerKilled,
        Self::BrokerStopped,
        Self::BrokerRestarted,
        Self::DatabaseKilled,
        Self::DatabaseStopped,
        Self::DatabaseRestarted,
        Self::BackendsTerminated,
        Self::TableLocked,
        Self::DatabaseFull,
        Self::SerializationFailures,
        Self::Network(Kafka, Severed),
        Self::Network(Kafka, Refused),
        Self::Network(Kafka, Slow),
        Self::Network(Kafka, Narrow),
        Self::Network(Kafka, Silent),
        Self::Network(Kafka, Lossy),
        Self::Network(Database, Severed),
        Self::Network(Database, Refused),
        Self::Network(Database, Slow),
        Self::Network(Database, Narrow),
        Self::Network(Database, Silent),
        Self::Network(Database, Lossy),
        Self::Network(Source, Severed),
        Self::Network(Source, Refused),
        Self::Network(Source, Slow),
        Self::Network(Source, Narrow),
        Self::Network(Source, Silent),
        Self::Network(Source, Lossy),
        Self::CopyCut,
        Self::CommitCut,
        Self::CommitAnswerLost,
        Self::SourceThrottles,
        Self::SourceFails,
        Self::SourceSlow,
        Self::SourceTruncates,
        Self::SourceAnswersHtml,
        Self::SourceMalformedRows,
        Self::SourceBrokenRows,
        Self::SourceRepeatsRows,
        Self::SourceCapsPages,
        Self::SourceReversesPages,
        Self::SourceLags,
        Self::SourceChangesWhilePaged,
        Self::SourceClockBack,
    ];

    /// Returns its name in words.
    pub fn name(self) -> String {
        match self {
            Self::Network(peer, network) => format!("{network:?} network to the {peer:?}").to_lowercase(),
            other => {
                let mut words = String::new();
                for letter in format!("{other:?}").chars() {
                    if letter.is_uppercase() && !words.is_empty() {
                        words.push(' ');
                    }
                    words.extend(letter.to_lowercase());
                }
                words
            }
        }
    }

    /// Returns how long it lasts, in milliseconds; 0 is over at once.
    pub fn lasts_ms(self) -> Range<u64> {
        match self {
            Self::ProcessKilled | Self::DatabaseKilled | Self::BrokerKilled => 0..2_500,
            Self::ProcessTerminated | Self::DatabaseRestarted | Self::BrokerRestarted => 0..1_500,
            Self::ProcessStopped => 500..4_000,
            Self::ProcessStoppedForLong => 11_000..16_000,
            Self::ThreadFrozen => 14_000..18_000,
            Self::ProcessJoins => 3_000..9_000,
            Self::PointFails
            | Self::PointPanics
            | Self::PointDelays
            | Self::PointAborts
            | Self::StageFails
            | Self::StagePanics
            | Self::StageKilled => 2_000..6_000,
            // Longer than a thread may stand still.
            Self::PointHangs | Self::StageHangs => 12_000..16_000,
            Self::BrokerStopped | Self::DatabaseStopped => 1_000..9_000,
            Self::BackendsTerminated | Self::Network(_, Severed) => 0..1,
            Self::TableLocked => 3_000..7_000,
            Self::DatabaseFull | Self::SerializationFailures => 1_000..6_000,
            Self::CopyCut | Self::CommitCut | Self::CommitAnswerLost => 2_000..5_000,
            Self::Network(..) => 2_000..9_000,
            Self::SourceChangesWhilePaged | Self::SourceClockBack => 2_000..8_000,
            Self::SourceThrottles
            | Self::SourceFails
            | Self::SourceSlow
            | Self::SourceTruncates
            | Self::SourceAnswersHtml
            | Self::SourceMalformedRows
            | Self::SourceBrokenRows
            | Self::SourceRepeatsRows
            | Self::SourceCapsPages
            | Self::SourceReversesPages
            | Self::SourceLags => 0..1,
        }
    }

    /// Returns what it hits, of several processes this one.
    pub fn target(self, process: usize) -> Target {
        match self {
            Self::ProcessKilled
            | Self::ProcessTerminated
            | Self::ProcessStopped
            | Self::ProcessStoppedForLong
            | Self::ThreadFrozen => Target::Process(process),
            Self::ProcessJoins => Target::Guest,
            Self::PointFails
            | Self::PointPanics
            | Self::PointDelays
            | Self::PointHangs
            | Self::PointAborts
            | Self::StageFails
            | Self::StagePanics
            | Self::StageKilled
            | Self::StageHangs => Target::Within(process),
            Self::BrokerKilled | Self::BrokerStopped | Self::BrokerRestarted => Target::Broker,
            Self::DatabaseKilled | Self::DatabaseStopped | Self::DatabaseRestarted => Target::Database,
            Self::BackendsTerminated => Target::Sessions,
            Self::TableLocked | Self::DatabaseFull | Self::SerializationFailures => Target::Tables,
            Self::Network(peer, _) => Target::Link(process, peer),
            Self::CopyCut | Self::CommitCut | Self::CommitAnswerLost => Target::Link(process, Database),
            Self::SourceThrottles
            | Self::SourceFails
            | Self::SourceSlow
            | Self::SourceTruncates
            | Self::SourceAnswersHtml
            | Self::SourceMalformedRows
            | Self::SourceBrokenRows
            | Self::SourceRepeatsRows
            | Self::SourceCapsPages
            | Self::SourceReversesPages
            | Self::SourceLags => Target::Source,
            Self::SourceChangesWhilePaged | Self::SourceClockBack => Target::SourceClock,
        }
    }
}
