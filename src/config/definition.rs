//! The one list of settings: path, form, bounds, default, meaning, and why a bound is where it is.

use std::fmt;
use std::time::Duration;

use crate::faults;

/// One setting.
#[derive(Debug)]
pub struct Definition {
    pub path: &'static str,
    pub kind: Kind,
    /// As an operator would write it; empty where there is none.
    pub default: &'static str,
    pub meaning: &'static str,
    /// Why the bound is where it is, or what the form protects.
    pub reason: &'static str,
}

/// The form of a value, with its bounds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// A name that Kafka takes for a topic or a group.
    KafkaName,
    /// The same, but it may be left out.
    OptionalKafkaName,
    HttpUrl,
    DatabaseUrl,
    /// Text that is never shown and has no flag, since flags can be read by every user of the machine.
    Secret,
    Names,
    Count {
        min: i64,
        max: i64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    OptionalDuration {
        min: Duration,
        max: Duration,
    },
    Size {
        min: u64,
        max: u64,
    },
    Switch,
    OptionalTime,
    Address,
    Choice(&'static [&'static str]),
    LogFilter,
    Properties,
    /// Faults at points of the program, or none.
    Faults,
}

impl Kind {
    /// Says what to write.
    pub fn form(&self) -> String {
        match self {
            Kind::Text => "a text".to_owned(),
            Kind::KafkaName | Kind::OptionalKafkaName => {
                "1 to 200 of the letters a-z, A-Z, 0-9, `.`, `_` and `-`".to_owned()
            }
            Kind::HttpUrl => "an address that starts with http:// or https://".to_owned(),
            Kind::DatabaseUrl => "`postgresql://user:password@host:port/database`".to_owned(),
            Kind::Secret => "a text of printable ASCII without blanks".to_owned(),
            Kind::Names => "names, separated by commas".to_owned(),
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Duration { min, max } => {
                format!("a duration from {} to {}, as 100ms, 30s or 1h", Short(*min), Short(*max))
            }
            Kind::OptionalDuration { min, max } => {
                format!("a duration from {} to {}, as 90s or 1h, or `none`", Short(*min), Short(*max))
            }
            Kind::Size { min, max } => {
                format!("a size from {} to {}, as 64KiB or 16MiB", size(*min), size(*max))
            }
            Kind::Switch => "`true` or `false`".to_owned(),
            Kind::OptionalTime => {
                "a time as 2026-01-31T00:00:00Z, a date as 2026-01-31 (midnight in New York), or `none`"
                    .to_owned()
            }
            Kind::Address => "an IP address and a port, as 127.0.0.1:8311 or [::]:8311".to_owned(),
            Kind::Choice(choices) => {
                choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(" or ")
            }
            Kind::LogFilter => {
                "error, warn, info, debug or trace, for parts of the program too: `info,nyc311::kafka=debug`"
                    .to_owned()
            }
            Kind::Properties => "a JSON object of names and values; in the file, a table".to_owned(),
            Kind::Faults => faults::FORM.to_owned(),
        }
    }
}

/// Writes a duration in the greatest unit that shows it exactly.
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let unit = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .into_iter()
            .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
        match unit {
            Some((unit, name)) => write!(formatter, "{}{name}", millis / unit),
            None if millis == 0 => formatter.write_str("0s"),
            None => write!(formatter, "{millis}ms"),
        }
    }
}

/// Writes a size in the greatest unit that shows it exactly.
pub fn size(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift))
        .map_or_else(|| format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

impl Definition {
    /// `source.url` is `NYC311_SOURCE__URL`.
    pub fn variable(&self) -> String {
        format!("NYC311_{}", self.path.replace('.', "__").to_uppercase())
    }

    /// The variable that names a file to read the value from, for secrets.
    pub fn file_variable(&self) -> Option<String> {
        matches!(self.kind, Kind::Secret | Kind::DatabaseUrl).then(|| format!("{}_FILE", self.variable()))
    }

    /// `source.page_rows` is `--source-page-rows`.
    pub fn flag(&self) -> String {
        format!("--{}", self.path.replace(['.', '_'], "-"))
    }

    /// Whether the value may be given as a flag.
    pub fn has_flag(&self) -> bool {
        !matches!(self.kind, Kind::Secret)
    }
}

/// Finds a setting by its path.
pub fn find(path: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.path == path)
}

