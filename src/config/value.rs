//! Turns what was written into typed values, and says what is wrong with those that cannot be.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use nyc311_notation::parse_instant;
use nyc311_notation::quantity::parse_duration;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use super::definition::{DEFINITIONS, Definition, Kind};
use super::error::SettingProblem;
use super::layers::{Layers, Origin, Written};
use super::secret::Secret;
use crate::faults::{self, Fault};

/// A setting's value in the form that its [`Kind`] promises.
#[derive(Clone, Debug)]
pub enum Value {
    Absent,
    Text(String),
    Secret(Secret),
    Names(Vec<String>),
    Number(i64),
    Size(u64),
    Duration(Duration),
    Switch(bool),
    Time(Timestamp),
    Address(SocketAddr),
    Properties(BTreeMap<String, String>),
    Faults(Vec<Fault>),
}

/// A value and who said it.
#[derive(Debug)]
pub struct Valued {
    pub value: Value,
    pub origin: Origin,
    /// As it was written, for errors; `***` for a secret.
    pub shown: Option<String>,
    /// Whether the value is the default only because the written one is wrong.
    pub wrong: bool,
}

/// The value of every setting.
#[derive(Debug)]
pub struct Values(BTreeMap<&'static str, Valued>);

impl Values {
    /// Parses every setting. A wrong one is a problem, and its default stands in so that the other rules can still be checked.
    pub fn parse(layers: &Layers, problems: &mut Vec<SettingProblem>) -> Self {
        let mut values = BTreeMap::new();
        for definition in DEFINITIONS {
            let default =
                || parse(definition, &Written::Text(definition.default.to_owned())).unwrap_or(Value::Absent);
            let valued = match layers.get(definition.path) {
                None => Valued { value: default(), origin: Origin::Default, shown: None, wrong: false },
                Some((written, origin)) => {
                    let shown = Some(written.shown(definition));
                    match parse(definition, written) {
                        Ok(value) => Valued { value, origin: origin.clone(), shown, wrong: false },
                        Err(detail) => {
                            problems.push(SettingProblem {
                                path: definition.path.to_owned(),
                                value: shown.clone(),
                                origin: origin.clone(),
                                detail,
                                remedy: format!("write {}. {}", definition.kind.form(), definition.reason),
                            });
                            Valued { value: default(), origin: origin.clone(), shown, wrong: true }
                        }
                    }
                }
            };
            values.insert(definition.path, valued);
        }
        Self(values)
    }

    pub fn get(&self, path: &str) -> Option<&Valued> {
        self.0.get(path)
    }

    fn value(&self, path: &str) -> Value {
        self.0.get(path).map_or(Value::Absent, |valued| valued.value.clone())
    }

    pub fn text(&self, path: &str) -> String {
        if let Value::Text(text) = self.value(path) { text } else { String::new() }
    }

    pub fn secret(&self, path: &str) -> Option<Secret> {
        if let Value::Secret(secret) = self.value(path) { Some(secret) } else { None }
    }

    pub fn names(&self, path: &str) -> Vec<String> {
        if let Value::Names(names) = self.value(path) { names } else { Vec::new() }
    }

    /// Reads a whole number; its bounds make it fit the type that asks.
    pub fn number<T: TryFrom<i64> + Default>(&self, path: &str) -> T {
        if let Value::Number(number) = self.value(path) {
            T::try_from(number).unwrap_or_default()
        } else {
            T::default()
        }
    }

    /// Reads a size or a number of things that is held in memory.
    pub fn size(&self, path: &str) -> usize {
        match self.value(path) {
            Value::Size(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            Value::Number(number) => usize::try_from(number).unwrap_or_default(),
            _ => 0,
        }
    }

    pub fn duration(&self, path: &str) -> Duration {
        self.optional_duration(path).unwrap_or_default()
    }

    pub fn optional_duration(&self, path: &str) -> Option<Duration> {
        if let Value::Duration(duration) = self.value(path) { Some(duration) } else { None }
    }

    pub fn switch(&self, path: &str) -> bool {
        matches!(self.value(path), Value::Switch(true))
    }

    pub fn time(&self, path: &str) -> Option<Timestamp> {
        if let Value::Time(time) = self.value(path) { Some(time) } else { None }
    }

    pub fn address(&self, path: &str) -> SocketAddr {
        if let Value::Address(address) = self.value(path) { address } else { (Ipv4Addr::LOCALHOST, 0).into() }
    }

    pub fn faults(&self, path: &str) -> Vec<Fault> {
        if let Value::Faults(faults) = self.value(path) { faults } else { Vec::new() }
    }

    pub fn properties(&self, path: &str) -> BTreeMap<String, String> {
        if let Value::Properties(properties) = self.value(path) { properties } else { BTreeMap::new() }
    }
}

fn parse(definition: &Definition, written: &Written) -> Result<Value, String> {
    let text = match written {
        Written::Text(text) => text.trim(),
        Written::List(names) => return dataset_names(names.iter().map(String::as_str)),
        Written::Table(table) => return Ok(Value::Properties(table.clone())),
    };
    match definition.kind {
        Kind::Text if text.is_empty() => Err("is empty".to_owned()),
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::OptionalKafkaName if text.is_empty() => Ok(Value::Text(String::new())),
        Kind::KafkaName | Kind::OptionalKafkaName => kafka_name(text),
        Kind::HttpUrl => http_url(text),
        Kind::DatabaseUrl => database_url(text),
        Kind::Secret if text.is_empty() => Ok(Value::Absent),
        Kind::Secret if text.chars().all(|c| c.is_ascii_graphic()) => Ok(Value::Secret(Secret::new(text))),
        Kind::Secret => Err("has characters that cannot travel in a header".to_owned()),
        Kind::Names => dataset_names(text.split(',')),
        Kind::Count { min, max } => match text.replace('_', "").parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
            Ok(number) => Err(beyond(number < min, min, max)),
            Err(_) => Err("is not a whole number".to_owned()),
        },
        Kind::OptionalDuration { .. } if text.is_empty() || text == "none" => Ok(Value::Absent),
        Kind::Duration { min, max } | Kind::OptionalDuration { min, max } => duration(text, min, max),
        Kind::Size { min, max } => match bytesize::ByteSize::from_str(text) {
            Ok(size) if (min..=max).contains(&size.0) => Ok(Value::Size(size.0)),
            Ok(size) => Err(beyond(size.0 < min, super::definition::size(min), super::definition::size(max))),
            Err(_) => Err("is not a size".to_owned()),
        },
        Kind::Switch => match text {
            "true" => Ok(Value::Switch(true)),
            "false" => Ok(Value::Switch(false)),
            _ => Err("is neither `true` nor `false`".to_owned()),
        },
        Kind::OptionalTime if text.is_empty() || text == "none" => Ok(Value::Absent),
        Kind::OptionalTime => parse_instant(text).map(Value::Time).map_err(|error| error.to_string()),
        Kind::Address => {
            text.parse().map(Value::Address).map_err(|_| "is not an IP address with a port".to_owned())
        }
        Kind::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(_) => Err("is none of the choices".to_owned()),
        Kind::LogFilter => match text.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) if !text.is_empty() => Ok(Value::Text(text.to_owned())),
            Ok(_) => Err("is empty".to_owned()),
            Err(_) => Err("is not a filter of the log".to_owned()),
        },
        Kind::Properties => json_properties(text),
        Kind::Faults => match faults::parse(text) {
            Ok(faults) if faults.is_empty() => Ok(Value::Absent),
            Ok(faults) => Ok(Value::Faults(faults)),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn beyond(below: bool, min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    if below { format!("is below {min}") } else { format!("is above {max}") }
}

fn kafka_name(text: &str) -> Result<Value, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text {
        "" => Err("is empty".to_owned()),
        "." | ".." => Err("is a name that Kafka refuses".to_owned()),
        _ if text.len() > 200 => Err(format!("has {} letters", text.len())),
        _ => match text.chars().find(|c| !legal(*c)) {
            Some(wrong) => Err(format!("has the letter {wrong:?}")),
            None => Ok(Value::Text(text.to_owned())),
        },
    }
}

fn http_url(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    match text.split_once("://") {
        None => return Err("is an address without http:// or https:// in front".to_owned()),
        Some((scheme, _)) if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") => {
            return Err(format!("begins with {scheme}://"));
        }
        Some(_) => {}
    }
    let url = reqwest::Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user in it, which logs would show".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment".to_owned());
    }
    Ok(Value::Text(text.to_owned()))
}

