//! The variables that state one name each of a setting that is a table, as
//! `NYC311_KAFKA__PROPERTIES__SASL_PASSWORD`.
//!
//! They join what the variable of the whole setting or the file says, and win over it: so one secret can come
//! from a file of its own. A flag, which states the whole, wins over all of them.

use std::collections::BTreeMap;

use super::error::SettingProblem;
use super::kafka::DECLARED;
use super::origin::SettingOrigin;
use super::properties::{is_secret, json_properties};
use super::secret_file::secret_of_file;
use super::written::{Layers, Written};

const PREFIX: &str = "NYC311_KAFKA__PROPERTIES__";
const FILE: &str = "_FILE";

/// Whether a variable states a part of a setting.
pub fn is_part(variable: &str) -> bool {
    variable.strip_prefix(PREFIX).is_some_and(|name| !name.is_empty())
}

/// `NYC311_KAFKA__PROPERTIES__SASL_PASSWORD` states `sasl.password`: no property of librdkafka that an
/// operator sets has an underscore in its name.
fn property(name: &str) -> String {
    name.replace('_', ".").to_lowercase()
}

/// Returns the property of a variable that names a file.
fn file_of(name: &str) -> Option<String> {
    let at = name.len().checked_sub(FILE.len())?;
    let (name, suffix) = name.split_at_checked(at)?;
    suffix.eq_ignore_ascii_case(FILE).then(|| property(name))
}

/// Adds what the variables state to the layers.
pub fn read(variables: &[(String, String)], layers: &mut Layers, problems: &mut Vec<SettingProblem>) {
    let path = DECLARED.properties.path();
    let mut stated: BTreeMap<String, (&str, String)> = BTreeMap::new();
    // An empty variable is what compose files pass for "not set".
    for (variable, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        let name = variable.strip_prefix(PREFIX).unwrap_or_default();
        let (name, value) = match file_of(name) {
            Some(name) if !is_secret(&name) => {
                problems.push(SettingProblem {
                    path: path.to_owned(),
                    value: None,
                    origin: SettingOrigin::Environment(variable.clone()),
                    detail: format!("takes {name:?} from a file, and that is no name of a secret"),
                    remedy: "state the value in the variable without _FILE".to_owned(),
                });
                continue;
            }
            Some(name) => match secret_of_file(path, variable, value) {
                Ok((secret, _)) => (name, secret),
                Err(problem) => {
                    problems.push(*problem);
                    continue;
                }
            },
            None => (property(name), value.clone()),
        };
        match stated.get(&name) {
            Some((other, _)) => problems.push(SettingProblem {
                path: path.to_owned(),
                value: None,
                origin: SettingOrigin::Environment(variable.clone()),
                detail: format!("{other} is set as well, so it is unclear which one counts"),
                remedy: "set one of the two".to_owned(),
            }),
            None => {
                stated.insert(name, (variable, value));
            }
        }
    }
    if stated.is_empty() {
        return;
    }
    let (mut table, whole) = match layers.remove(path) {
        Some((Written::Table(table), origin)) => (table, Some(Box::new(origin))),
        Some((Written::Text(text), origin)) => match json_properties(text.trim()) {
            Ok(table) => (table, Some(Box::new(origin))),
            // What is wrong with the whole is said of the whole.
            Err(_) => {
                layers.insert(path, (Written::Text(text), origin));
                return;
            }
        },
        Some((list @ Written::List(_), origin)) => {
            layers.insert(path, (list, origin));
            return;
        }
        None => (BTreeMap::new(), None),
    };
    let variables = stated.values().map(|(variable, _)| (*variable).to_owned()).collect();
    table.extend(stated.into_iter().map(|(name, (_, value))| (name, value)));
    layers.insert(path, (Written::Table(table), SettingOrigin::Several { whole, variables }));
}
