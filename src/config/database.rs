//! Settings of PostgreSQL.

use std::time::Duration;

use super::form::{Count, DatabaseUrl, Span};
use super::secret::Secret;
use super::section::settings;
use super::unit::{hours, millis, minutes, seconds};

/// The longest connection time that can be set; callers of the control endpoint wait longer than this.
pub const LONGEST_CONNECT: Duration = minutes(1);

settings! {
    /// PostgreSQL, and how long a statement may take there.
    DatabaseSettings "database" {
        url: Secret = Secret::new("postgresql://nyc311@127.0.0.1:5432/nyc311"), DatabaseUrl,
            "The PostgreSQL database; its user owns the schema `nyc311`.",
            "It may hold a password, so it is never shown whole; `sslmode`, `sslrootcert`, `sslcert` and \
             `sslkey` mean what libpq means by them (docs/security.md).";
        pool_size: usize = 8, Count(4..=100),
            "Connections at most.",
            "Poller, writer, lease and control endpoint need one each; PostgreSQL gives 100 by default.";
        connect_timeout: Duration = seconds(5), Span(millis(100)..=LONGEST_CONNECT),
            "How long an address of the server may take to connect; all addresses and the sign-in together \
             have a second more. Waiting for a free connection of the pool is bounded by \
             `database.statement_timeout` instead.",
            "The control endpoint answers 503 ten seconds after it at the latest, and callers have time \
             limits of their own.";
        lock_timeout: Duration = seconds(10), Span(millis(100)..=minutes(5)),
            "How long a statement may wait for a lock.",
            "Longer waits are left to the retry, which shows in the metrics.";
        statement_timeout: Duration = minutes(2), Span(seconds(1)..=hours(1)),
            "How long one statement may take.",
            "A batch takes seconds; a statement that needs an hour has lost its connection.";
        copy_timeout: Duration = minutes(2), Span(seconds(1)..=hours(1)),
            "How long the COPY of one batch may take.",
            "PostgreSQL's own statement timeout does not bind COPY, so this side keeps the time.";
    }
}
