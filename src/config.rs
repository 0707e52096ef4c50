//! The settings of every command: read once at start, checked as a whole, and typed from there on.
//!
//! A setting has a path (`source.url`), an environment variable (`NYC311_SOURCE__URL`), a flag (`--source-url`, not for tokens) and a
//! place in the file (`[source] url = ...`). A flag beats the environment, which beats the file, which beats the default.
//! [`definition::DEFINITIONS`] is the one list of them, with each bound and its reason; everything else here follows it.

pub mod definition;
mod error;
mod layers;
mod print;
mod properties;
mod rules;
mod secret;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

pub use error::{SettingProblem, SettingsError};
pub use layers::{DEFAULT_FILE, Origin, Sources};
pub use print::{Effective, render as render_config};
pub use secret::Secret;

use crate::faults::Fault;
use value::Values;

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub source: SourceSettings,
    pub kafka: KafkaSettings,
    pub database: DatabaseSettings,
    pub http: HttpSettings,
    pub client: ClientSettings,
    pub poll: PollSettings,
    pub write: WriteSettings,
    pub supervision: SupervisionSettings,
    pub instance: InstanceSettings,
    pub log: LogSettings,
    pub faults: FaultSettings,
}

/// The Socrata API and the patience with it.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub url: String,
    pub app_token: Option<Secret>,
    pub page_rows: usize,
    pub columns: Vec<String>,
    pub visibility_lag: Duration,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    pub retry_max_elapsed: Duration,
    pub retry_initial_interval: Duration,
    pub retry_max_interval: Duration,
}

impl SourceSettings {
    /// Names the source in the database: the last segment of its address, without `.json`.
    pub fn dataset(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".json").unwrap_or(last)
    }
}

/// The brokers, the topics and what librdkafka is told besides.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    pub bootstrap_servers: String,
    pub raw_topic: String,
    pub enriched_topic: String,
    pub dead_letter_topic: String,
    pub group_prefix: String,
    pub partitions_per_borough: u16,
    pub transactions: bool,
    pub replication_factor: i32,
    pub retention: Duration,
    pub raw_max_record_bytes: usize,
    pub request_timeout: Duration,
    pub properties: BTreeMap<String, String>,
}

/// PostgreSQL, and how long a statement may take there.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    pub url: Secret,
    pub pool_size: usize,
    pub connect_timeout: Duration,
    pub lock_timeout: Duration,
    pub statement_timeout: Duration,
    pub copy_timeout: Duration,
}

/// The control endpoint.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    pub token: Option<Secret>,
    pub max_body_bytes: usize,
}

/// Where the commands that ask a running service find it.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    pub url: String,
}

/// When polls start and how they are held.
#[derive(Clone, Debug)]
pub struct PollSettings {
    pub interval: Option<Duration>,
    pub initial_since: Option<Timestamp>,
    pub lease: Duration,
    pub max_queued: u32,
}

/// The size of one write transaction.
#[derive(Clone, Debug)]
pub struct WriteSettings {
    pub max_rows: usize,
    pub max_bytes: usize,
    pub max_age: Duration,
}

/// Restarts, hangs and the drain.
#[derive(Clone, Debug)]
pub struct SupervisionSettings {
    pub max_restarts: u32,
    pub window: Duration,
    pub backoff_initial: Duration,
    pub backoff_max: Duration,
    pub hang_after: Duration,
    pub stalled_after: Duration,
    pub drain_timeout: Duration,
}

/// Who this process is to the brokers and to the lease of a poll.
#[derive(Clone, Debug)]
pub struct InstanceSettings {
    pub id: String,
    /// Whether a restarted process will bear the same id, so that a static group membership makes sense.
    pub stable: bool,
}

/// How the log is written.
#[derive(Clone, Debug)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: String,
}

/// Where the program breaks on purpose.
#[derive(Clone, Debug)]
pub struct FaultSettings {
    pub enabled: bool,
    pub at_start: Vec<Fault>,
}

/// One line for people or one JSON object for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The settings and, for `--print-config`, what each of them is and where it came from.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub effective: Vec<Effective>,
}

impl Settings {
    /// Reads all sources and checks every setting; an error names everything that is wrong, not only the first.
    pub fn load(sources: &Sources) -> Result<Loaded, SettingsError> {
        let (layers, mut problems) = layers::collect(sources);
        let values = Values::parse(&layers, &mut problems);
        let settings = assemble(&values);
        rules::check(&settings, &values, &mut problems);
        if problems.is_empty() {
            Ok(Loaded { effective: print::effective(&settings, &values), settings })
        } else {
            Err(SettingsError { problems })
        }
    }

    /// Builds settings from the defaults and the given `(path, value)` pairs alone, whatever the environment says.
    pub fn with(overrides: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let flags = overrides.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { flags, environment: Vec::new(), file: None, default_file: None };
        Self::load(&sources).map(|loaded| loaded.settings)
    }

