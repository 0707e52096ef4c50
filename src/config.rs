//! The settings of every command: read once at start, checked as a whole, and typed from there on.
//!
//! A setting has a path (`source.url`), an environment variable (`NYC311_SOURCE__URL`), a flag
//! (`--source-url`, not for tokens) and a place in the file (`[source] url = ...`). A flag beats the
//! environment, which beats the file, which beats the default.
//!
//! Each setting is declared once, in the file of its section (`config/source.rs`), with type, default, bound,
//! meaning and reason; everything else here follows it. [`sections`] lists the sections.

mod client;
mod connection_string;
mod database;
mod database_address;
pub mod definition;
mod error;
mod faults;
mod form;
mod http;
mod instance;
mod kafka;
mod layers;
mod log;
mod origin;
mod parts;
mod poll;
mod print;
mod properties;
mod reading;
mod reconciliation;
mod rules;
mod secret;
mod secret_file;
mod section;
pub mod sections;
mod source;
mod supervision;
mod unit;
mod write;
mod written;

pub use self::client::ClientSettings;
pub use self::database::{DatabaseSettings, LONGEST_CONNECT};
pub use self::database_address::{DatabaseAddress, DatabaseTls, Roots, SslMode};
pub use self::error::{SettingProblem, SettingsError};
pub use self::faults::FaultSettings;
pub use self::http::HttpSettings;
pub use self::instance::{InstanceSettings, hostname};
pub use self::kafka::KafkaSettings;
pub use self::layers::{DEFAULT_FILE, Sources};
pub use self::log::{LogFormat, LogSettings};
pub use self::origin::SettingOrigin;
pub use self::poll::PollSettings;
pub use self::print::render as render_config;
pub use self::reading::Effective;
use self::reading::Reading;
pub use self::reconciliation::ReconciliationSettings;
pub use self::secret::Secret;
use self::section::Section as _;
pub use self::sections::Settings;
pub use self::source::SourceSettings;
pub use self::supervision::SupervisionSettings;
pub use self::write::WriteSettings;

/// The settings and, for `--print-config`, what each of them is and where it came from.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub effective: Vec<Effective>,
}

impl Settings {
    /// Reads all sources and checks every setting; an error names everything that is wrong, not only the
    /// first.
    pub fn load(sources: &Sources) -> Result<Loaded, SettingsError> {
        let (layers, mut problems) = layers::collect(sources);
        let mut reading = Reading::new(&layers);
        let settings = Settings::read(&mut reading);
        let (effective, wrong) = reading.end();
        problems.extend(wrong);
        rules::check(&settings, &effective, &mut problems);
        if problems.is_empty() { Ok(Loaded { settings, effective }) } else { Err(SettingsError { problems }) }
    }

    /// Builds settings from the defaults and the given `(path, value)` pairs alone, whatever the environment
    /// says.
    pub fn with(overrides: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let flags = overrides.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { flags, environment: Vec::new(), file: None, default_file: None };
        Self::load(&sources).map(|loaded| loaded.settings)
    }
}

#[cfg(test)]
mod tests;
