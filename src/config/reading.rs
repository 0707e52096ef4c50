//! Reads what was stated into typed values, and keeps of each setting what errors and `--print-config` say
//! about it.

use std::collections::BTreeMap;

use super::definition::Setting;
use super::error::SettingProblem;
use super::form::Shown;
use super::origin::SettingOrigin;
use super::written::Layers;

/// One setting as it is in effect.
#[derive(Debug)]
pub struct Effective {
    pub path: &'static str,
    /// The value as TOML; none where the setting is not set.
    pub toml: Option<String>,
    pub origin: SettingOrigin,
    /// As it was written, for errors; `***` for a secret, none for a default.
    pub written: Option<String>,
    /// Whether the value is the default only because the written one is wrong.
    pub wrong: bool,
}

/// A pass over the settings that were stated.
pub struct Reading<'a> {
    layers: &'a Layers,
    problems: Vec<SettingProblem>,
    effective: Vec<Effective>,
}

impl<'a> Reading<'a> {
    pub fn new(layers: &'a Layers) -> Self {
        Self { layers, problems: Vec::new(), effective: Vec::new() }
    }

    /// Reads a setting and notes it. A wrong one is a problem, and its default stands in so that the other
    /// rules can still be checked.
    pub fn take<T>(&mut self, setting: &Setting<T>) -> T {
        let definition = &setting.definition;
        let mut noted = Effective {
            path: definition.path,
            toml: None,
            origin: SettingOrigin::Default,
            written: None,
            wrong: false,
        };
        if let Some((written, origin)) = self.layers.get(definition.path) {
            noted.origin = origin.clone();
            noted.written = Some(setting.form.hidden(written));
        }
        let value = match self.stated(setting) {
            Ok(value) => value,
            Err(detail) => {
                noted.wrong = true;
                self.problems.push(SettingProblem {
                    path: definition.path.to_owned(),
                    value: noted.written.clone(),
                    origin: noted.origin.clone(),
                    detail,
                    remedy: format!("write {}. {}", definition.allowed(), definition.reason),
                });
                (setting.default)()
            }
        };
        noted.toml = setting.form.shown(&value).map(|shown| shown.toml());
        self.effective.push(noted);
        value
    }

    /// Looks at a setting of another section, which notes it and says what is wrong with it.
    pub fn peek<T>(&self, setting: &Setting<T>) -> T {
        self.stated(setting).unwrap_or_else(|_| (setting.default)())
    }

    /// Has `--print-config` show what follows from a setting that is not set.
    pub fn stands_for<T>(&mut self, setting: &Setting<T>, shown: &Shown) {
        if let Some(noted) = self.effective.iter_mut().find(|noted| noted.path == setting.path()) {
            noted.toml = Some(shown.toml());
        }
    }

    fn stated<T>(&self, setting: &Setting<T>) -> Result<T, String> {
        match self.layers.get(setting.path()) {
            Some((written, _)) => setting.form.read(written),
            None => Ok((setting.default)()),
        }
    }

    /// Ends the pass: every setting in the order of the sections, and what is wrong.
    pub fn end(self) -> (Vec<Effective>, Vec<SettingProblem>) {
        (self.effective, self.problems)
    }
}

/// Finds settings by their paths.
pub fn by_path(effective: &[Effective]) -> BTreeMap<&'static str, &Effective> {
    effective.iter().map(|noted| (noted.path, noted)).collect()
}