fn database_url(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    // The parser's message may quote parts of the address, so it is not passed on.
    let config = tokio_postgres::Config::from_str(text).map_err(|_| {
        // Parameters that only make sense with TLS are unknown to the parser.
        let tls = ["sslmode=verify-ca", "sslmode=verify-full", "sslrootcert", "sslcert", "sslkey", "sslcrl"];
        match tls.into_iter().find(|parameter| text.contains(parameter)) {
            Some(parameter) => without_tls(parameter),
            None => "is not an address of PostgreSQL".to_owned(),
        }
    })?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(without_tls("sslmode=require"));
    }
    if config.get_ssl_negotiation() == SslNegotiation::Direct {
        return Err(without_tls("sslnegotiation=direct"));
    }
    if config.get_channel_binding() == ChannelBinding::Require {
        return Err(without_tls("channel_binding=require"));
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err("names no host".to_owned());
    }
    Ok(Value::Secret(Secret::new(text)))
}

fn without_tls(parameter: &str) -> String {
    format!(
        "has {parameter}, and there is no TLS to PostgreSQL in this build: leave it out, and let a proxy beside this program speak TLS to the server (docs/configuration.md)"
    )
}

fn dataset_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    let names: Vec<String> =
        names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':' | '@');
    let is_name = |name: &String| matches!(name.as_str(), "*" | ":*") || name.chars().all(legal);
    match names.iter().find(|name| !is_name(name)) {
        Some(wrong) => Err(format!("has {wrong:?}, which is no column name")),
        None => Ok(Value::Names(names)),
    }
}

fn duration(text: &str, min: Duration, max: Duration) -> Result<Value, String> {
    use super::definition::Short;
    match parse_duration(text) {
        Ok(duration) if (min..=max).contains(&duration) => Ok(Value::Duration(duration)),
        Ok(duration) => Err(beyond(duration < min, Short(min), Short(max))),
        Err(error) => Err(error.to_string()),
    }
}

fn json_properties(text: &str) -> Result<Value, String> {
    // The parser's message may quote a value, so only the place is passed on.
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).map_err(|error| {
        format!("is not a JSON object (line {}, column {})", error.line(), error.column())
    })?;
    let mut properties = BTreeMap::new();
    for (name, value) in object {
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(switch) => switch.to_string(),
            _ => return Err(format!("has something else than a text, a number or a switch for {name:?}")),
        };
        properties.insert(name, value);
    }
    Ok(Value::Properties(properties))
}
