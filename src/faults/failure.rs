//! The failures of calls that can be had on purpose, by name.

use crate::words::words;

words! {
    /// How a call fails where it is told to. What follows is decided where it is for the real failure: the
    /// injected one has its SQLSTATE, its code of Kafka or its HTTP status.
    Failure {
        /// Nobody takes the connection.
        Refused = "refused",
        /// No answer in time.
        Timeout = "timeout",
        /// The connection ends in the middle of the call.
        Cut = "cut",
        /// The source asks to come back later: 429.
        Throttled = "throttled",
        /// The source has failed: 503.
        ServerError = "server_error",
        /// The source refuses the request: 400.
        Rejected = "rejected",
        /// The source answers with something else than rows.
        NotJson = "not_json",
        /// A full disk.
        DiskFull = "disk_full",
        /// Another owner has taken over.
        Fenced = "fenced",
        /// No permission.
        NotAuthorized = "not_authorized",
        /// The partition has no leader.
        NoLeader = "no_leader",
        /// The group or the transaction has no coordinator.
        NoCoordinator = "no_coordinator",
        /// Too few replicas to write.
        TooFewReplicas = "too_few_replicas",
        /// A record is too large for its topic.
        TooLarge = "too_large",
        /// The client has given itself up.
        ClientFatal = "client_fatal",
        SerializationFailure = "serialization_failure",
        Deadlock = "deadlock",
        LockTimeout = "lock_timeout",
        TooManyConnections = "too_many_connections",
        AdminShutdown = "admin_shutdown",
        /// A database that takes no writes.
        ReadOnly = "read_only",
        /// A row that the database does not take.
        DataRefused = "data_refused",
    }
}

/// What the code around a point calls, which decides how it can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    Source,
    Kafka,
    Database,
    /// A step in the database that only the owner of a position or a lease may take.
    OwnedDatabase,
}

const EVERYWHERE: &[Failure] = &[Failure::Refused, Failure::Timeout, Failure::Cut];

impl Calls {
    /// Returns the failures that such a call can have, besides those of every call.
    const fn of_its_own(self) -> &'static [Failure] {
        use Failure::{
            AdminShutdown, ClientFatal, DataRefused, Deadlock, DiskFull, Fenced, LockTimeout, NoCoordinator,
            NoLeader, NotAuthorized, NotJson, ReadOnly, Rejected, SerializationFailure, ServerError,
            Throttled, TooFewReplicas, TooLarge, TooManyConnections,
        };
        match self {
            Self::Source => &[Throttled, ServerError, Rejected, NotAuthorized, NotJson],
            Self::Kafka => &[
                DiskFull,
                Fenced,
                NotAuthorized,
                NoLeader,
                NoCoordinator,
                TooFewReplicas,
                TooLarge,
                ClientFatal,
            ],
            Self::Database | Self::OwnedDatabase => &[
                DiskFull,
                NotAuthorized,
                SerializationFailure,
                Deadlock,
                LockTimeout,
                TooManyConnections,
                AdminShutdown,
                ReadOnly,
                DataRefused,
            ],
        }
    }

    /// Returns the failures that such a call can have.
    pub fn failures(self) -> impl Iterator<Item = Failure> {
        let lost: &[Failure] = if self == Self::OwnedDatabase { &[Failure::Fenced] } else { &[] };
        EVERYWHERE.iter().chain(self.of_its_own()).chain(lost).copied()
    }
}
