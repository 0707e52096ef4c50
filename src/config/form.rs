//! The forms of values: what may be written, which type it is read as, and how it is shown.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;
use nyc311_notation::parse_instant;
use nyc311_notation::quantity::parse_duration;

use super::secret::{HIDDEN, Secret};
use super::unit::{self, Short};
use super::written::Written;

mod address;
mod name;

pub use self::address::{Address, DatabaseUrl, HttpUrl, OptionalServiceUrl};
pub use self::name::{KafkaName, Names, OptionalKafkaName};

/// Who may see a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    Open,
    /// An address that may hold a password: without it, it may be shown and given as a flag.
    Address,
    /// Never shown, and without a flag.
    Token,
}

/// What a value looks like in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Value,
    List,
    Table,
}

/// What is known of a form without its type.
pub trait Described: Sync {
    /// Says what to write.
    fn allowed(&self) -> String;

    fn secrecy(&self) -> Secrecy {
        Secrecy::Open
    }

    fn shape(&self) -> Shape {
        Shape::Value
    }

    /// Shows what was written in an error, or that it is a secret.
    fn hidden(&self, written: &Written) -> String {
        match written {
            _ if self.secrecy() != Secrecy::Open => HIDDEN.to_owned(),
            Written::Text(text) => text.clone(),
            Written::List(items) => items.join(","),
            // Which of the values is a secret is not certain where something is wrong.
            Written::Table(table) => names_alone(table.keys()),
        }
    }
}

/// Shows a table in an error by its names alone.
pub fn names_alone<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("{name}={HIDDEN}")).collect::<Vec<_>>().join(",")
}

/// A form that is read as `T`.
pub trait Form<T>: Described {
    /// Reads what was written; the error says what is wrong with it, as a sentence about the setting goes on.
    fn read(&self, written: &Written) -> Result<T, String>;

    /// Shows a value; none where there is none.
    fn shown(&self, value: &T) -> Option<Shown>;
}

/// A value as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// In quotes in TOML.
    Text(String),
    /// The same in TOML as elsewhere.
    Bare(String),
    List(Vec<String>),
    Table(Vec<(String, String)>),
}

impl Shown {
    /// Writes the value as TOML, on one line.
    pub fn toml(&self) -> String {
        // A text of JSON is one of TOML too, and always one line.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Shown::Text(text) => quoted(text),
            Shown::Bare(text) => text.clone(),
            Shown::List(items) => toml::Value::from(items.clone()).to_string(),
            Shown::Table(entries) if entries.is_empty() => "{}".to_owned(),
            Shown::Table(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }

    /// Writes the value as a flag would take it; none for a list without items.
    pub fn plain(self) -> Option<String> {
        match self {
            Shown::Text(text) | Shown::Bare(text) => Some(text),
            Shown::List(items) if items.is_empty() => None,
            Shown::List(items) => Some(items.join(",")),
            table @ Shown::Table(_) => Some(table.toml()),
        }
    }
}

fn text(value: &str) -> Option<Shown> {
    Some(Shown::Text(value.to_owned()))
}

fn beyond(below: bool, min: impl Display, max: impl Display) -> String {
    if below { format!("is below {min}") } else { format!("is above {max}") }
}

fn is_none(text: &str) -> bool {
    text.is_empty() || text == "none"
}

/// Any text that is not empty.
pub struct Text;

impl Described for Text {
    fn allowed(&self) -> String {
        "a text".to_owned()
    }
}

impl Form<String> for Text {
    fn read(&self, written: &Written) -> Result<String, String> {
        match written.text()? {
            "" => Err("is empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn shown(&self, value: &String) -> Option<Shown> {
        text(value)
    }
}

/// The path of a file, or nothing.
pub struct OptionalPath;

impl Described for OptionalPath {
    fn allowed(&self) -> String {
        "the path of a file in PEM, or `none`".to_owned()
    }
}

impl Form<Option<PathBuf>> for OptionalPath {
    fn read(&self, written: &Written) -> Result<Option<PathBuf>, String> {
        let text = written.text()?;
        Ok((!is_none(text)).then(|| text.into()))
    }

    fn shown(&self, value: &Option<PathBuf>) -> Option<Shown> {
        value.as_ref().and_then(|path| text(&path.to_string_lossy()))
    }
}

/// Text that is never shown and has no flag, since flags can be read by every user of the machine.
pub struct Token;

impl Described for Token {
    fn allowed(&self) -> String {
        "a text of printable ASCII without blanks".to_owned()
    }

    fn secrecy(&self) -> Secrecy {
        Secrecy::Token
    }
}

impl Form<Option<Secret>> for Token {
    fn read(&self, written: &Written) -> Result<Option<Secret>, String> {
        match written.text()? {
            "" => Ok(None),
            text if text.chars().all(|c| c.is_ascii_graphic()) => Ok(Some(Secret::new(text))),
            _ => Err("has characters that cannot travel in a header".to_owned()),
        }
    }

    fn shown(&self, value: &Option<Secret>) -> Option<Shown> {
        value.as_ref().and_then(|_| text(HIDDEN))
    }
}

/// A whole number within bounds.
pub struct Count<T>(pub RangeInclusive<T>);

impl<T: Display + Sync> Described for Count<T> {
    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }
}

impl<T: TryFrom<i64> + PartialOrd + Display + Debug + Sync> Form<T> for Count<T> {
    fn read(&self, written: &Written) -> Result<T, String> {
        let Ok(number) = written.text()?.replace('_', "").parse::<i64>() else {
            return Err("is not a whole number".to_owned());
        };
        match T::try_from(number) {
            Ok(number) if self.0.contains(&number) => Ok(number),
            Ok(number) => Err(beyond(number < *self.0.start(), self.0.start(), self.0.end())),
            // What the type cannot hold is beyond the bounds on the side of its sign.
            Err(_) => Err(beyond(number < 0, self.0.start(), self.0.end())),
        }
    }

