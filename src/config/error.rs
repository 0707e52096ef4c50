//! What is wrong with the settings, said so that it can be mended without reading code.

use std::fmt;

use super::origin::SettingOrigin;

/// One wrong setting: where it is, what it says, who said it, what is allowed and how to mend it.
#[derive(Debug)]
pub struct SettingProblem {
    /// What is wrong; empty where the origin is, and says its name itself.
    pub path: String,
    /// The value as written, or `***` for a secret; none where the setting itself is what is wrong.
    pub value: Option<String>,
    pub origin: SettingOrigin,
    pub detail: String,
    pub remedy: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(formatter, "{}", self.origin)?;
        } else {
            formatter.write_str(&self.path)?;
            if let Some(value) = &self.value {
                write!(formatter, " = {value:?}")?;
            }
            write!(formatter, " ({})", self.origin)?;
        }
        write!(formatter, ": {}; {}", self.detail, self.remedy)
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError {
    pub problems: Vec<SettingProblem>,
}

impl SettingsError {
    /// Says in one line that something is wrong; each of the problems is a line more.
    pub fn headline(&self) -> &'static str {
        if self.problems.len() == 1 { "a setting is wrong" } else { "settings are wrong" }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.headline())?;
        self.problems.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}
