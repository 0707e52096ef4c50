//! Collects what flags, environment and file say about each setting; the first of them that speaks wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::definition::Definition;
use super::error::SettingProblem;
use super::form::Shape;
use super::origin::SettingOrigin;
use super::parts;
use super::secret_file::secret_of_file;
use super::sections::{self, definitions};
use super::written::{Layers, Written};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "nyc311.toml";
const PREFIX: &str = "NYC311_";

/// Where settings may come from, given as values so that tests need no process of their own.
#[derive(Debug, Default)]
pub struct Sources {
    /// `(path, value)` of each flag that was used.
    pub flags: Vec<(String, String)>,
    /// All environment variables; those without the prefix are none of ours.
    pub environment: Vec<(String, String)>,
    /// The file named by `--config`; it must exist.
    pub file: Option<PathBuf>,
    /// The file that is read when it exists and none is named.
    pub default_file: Option<PathBuf>,
}

impl Sources {
    /// Takes environment and default file of this process.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Self { flags, environment, file, default_file: Some(PathBuf::from(DEFAULT_FILE)) }
    }
}

/// Reads all sources; unknown names and unreadable files are problems, not silence.
pub fn collect(sources: &Sources) -> (Layers, Vec<SettingProblem>) {
    let mut layers = Layers::new();
    let mut problems = Vec::new();
    // Weakest first: each later source overwrites.
    read_file(sources, &mut layers, &mut problems);
    let (parts, whole): (Vec<_>, Vec<_>) =
        sources.environment.iter().cloned().partition(|(name, _)| parts::is_part(name));
    read_environment(&whole, &mut layers, &mut problems);
    parts::read(&parts, &mut layers, &mut problems);
    for (path, value) in &sources.flags {
        match sections::find(path) {
            Some(found) => {
                layers.insert(found.path, (Written::Text(value.clone()), SettingOrigin::Flag(found.flag())));
            }
            None => {
                problems.push(unknown("", SettingOrigin::Flag(path.clone()), "a setting", nearest_path(path)))
            }
        }
    }
    (layers, problems)
}

fn read_environment(
    environment: &[(String, String)],
    layers: &mut Layers,
    problems: &mut Vec<SettingProblem>,
) {
    let mut ours: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    let mut by_value: BTreeMap<&'static str, &str> = BTreeMap::new();
    let mut by_file: BTreeMap<&'static str, (&str, &str)> = BTreeMap::new();
    for (name, value) in ours {
        if let Some(found) = definitions().find(|d| d.variable() == *name) {
            by_value.insert(found.path, value);
        } else if let Some(found) =
            definitions().find(|d| d.file_variable().is_some_and(|file| file == *name))
        {
            by_file.insert(found.path, (name, value));
        } else {
            let known = definitions().flat_map(|d| [Some(d.variable()), d.file_variable()]).flatten();
            problems.push(unknown(
                "",
                SettingOrigin::Environment(name.clone()),
                "a setting",
                nearest(name, known),
            ));
        }
    }
    for found in definitions() {
        // An empty variable is what compose files pass for "not set".
        let stated = by_value.get(found.path).copied().filter(|value| !value.is_empty());
        let file = by_file.get(found.path).copied().filter(|(_, file)| !file.is_empty());
        match (stated, file) {
            (Some(_), Some((name, _))) => problems.push(SettingProblem {
                path: found.path.to_owned(),
                value: None,
                origin: SettingOrigin::Environment(name.to_owned()),
                detail: format!("{} is set as well, so it is unclear which one counts", found.variable()),
                remedy: "set one of the two".to_owned(),
            }),
            (Some(value), None) => {
                layers.insert(
                    found.path,
                    (Written::Text(value.to_owned()), SettingOrigin::Environment(found.variable())),
                );
            }
            (None, Some((name, file))) => read_secret(found, name, file, layers, problems),
            (None, None) => {}
        }
    }
}

fn read_secret(
    found: &'static Definition,
    variable: &str,
    file: &str,
    layers: &mut Layers,
    problems: &mut Vec<SettingProblem>,
) {
    match secret_of_file(found.path, variable, file) {
        Ok((secret, origin)) => {
            layers.insert(found.path, (Written::Text(secret), origin));
        }
        Err(problem) => problems.push(*problem),
    }
}

