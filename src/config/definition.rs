//! What a setting is: with its type where it is declared, and without where all of them are listed.

use std::fmt;

use super::form::{Described, Form, Secrecy, Shown};

/// One setting, whatever its type.
pub struct Definition {
    /// `section.name`.
    pub path: &'static str,
    pub meaning: &'static str,
    /// Why the bound is where it is, or what the form protects.
    pub reason: &'static str,
    /// What may be written. A function, so that the form is named once, where its type is known.
    pub form: fn() -> &'static dyn Described,
    /// The default as an operator would write it; none where there is none.
    pub default: fn() -> Option<String>,
}

impl fmt::Debug for Definition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Definition").field(&self.path).finish()
    }
}

impl Definition {
    /// Says what to write.
    pub fn allowed(&self) -> String {
        (self.form)().allowed()
    }

    /// `source.url` is `NYC311_SOURCE__URL`.
    pub fn variable(&self) -> String {
        format!("NYC311_{}", self.path.replace('.', "__").to_uppercase())
    }

    /// The variable that names a file to read the value from, for secrets.
    pub fn file_variable(&self) -> Option<String> {
        ((self.form)().secrecy() != Secrecy::Open).then(|| format!("{}_FILE", self.variable()))
    }

    /// `source.page_rows` is `--source-page-rows`.
    pub fn flag(&self) -> String {
        format!("--{}", self.path.replace(['.', '_'], "-"))
    }

    /// Whether the value may be given as a flag; flags can be read by every user of the machine.
    pub fn has_flag(&self) -> bool {
        (self.form)().secrecy() != Secrecy::Token
    }
}

/// One setting with the type that its form is read as.
pub struct Setting<T: 'static> {
    pub definition: Definition,
    pub form: &'static dyn Form<T>,
    pub default: fn() -> T,
}

impl<T> Setting<T> {
    pub fn path(&self) -> &'static str {
        self.definition.path
    }

    /// Writes the default as an operator would.
    pub fn default_text(&self) -> Option<String> {
        self.form.shown(&(self.default)()).and_then(Shown::plain)
    }
}