    /// Reads the settings of this process: its environment, and the default file where there is one.
    pub fn from_environment() -> Result<Settings, SettingsError> {
        Self::load(&Sources::of_process(None, Vec::new())).map(|loaded| loaded.settings)
    }
}

impl Default for Settings {
    /// Takes the default of every setting, whatever the environment says.
    fn default() -> Self {
        assemble(&Values::parse(&layers::Layers::new(), &mut Vec::new()))
    }
}

macro_rules! default_of_section {
    ($($section:ty = $field:ident),* $(,)?) => {$(
        impl Default for $section {
            fn default() -> Self {
                Settings::default().$field
            }
        }
    )*};
}

default_of_section! {
    SourceSettings = source, KafkaSettings = kafka, DatabaseSettings = database, HttpSettings = http,
    ClientSettings = client, PollSettings = poll, WriteSettings = write, SupervisionSettings = supervision,
    InstanceSettings = instance, LogSettings = log, FaultSettings = faults,
}

fn assemble(values: &Values) -> Settings {
    let listen = values.address("http.listen");
    Settings {
        source: SourceSettings {
            url: values.text("source.url"),
            app_token: values.secret("source.app_token"),
            page_rows: values.size("source.page_rows"),
            columns: values.names("source.columns"),
            visibility_lag: values.duration("source.visibility_lag"),
            connect_timeout: values.duration("source.connect_timeout"),
            read_timeout: values.duration("source.read_timeout"),
            retry_max_elapsed: values.duration("source.retry_max_elapsed"),
            retry_initial_interval: values.duration("source.retry_initial_interval"),
            retry_max_interval: values.duration("source.retry_max_interval"),
        },
        kafka: KafkaSettings {
            bootstrap_servers: values.text("kafka.bootstrap_servers"),
            raw_topic: values.text("kafka.raw_topic"),
            enriched_topic: values.text("kafka.enriched_topic"),
            dead_letter_topic: values.text("kafka.dead_letter_topic"),
            group_prefix: values.text("kafka.group_prefix"),
            partitions_per_borough: values.number("kafka.partitions_per_borough"),
            transactions: values.switch("kafka.transactions"),
            replication_factor: values.number("kafka.replication_factor"),
            retention: values.duration("kafka.retention"),
            raw_max_record_bytes: values.size("kafka.raw_max_record_bytes"),
            request_timeout: values.duration("kafka.request_timeout"),
            properties: values.properties("kafka.properties"),
        },
        database: DatabaseSettings {
            url: values.secret("database.url").unwrap_or_default(),
            pool_size: values.size("database.pool_size"),
            connect_timeout: values.duration("database.connect_timeout"),
            lock_timeout: values.duration("database.lock_timeout"),
            statement_timeout: values.duration("database.statement_timeout"),
            copy_timeout: values.duration("database.copy_timeout"),
        },
        http: HttpSettings {
            listen,
            token: values.secret("http.token"),
            max_body_bytes: values.size("http.max_body_bytes"),
        },
        client: ClientSettings { url: values.text("client.url").trim_end_matches('/').to_owned() },
        poll: PollSettings {
            interval: values.optional_duration("poll.interval"),
            initial_since: values.time("poll.initial_since"),
            lease: values.duration("poll.lease"),
            max_queued: values.number("poll.max_queued"),
        },
        write: WriteSettings {
            max_rows: values.size("write.max_rows"),
            max_bytes: values.size("write.max_bytes"),
            max_age: values.duration("write.max_age"),
        },
        supervision: SupervisionSettings {
            max_restarts: values.number("supervision.max_restarts"),
            window: values.duration("supervision.window"),
            backoff_initial: values.duration("supervision.backoff_initial"),
            backoff_max: values.duration("supervision.backoff_max"),
            hang_after: values.duration("supervision.hang_after"),
            stalled_after: values.duration("supervision.stalled_after"),
            drain_timeout: values.duration("supervision.drain_timeout"),
        },
        instance: instance(values, listen),
        log: LogSettings {
            format: if values.text("log.format") == "json" { LogFormat::Json } else { LogFormat::Text },
            level: values.text("log.level"),
        },
        faults: FaultSettings {
            enabled: values.switch("faults.enabled"),
            at_start: values.faults("faults.at_start"),
        },
    }
}

/// Names the process after its host and its port, which no two processes of one host share. A port that the system
/// chooses is another one after a restart, so such a process gets a random name and no static membership.
fn instance(values: &Values, listen: SocketAddr) -> InstanceSettings {
    let stated = values.text("instance.id");
    if !stated.is_empty() {
        return InstanceSettings { id: stated, stable: true };
    }
    let host = hostname();
    match listen.port() {
        0 => InstanceSettings { id: format!("{host}-{:08x}", fastrand::u32(..)), stable: false },
        port => InstanceSettings { id: format!("{host}-{port}"), stable: true },
    }
}

/// Returns the name of this machine.
pub fn hostname() -> String {
    let stated = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_default();
    let clean: String =
        stated.trim().chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
    if clean.is_empty() { "localhost".to_owned() } else { clean }
}

#[cfg(test)]
mod tests;