fn read_file(sources: &Sources, layers: &mut Layers, problems: &mut Vec<SettingProblem>) {
    let (path, named) = match (&sources.file, &sources.default_file) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => return,
    };
    let shown = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            problems.push(unreadable(
                path,
                format!("cannot be read: {error}"),
                "name a file that can be read with --config",
            ));
            return;
        }
    };
    let table: toml::Table = match toml::from_str(&text) {
        Ok(table) => table,
        Err(error) => {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            problems.push(unreadable(
                path,
                format!("line {line}: {}", error.message().replace('\n', ", ")),
                "write TOML",
            ));
            return;
        }
    };
    take_table("", &table, &shown, layers, problems);
}

fn unreadable(path: &Path, detail: String, remedy: &str) -> SettingProblem {
    SettingProblem {
        path: String::new(),
        value: None,
        origin: SettingOrigin::File(path.display().to_string()),
        detail,
        remedy: remedy.to_owned(),
    }
}

fn take_table(
    prefix: &str,
    table: &toml::Table,
    file: &str,
    layers: &mut Layers,
    problems: &mut Vec<SettingProblem>,
) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let origin = SettingOrigin::File(file.to_owned());
        match (sections::find(&path), value) {
            (Some(found), _) => match written(found, value) {
                Ok(written) => {
                    layers.insert(found.path, (written, origin));
                }
                Err(detail) => problems.push(SettingProblem {
                    path,
                    value: None,
                    origin,
                    detail,
                    remedy: format!("write {}", found.allowed()),
                }),
            },
            (None, toml::Value::Table(inner)) if sections::is_section(&path) => {
                take_table(&path, inner, file, layers, problems)
            }
            (None, toml::Value::Table(_)) if prefix.is_empty() => {
                let sections = sections::names().map(|section| format!("[{section}]"));
                let path = format!("[{path}]");
                let nearest = nearest(&path, sections);
                problems.push(unknown(&path, origin, "a section of the settings", nearest));
            }
            (None, _) => problems.push(unknown(&path, origin, "a setting", nearest_path(&path))),
        }
    }
}

fn written(found: &Definition, value: &toml::Value) -> Result<Written, String> {
    match value {
        toml::Value::Table(table) if (found.form)().shape() == Shape::Table => {
            let mut flat = BTreeMap::new();
            flatten("", table, &mut flat)?;
            Ok(Written::Table(flat))
        }
        toml::Value::Array(items) if (found.form)().shape() == Shape::List => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| "is a list with something else than texts".to_owned())
            })
            .collect::<Result<_, _>>()
            .map(Written::List),
        other => scalar(other).map(Written::Text),
    }
}

/// Takes `a.b = "c"` without quotes around the name, which TOML reads as a table in a table.
fn flatten(prefix: &str, table: &toml::Table, flat: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, flat)?,
            other => {
                flat.insert(name, scalar(other)?);
            }
        }
    }
    Ok(())
}

fn scalar(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        toml::Value::Datetime(time) => Ok(time.to_string()),
        toml::Value::Array(_) => Err("is a list, where one value belongs".to_owned()),
        toml::Value::Table(_) => Err("is a table, where one value belongs".to_owned()),
    }
}

fn unknown(name: &str, origin: SettingOrigin, kind: &str, nearest: String) -> SettingProblem {
    SettingProblem {
        path: name.to_owned(),
        value: None,
        origin,
        detail: format!("is not {kind}"),
        remedy: format!("the nearest name is {nearest}"),
    }
}

/// Finds the setting that was meant by a path, or by its last part alone, as where the section was forgotten.
fn nearest_path(path: &str) -> String {
    let key = if path.contains('.') { None } else { Some(path) };
    let same_key = |d: &&'static Definition| key.is_some() && d.path.rsplit('.').next() == key;
    match definitions().find(same_key) {
        Some(found) => found.path.to_owned(),
        None => nearest(path, definitions().map(|d| d.path.to_owned())),
    }
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, &candidate), candidate))
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
        .unwrap_or_default()
}