/// Lists the sections in the order of [`DEFINITIONS`].
pub fn sections() -> impl Iterator<Item = &'static str> {
    let heads = DEFINITIONS.iter().filter_map(|definition| definition.path.split('.').next());
    let mut last = "";
    heads.filter(move |head| std::mem::replace(&mut last, head) != *head)
}

/// Whether settings lie under this path.
pub fn is_section(path: &str) -> bool {
    DEFINITIONS
        .iter()
        .any(|definition| definition.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Every setting there is.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        path: "source.url",
        kind: Kind::HttpUrl,
        default: "https://data.cityofnewyork.us/resource/erm2-nwe9.json",
        meaning: "The Socrata resource to poll; its last segment names the source in the database.",
        reason: "Another source needs a database of its own, or its cursor would be taken for this one's.",
    },
    Definition {
        path: "source.app_token",
        kind: Kind::Secret,
        default: "",
        meaning: "Sent as `X-App-Token`; without one the service throttles by address.",
        reason: "It travels in a header, which takes no other characters.",
    },
    Definition {
        path: "source.page_rows",
        kind: Kind::Count { min: 1, max: 50_000 },
        default: "10000",
        meaning: "Rows asked for at a time (`$limit`).",
        reason: "A page is held in memory at about 1.3 KB a row, and the service answers at most 50,000.",
    },
    Definition {
        path: "source.columns",
        kind: Kind::Names,
        default: "",
        meaning: "The columns to ask for; none means all (`:*,*`). `unique_key` and `created_date` always come, and so do all system fields, unless some are named: then only these.",
        reason: "A name of the dataset is lower case letters, digits and `_`; of the system fields `:id`, `:updated_at`, `:version` and `:created_at` are needed. On some portals `:*` takes minutes: `*,:id,:updated_at,:version,:created_at` asks for no more than is used.",
    },
    Definition {
        path: "source.visibility_lag",
        kind: Kind::Duration { min: seconds(0), max: hours(48) },
        default: "2h",
        meaning: "How far the durable cursor stays behind the clock of the answer.",
        reason: "Rows become visible minutes after the time they are stamped with; above two days every poll reads whole nights again.",
    },
    Definition {
        path: "source.connect_timeout",
        kind: Kind::Duration { min: millis(100), max: seconds(300) },
        default: "10s",
        meaning: "How long a connection to the source may take.",
        reason: "A poll that waits longer for a connection only hides that the source is away.",
    },
    Definition {
        path: "source.read_timeout",
        kind: Kind::Duration { min: millis(100), max: hours(1) },
        default: "5m",
        meaning: "How long the source may be silent within an answer.",
        reason: "A large page may take minutes to begin; beyond an hour a dead connection is not noticed.",
    },
    Definition {
        path: "source.retry_max_elapsed",
        kind: Kind::Duration { min: seconds(0), max: hours(24) },
        default: "10m",
        meaning: "How long one page is tried again before the poll fails with its cursor kept.",
        reason: "Beyond a day the next scheduled poll would be waiting behind this one.",
    },
    Definition {
        path: "source.retry_initial_interval",
        kind: Kind::Duration { min: millis(1), max: seconds(60) },
        default: "500ms",
        meaning: "The first pause before a page is tried again; it doubles, with jitter.",
        reason: "Without a pause a failing source is hammered.",
    },
    Definition {
        path: "source.retry_max_interval",
        kind: Kind::Duration { min: millis(1), max: hours(1) },
        default: "60s",
        meaning: "The longest pause before a page is tried again; `Retry-After` may ask for more.",
        reason: "Must not be below source.retry_initial_interval, where the pauses start.",
    },
    Definition {
        path: "kafka.bootstrap_servers",
        kind: Kind::Text,
        default: "127.0.0.1:9092",
        meaning: "Brokers to ask first, `host:port`, separated by commas.",
        reason: "Without a broker there is no pipeline.",
    },
    Definition {
        path: "kafka.raw_topic",
        kind: Kind::KafkaName,
        default: "nyc311.raw",
        meaning: "The topic of the rows as the source sent them.",
        reason: "Kafka takes no other letters; the three topics must differ, since their records do.",
    },
    Definition {
        path: "kafka.enriched_topic",
        kind: Kind::KafkaName,
        default: "nyc311.enriched",
        meaning: "The topic of the cleaned and typed rows.",
        reason: "Kafka takes no other letters; the three topics must differ, since their records do.",
    },
    Definition {
        path: "kafka.dead_letter_topic",
        kind: Kind::KafkaName,
        default: "nyc311.dead_letter",
        meaning: "The topic of the rows that enrichment cannot use.",
        reason: "Kafka takes no other letters; the three topics must differ, since their records do.",
    },
    Definition {
        path: "kafka.group_prefix",
        kind: Kind::KafkaName,
        default: "nyc311",
        meaning: "Groups are `{prefix}-enricher` and `{prefix}-writer`; transactional ids begin with it.",
        reason: "Kafka takes no other letters; two deployments on one cluster need two prefixes, or they fence each other.",
    },
    Definition {
        path: "kafka.partitions_per_borough",
        kind: Kind::Count { min: 1, max: 100 },
        default: "1",
        meaning: "Partitions of each topic for each borough.",
        reason: "Each has a producer and a worker of its own, so memory grows with it; it cannot change while the topics exist.",
    },
    Definition {
        path: "kafka.transactions",
        kind: Kind::Switch,
        default: "true",
        meaning: "Whether offsets and enriched records are committed in one transaction.",
        reason: "Turn it off only for a broker without transactions: raw to enriched is then at-least-once.",
    },
    Definition {
        path: "kafka.replication_factor",
        kind: Kind::Count { min: -1, max: 10 },
        default: "-1",
        meaning: "Replicas of the topics that are created at start; -1 takes the broker's default.",
        reason: "More replicas than brokers cannot be created; 0 is no number of replicas.",
    },
    Definition {
        path: "kafka.retention",
        kind: Kind::Duration { min: hours(1), max: hours(24 * 365 * 10) },
        default: "7d",
        meaning: "How long the topics that are created at start keep their records.",
        reason: "Below an hour a writer that was away for lunch would find its position deleted.",
    },
    Definition {
        path: "kafka.raw_max_record_bytes",
        kind: Kind::Size { min: 16 * KIB, max: 8 * MIB },
        default: "1MiB",
        meaning: "The largest record of the raw topic; a row of more than this less 1 KiB, which is for key, headers and framing, becomes a dead letter.",
        reason: "Real rows have 2 KiB; the brokers must accept the size (`message.max.bytes`), and several wait in memory.",
    },
    Definition {
        path: "kafka.request_timeout",
        kind: Kind::Duration { min: seconds(1), max: seconds(300) },
        default: "30s",
        meaning: "How long a request to the brokers may take before they count as away.",
        reason: "Below a second a leader election looks like an outage; above five minutes an outage looks like patience.",
    },
    Definition {
        path: "kafka.properties",
        kind: Kind::Properties,
        default: "{}",
        meaning: "Anything else for librdkafka (`session.timeout.ms`, `sasl.*`, ...); it overrides this program's defaults.",
        reason: "Those that delivery rests on (offsets, groups, transactions, acknowledgement) and those that need TLS are refused by name.",
    },
    Definition {
        path: "database.url",
        kind: Kind::DatabaseUrl,
        default: "postgresql://nyc311@127.0.0.1:5432/nyc311",
        meaning: "The PostgreSQL database; its user owns the schema `nyc311`.",
        reason: "It may hold a password, so it is never shown whole; `sslmode=require` is refused, since there is no TLS to PostgreSQL.",
    },
    Definition {
        path: "database.pool_size",
        kind: Kind::Count { min: 4, max: 100 },
        default: "8",
        meaning: "Connections at most.",
        reason: "Poller, writer, lease and control endpoint need one each; PostgreSQL gives 100 by default.",
    },
    Definition {
        path: "database.connect_timeout",
        kind: Kind::Duration { min: millis(100), max: seconds(60) },
        default: "5s",
        meaning: "How long an address of the server may take to connect; all addresses and the sign-in together have a second more. Waiting for a free connection of the pool is bounded by `database.statement_timeout` instead.",
        reason: "The control endpoint answers 503 ten seconds after it at the latest, and callers have time limits of their own.",
    },
    Definition {
        path: "database.lock_timeout",
        kind: Kind::Duration { min: millis(100), max: seconds(300) },
        default: "10s",
        meaning: "How long a statement may wait for a lock.",
        reason: "Longer waits are left to the retry, which shows in the metrics.",
    },
    Definition {
        path: "database.statement_timeout",
        kind: Kind::Duration { min: seconds(1), max: hours(1) },
        default: "2m",
        meaning: "How long one statement may take.",
        reason: "A batch takes seconds; a statement that needs an hour has lost its connection.",
    },
    Definition {
        path: "database.copy_timeout",
        kind: Kind::Duration { min: seconds(1), max: hours(1) },
        default: "2m",
        meaning: "How long the COPY of one batch may take.",
        reason: "PostgreSQL's own statement timeout does not bind COPY, so this side keeps the time.",
    },
    Definition {
        path: "http.listen",
        kind: Kind::Address,
        default: "127.0.0.1:8311",
        meaning: "The address of the control endpoint; port 0 lets the system choose.",
        reason: "Any address but loopback needs http.token, since whoever reaches it could start polls.",
    },
    Definition {
        path: "http.token",
        kind: Kind::Secret,
        default: "",
        meaning: "The bearer token of the control endpoint, also sent by the commands that ask it.",
        reason: "It travels in a header, which takes no other characters; at least 16 of them, or it can be guessed.",
    },
    Definition {
        path: "http.max_body_bytes",
        kind: Kind::Size { min: KIB, max: 16 * MIB },
        default: "64KiB",
        meaning: "The largest request body.",
        reason: "The largest honest body has a few hundred bytes.",
    },
    Definition {
        path: "client.url",
        kind: Kind::HttpUrl,
        default: "http://127.0.0.1:8311",
        meaning: "Where `poll`, `status` and `health` find the service.",
        reason: "They speak HTTP.",
    },
    Definition {
        path: "poll.interval",
        kind: Kind::OptionalDuration { min: seconds(1), max: hours(24 * 31) },
        default: "none",
        meaning: "Starts a poll by itself that often, for those without a scheduler.",
        reason: "The source publishes once a night; below a second polls would only queue.",
    },
    Definition {
        path: "poll.initial_since",
        kind: Kind::OptionalTime,
        default: "none",
        meaning: "Where the first poll of a new database starts; none takes the whole history, which are some 22 million rows of the city.",
        reason: "It is compared with `:updated_at`, and only while there is no durable cursor.",
    },
    Definition {
        path: "poll.lease",
        kind: Kind::Duration { min: seconds(1), max: seconds(600) },
        default: "15s",
        meaning: "How long a silent process keeps the running poll before another may take it.",
        reason: "Renewed at a third of it: below a second a slow commit loses it, above ten minutes a dead process holds everything up.",
    },
    Definition {
        path: "poll.max_queued",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: "100",
        meaning: "Polls that may wait; one more is answered 429.",
        reason: "One runs at a time, so a longer queue is a scheduler gone wild.",
    },
    Definition {
        path: "write.max_rows",
        kind: Kind::Count { min: 1, max: 20_000 },
        default: "10000",
        meaning: "Rows in one write transaction at most.",
        reason: "5,000 to 20,000 cost the same per row; more only adds memory and lock time.",
    },
    Definition {
        path: "write.max_bytes",
        kind: Kind::Size { min: MIB, max: 256 * MIB },
        default: "16MiB",
        meaning: "Bytes in one write transaction at most.",
        reason: "Batches in flight are held in memory; one must hold the largest record (kafka.raw_max_record_bytes).",
    },
    Definition {
        path: "write.max_age",
        kind: Kind::Duration { min: millis(1), max: seconds(60) },
        default: "100ms",
        meaning: "How long a row waits for others before it is written.",
        reason: "Above a minute polls would wait for their own last rows.",
    },
    Definition {
        path: "supervision.max_restarts",
        kind: Kind::Count { min: 1, max: 1000 },
        default: "10",
        meaning: "Restarts within the window before the process gives up (exit code 70 or 71).",
        reason: "With none a single fault would end the process; a thousand is a loop.",
    },
    Definition {
        path: "supervision.window",
        kind: Kind::Duration { min: seconds(1), max: hours(24) },
        default: "2m",
        meaning: "The window in which restarts are counted.",
        reason: "Shorter than the back-offs of supervision.max_restarts together it would never fill.",
    },
    Definition {
        path: "supervision.backoff_initial",
        kind: Kind::Duration { min: millis(1), max: seconds(60) },
        default: "100ms",
        meaning: "The first delay before a stage is rebuilt; it doubles, with jitter.",
        reason: "Without a delay a crash loop takes the machine.",
    },
    Definition {
        path: "supervision.backoff_max",
        kind: Kind::Duration { min: millis(1), max: seconds(600) },
        default: "10s",
        meaning: "The longest delay before a stage is rebuilt.",
        reason: "Must not be below supervision.backoff_initial, where the delays start.",
    },
    Definition {
        path: "supervision.hang_after",
        kind: Kind::Duration { min: millis(100), max: hours(1) },
        default: "20s",
        meaning: "How long a thread may stand still before its stage is rebuilt, or, where nothing can take its place, \
                  the process ends (exit code 71).",
        reason: "Below 100 ms a busy machine looks like a hang.",
    },
    Definition {
        path: "supervision.stalled_after",
        kind: Kind::Duration { min: seconds(1), max: hours(1) },
        default: "15s",
        meaning: "How long a partition with records to read may stand still, while nothing that it waits for is away, \
                  before it is opened anew; after twice as long its stage is rebuilt, after three times the process \
                  ends (exit code 71).",
        reason: "Below a second an ordinary transaction looks like a stall.",
    },
    Definition {
        path: "supervision.drain_timeout",
        kind: Kind::Duration { min: seconds(1), max: seconds(600) },
        default: "25s",
        meaning: "How long the drain after SIGTERM may take.",
        reason: "Orchestrators kill after 30 s by default.",
    },
    Definition {
        path: "instance.id",
        kind: Kind::OptionalKafkaName,
        default: "",
        meaning: "The name of this process, the same after a restart; none takes host name and port of http.listen.",
        reason: "It names the member of a group in Kafka, and the lease of a poll is taken back by it.",
    },
    Definition {
        path: "log.format",
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        meaning: "Lines for people or JSON objects for machines, on stderr.",
        reason: "There are two.",
    },
    Definition {
        path: "log.level",
        kind: Kind::LogFilter,
        default: "info",
        meaning: "What is logged. The web framework's own lines come only if `actix_server` is named.",
        reason: "A filter that cannot be read would silence the log.",
    },
    Definition {
        path: "faults.enabled",
        kind: Kind::Switch,
        default: "false",
        meaning: "Whether faults may be armed, for tests of crashes.",
        reason: "A process that serves anybody is not to be broken by a setting alone.",
    },
    Definition {
        path: "faults.at_start",
        kind: Kind::Faults,
        default: "",
        meaning: "Where the program breaks, and how, from its start on; `src/faults/point.rs` lists the points.",
        reason: "Refused unless faults.enabled is set; a point that does not exist would never be reached.",
    },
];