    fn shown(&self, value: &T) -> Option<Shown> {
        Some(Shown::Bare(value.to_string()))
    }
}

/// A duration within bounds.
pub struct Span(pub RangeInclusive<Duration>);

impl Described for Span {
    fn allowed(&self) -> String {
        format!("a duration from {} to {}, as 100ms, 30s or 1h", Short(*self.0.start()), Short(*self.0.end()))
    }
}

impl Form<Duration> for Span {
    fn read(&self, written: &Written) -> Result<Duration, String> {
        duration(written.text()?, &self.0)
    }

    fn shown(&self, value: &Duration) -> Option<Shown> {
        text(&Short(*value).to_string())
    }
}

/// A duration within bounds, or `none`.
pub struct OptionalSpan(pub RangeInclusive<Duration>);

impl Described for OptionalSpan {
    fn allowed(&self) -> String {
        let (min, max) = (Short(*self.0.start()), Short(*self.0.end()));
        format!("a duration from {min} to {max}, as 90s or 1h, or `none`")
    }
}

impl Form<Option<Duration>> for OptionalSpan {
    fn read(&self, written: &Written) -> Result<Option<Duration>, String> {
        match written.text()? {
            text if is_none(text) => Ok(None),
            text => duration(text, &self.0).map(Some),
        }
    }

    fn shown(&self, value: &Option<Duration>) -> Option<Shown> {
        value.and_then(|value| text(&Short(value).to_string()))
    }
}

fn duration(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) if bounds.contains(&duration) => Ok(duration),
        Ok(duration) => Err(beyond(duration < *bounds.start(), Short(*bounds.start()), Short(*bounds.end()))),
        Err(error) => Err(error.to_string()),
    }
}

/// A number of bytes within bounds.
pub struct Size(pub RangeInclusive<usize>);

impl Described for Size {
    fn allowed(&self) -> String {
        let (min, max) = (unit::size(*self.0.start()), unit::size(*self.0.end()));
        format!("a size from {min} to {max}, as 64KiB or 16MiB")
    }
}

impl Form<usize> for Size {
    fn read(&self, written: &Written) -> Result<usize, String> {
        let size = ByteSize::from_str(written.text()?).map_err(|_| "is not a size".to_owned())?;
        let (min, max) = (unit::size(*self.0.start()), unit::size(*self.0.end()));
        match usize::try_from(size.0) {
            Ok(size) if self.0.contains(&size) => Ok(size),
            Ok(size) => Err(beyond(size < *self.0.start(), min, max)),
            Err(_) => Err(beyond(false, min, max)),
        }
    }

    fn shown(&self, value: &usize) -> Option<Shown> {
        text(&unit::size(*value))
    }
}

/// `true` or `false`.
pub struct Switch;

impl Described for Switch {
    fn allowed(&self) -> String {
        "`true` or `false`".to_owned()
    }
}

impl Form<bool> for Switch {
    fn read(&self, written: &Written) -> Result<bool, String> {
        match written.text()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("is neither `true` nor `false`".to_owned()),
        }
    }

    fn shown(&self, value: &bool) -> Option<Shown> {
        Some(Shown::Bare(value.to_string()))
    }
}

/// A moment, or `none`.
pub struct OptionalTime;

impl Described for OptionalTime {
    fn allowed(&self) -> String {
        "a time as 2026-01-31T00:00:00Z, a date as 2026-01-31 (midnight in New York), or `none`".to_owned()
    }
}

impl Form<Option<Timestamp>> for OptionalTime {
    fn read(&self, written: &Written) -> Result<Option<Timestamp>, String> {
        match written.text()? {
            text if is_none(text) => Ok(None),
            text => parse_instant(text).map(Some).map_err(|error| error.to_string()),
        }
    }

    fn shown(&self, value: &Option<Timestamp>) -> Option<Shown> {
        value.and_then(|value| text(&value.to_string()))
    }
}

/// One of some words, each of which stands for a value.
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Sync> Described for Choice<T> {
    fn allowed(&self) -> String {
        self.0.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
    }
}

impl<T: Copy + PartialEq + Sync> Form<T> for Choice<T> {
    fn read(&self, written: &Written) -> Result<T, String> {
        let text = written.text()?;
        let chosen = self.0.iter().find(|(word, _)| *word == text);
        chosen.map(|(_, value)| *value).ok_or_else(|| "is none of the choices".to_owned())
    }

    fn shown(&self, value: &T) -> Option<Shown> {
        self.0.iter().find(|(_, known)| known == value).and_then(|(word, _)| text(word))
    }
}

/// What is logged, of which parts of the program.
pub struct LogFilter;

impl Described for LogFilter {
    fn allowed(&self) -> String {
        "error, warn, info, debug or trace, for parts of the program too: `info,nyc311::kafka=debug`"
            .to_owned()
    }
}

impl Form<String> for LogFilter {
    fn read(&self, written: &Written) -> Result<String, String> {
        let text = written.text()?;
        match text.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) if !text.is_empty() => Ok(text.to_owned()),
            Ok(_) => Err("is empty".to_owned()),
            Err(_) => Err("is not a filter of the log".to_owned()),
        }
    }

    fn shown(&self, value: &String) -> Option<Shown> {
        text(value)
    }
}
