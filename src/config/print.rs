//! What `--print-config` shows: every setting, its value, and where it came from, as a file that could be read again.

use std::fmt::Write as _;

use super::Settings;
use super::definition::{DEFINITIONS, Definition, Short, size};
use super::layers::Origin;
use super::properties;
use super::secret::HIDDEN;
use super::value::{Value, Values};
use crate::faults::Fault;
use crate::screen;

/// One setting as it is in effect.
#[derive(Debug)]
pub struct Effective {
    pub path: &'static str,
    /// The value as TOML; none where the setting is not set.
    pub toml: Option<String>,
    pub origin: Origin,
}

/// Lists every setting in the order of [`DEFINITIONS`].
pub fn effective(settings: &Settings, values: &Values) -> Vec<Effective> {
    DEFINITIONS
        .iter()
        .map(|definition| Effective {
            path: definition.path,
            toml: toml_value(definition, settings, values),
            origin: values.get(definition.path).map_or(Origin::Default, |valued| valued.origin.clone()),
        })
        .collect()
}

/// Writes the list as TOML.
pub fn render(effective: &[Effective]) -> String {
    let mut out = String::new();
    let mut section = "";
    for line in effective {
        let (head, key) = line.path.split_once('.').unwrap_or(("", line.path));
        if head != section {
            let _ = writeln!(out, "{}[{head}]", if section.is_empty() { "" } else { "\n" });
            section = head;
        }
        let origin = line.origin.to_string();
        let origin = screen::line(&origin);
        let _ = match &line.toml {
            Some(value) => writeln!(out, "{key} = {value}  # {origin}"),
            None => writeln!(out, "# {key} is not set  # {origin}"),
        };
    }
    out
}

fn toml_value(definition: &Definition, settings: &Settings, values: &Values) -> Option<String> {
    // A text of JSON is one of TOML too, and always one line.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    if definition.path == "instance.id" {
        return Some(quoted(&settings.instance.id));
    }
    match &values.get(definition.path)?.value {
        Value::Absent => None,
        Value::Text(text) => Some(quoted(text)),
        // An address is told apart by host and database; a token by nothing.
        Value::Secret(secret) if definition.path == "database.url" => Some(quoted(&secret.redacted())),
        Value::Secret(_) => Some(quoted(HIDDEN)),
        Value::Names(names) => Some(toml::Value::from(names.clone()).to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Size(bytes) => Some(quoted(&size(*bytes))),
        Value::Duration(duration) => Some(quoted(&Short(*duration).to_string())),
        Value::Switch(switch) => Some(switch.to_string()),
        Value::Time(time) => Some(quoted(&time.to_string())),
        Value::Address(address) => Some(quoted(&address.to_string())),
        Value::Faults(faults) => {
            let written: Vec<String> = faults.iter().map(Fault::to_string).collect();
            Some(quoted(&written.join(",")))
        }
        Value::Properties(properties) => {
            let shown = properties.iter().map(|(name, value)| {
                let value = if properties::is_secret(name) { HIDDEN } else { value };
                format!("{} = {}", quoted(name), quoted(value))
            });
            let inside = shown.collect::<Vec<_>>().join(", ");
            Some(if inside.is_empty() { "{}".to_owned() } else { format!("{{ {inside} }}") })
        }
    }
}
