//! Whether a database can keep what this program writes, asked on every connection before it is used.
//!
//! A database that takes most rows and refuses some is worse than none: the refused ones would become dead
//! letters for no fault of theirs, while all else goes well.

use tokio_postgres::SimpleQueryMessage;

/// SQL functions whose body is parsed once (`begin atomic`, `return`), which the migrations use, came with
/// this version.
const LEAST_VERSION: i32 = 140_000;

/// Sets what a role, a database or a server may have set otherwise and statements rely on, then asks for what
/// cannot be set. One message, so that a connection costs one round trip.
///
/// Times, floats and binary data are written in one form, whoever the role is. A commit is durable when it is
/// acknowledged: a poll that has succeeded must not be forgotten. Statements see what was committed before
/// them, which the order inside the write transaction rests on.
pub(super) const PREPARE: &str = "\
    set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; \
    set bytea_output = 'hex'; set extra_float_digits = 1; set standard_conforming_strings = on; \
    set default_transaction_isolation = 'read committed'; set default_transaction_deferrable = off; \
    select set_config('synchronous_commit', 'on', false) \
        where current_setting('synchronous_commit') = 'off'; \
    select current_setting('server_encoding') as server_encoding, \
        current_setting('client_encoding') as client_encoding, \
        current_setting('server_version_num') as server_version_num, \
        current_setting('server_version') as server_version, \
        current_setting('session_replication_role') as session_replication_role, \
        current_database() as database";

/// Asks whether transactions that begin now may write.
pub(super) const READ_ONLY: &str = "select current_setting('transaction_read_only') as read_only";

/// What a database that answers [`READ_ONLY`] with yes is called.
pub(super) const WRITES_REFUSED: &str =
    "it takes no writes, since it is a standby or default_transaction_read_only is on";

/// Reads one value of the last row of an answer.
fn value<'a>(answer: &'a [SimpleQueryMessage], name: &str) -> &'a str {
    let rows = answer.iter().rev().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| row.try_get(name).ok().flatten()).next().flatten().unwrap_or_default()
}

pub(super) fn is_read_only(answer: &[SimpleQueryMessage]) -> bool {
    value(answer, "read_only") == "on"
}

/// What the server says of itself.
#[derive(Clone, Copy, Debug)]
struct Server<'a> {
    database: &'a str,
    server_encoding: &'a str,
    client_encoding: &'a str,
    version: i32,
    version_text: &'a str,
    replication_role: &'a str,
}

/// Says why the database cannot be used and what to do, by the answer to [`PREPARE`]; none where it can.
pub(super) fn refusal(answer: &[SimpleQueryMessage]) -> Option<String> {
    let of = |name| value(answer, name);
    Server {
        database: of("database"),
        server_encoding: of("server_encoding"),
        client_encoding: of("client_encoding"),
        version: of("server_version_num").parse().unwrap_or(0),
        version_text: of("server_version"),
        replication_role: of("session_replication_role"),
    }
    .refusal()
}

impl Server<'_> {
    fn refusal(&self) -> Option<String> {
        let Self { database, server_encoding, client_encoding, version_text, replication_role, .. } = self;
        if self.version < LEAST_VERSION {
            return Some(format!(
                "PostgreSQL {version_text} is too old: name a server of version 14 or later"
            ));
        }
        if *server_encoding != "UTF8" {
            return Some(format!(
                "the database {database} has the encoding {server_encoding}, which cannot hold every text of the source: \
                 create another one (create database ... encoding 'UTF8' template template0) and name it in database.url"
            ));
        }
        if *client_encoding != "UTF8" {
            return Some(format!(
                "the connection to {database} has client_encoding = {client_encoding}, so texts would be changed on their \
                 way: leave it out of database.url, and out of what stands between this program and the server"
            ));
        }
        (*replication_role != "origin").then(|| {
            format!(
                "the role has session_replication_role = {replication_role}, so no trigger would keep the rollups: \
                 alter role ... reset session_replication_role"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIT: Server<'static> = Server {
        database: "nyc311",
        server_encoding: "UTF8",
        client_encoding: "UTF8",
        version: 140_000,
        version_text: "14.0",
        replication_role: "origin",
    };

    #[test]
    fn a_database_that_cannot_hold_every_row_is_refused_with_a_remedy() {
        assert_eq!(FIT.refusal(), None);
        for (server, expected) in [
            (Server { version: 130_022, version_text: "13.22", ..FIT }, "version 14 or later"),
            (Server { server_encoding: "SQL_ASCII", ..FIT }, "encoding 'UTF8' template template0"),
            (Server { server_encoding: "LATIN1", ..FIT }, "encoding 'UTF8' template template0"),
            (Server { client_encoding: "LATIN1", ..FIT }, "client_encoding = LATIN1"),
            (Server { replication_role: "replica", ..FIT }, "reset session_replication_role"),
        ] {
            let refusal = server.refusal().unwrap();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
