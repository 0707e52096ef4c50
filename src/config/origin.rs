//! Who said the value of a setting.

use std::fmt;

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    Flag(String),
    Environment(String),
    /// A secret read from the file that a `..._FILE` variable names.
    SecretFile {
        variable: String,
        file: String,
    },
    File(String),
    /// A table of which variables state some names each, and something else the others.
    Several {
        whole: Option<Box<SettingOrigin>>,
        variables: Vec<String>,
    },
    Default,
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingOrigin::Flag(flag) => write!(formatter, "flag {flag}"),
            SettingOrigin::Environment(variable) => write!(formatter, "environment variable {variable}"),
            SettingOrigin::SecretFile { variable, file } => {
                write!(formatter, "file {file}, named by environment variable {variable}")
            }
            SettingOrigin::File(file) => write!(formatter, "file {file}"),
            SettingOrigin::Several { whole, variables } => {
                if let Some(whole) = whole {
                    write!(formatter, "{whole}, with ")?;
                }
                let noun = if variables.len() == 1 { "variable" } else { "variables" };
                write!(formatter, "environment {noun} {}", variables.join(", "))
            }
            SettingOrigin::Default => formatter.write_str("default"),
        }
    }
}
