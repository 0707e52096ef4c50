//! The program under test, and everything that it can be run as.

use crate::binary::Binary;
use crate::database::TestDatabase;
use crate::endpoint::Endpoint;
use crate::service::Service;
use crate::topics::Topics;

/// The binary under test. Cargo tells its path to the suites alone, so each suite declares one.
#[derive(Debug, Clone, Copy)]
pub struct Program(&'static str);

impl Program {
    /// Names the program at a path: `Program::at(env!("CARGO_BIN_EXE_nyc311"))`.
    pub const fn at(path: &'static str) -> Self {
        Self(path)
    }

    /// Prepares a service for the source at `url`; nothing runs yet.
    pub async fn service(self, url: &str, overrides: &[(&str, &str)]) -> Service {
        Service::for_source(self.0, url, overrides).await
    }

    /// Returns a command line without any setting.
    pub fn bare(self) -> Binary {
        Binary::new(self.0)
    }

    /// Returns a command line that asks an endpoint.
    pub fn asking(self, endpoint: &Endpoint) -> Binary {
        self.bare().with("NYC311_CLIENT__URL", &endpoint.url)
    }

    /// Returns a command line with a database of a test's own.
    pub fn on(self, database: &TestDatabase) -> Binary {
        self.bare().with("NYC311_DATABASE__URL", database.settings.url.expose())
    }

    /// Returns a command line with the topics and the database of a test's own.
    pub fn wired(self, topics: &Topics, database: &TestDatabase) -> Binary {
        let kafka = &topics.settings.kafka;
        self.on(database)
            .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &kafka.bootstrap_servers)
            .with("NYC311_KAFKA__RAW_TOPIC", &kafka.raw_topic)
            .with("NYC311_KAFKA__ENRICHED_TOPIC", &kafka.enriched_topic)
            .with("NYC311_KAFKA__DEAD_LETTER_TOPIC", &kafka.dead_letter_topic)
            .with("NYC311_KAFKA__GROUP_PREFIX", &kafka.group_prefix)
    }
}
