//! The settings of every command: read once at start, checked as a whole, and typed from there on.
//!
//! A setting has a path (`source.url`), an environment variable (`NYC311_SOURCE__URL`), a flag
//! (`--source-url`, not for tokens) and a place in the file (`[source] url = ...`). A flag beats the
//! environment, which beats the file, which beats the default.
//!
//! Each setting is declared once, in the file of its section (`config/source.rs`), with type, default, bound,
//! meaning and reason; everything else here follows it. [`sections`] lists the sections.

mod client;
mod database;
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
mod poll;
mod print;
mod properties;
mod reading;
mod rules;
mod secret;
mod section;
pub mod sections;
mod source;
mod supervision;
mod unit;
mod write;
mod written;

pub use client::ClientSettings;
pub use database::{DatabaseSettings, LONGEST_CONNECT};
pub use error::{SettingProblem, SettingsError};
pub use faults::FaultSettings;
pub use http::HttpSettings;
pub use instance::{InstanceSettings, hostname};
pub use kafka::KafkaSettings;
pub use layers::{DEFAULT_FILE, Sources};
pub use log::{LogFormat, LogSettings};
pub use origin::SettingOrigin;
pub use poll::PollSettings;
pub use print::render as render_config;
pub use reading::Effective;
pub use secret::Secret;
pub use sections::Settings;
pub use source::SourceSettings;
pub use supervision::SupervisionSettings;
pub use write::WriteSettings;

use reading::Reading;
use section::Section as _;

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
