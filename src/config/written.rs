//! A value as somebody wrote it, before it is read.

use std::collections::BTreeMap;

use super::origin::SettingOrigin;

/// A value as somebody wrote it.
#[derive(Clone, Debug)]
pub enum Written {
    Text(String),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
}

impl Written {
    /// Takes the text without the blanks around it; a list or a table is none.
    pub fn text(&self) -> Result<&str, String> {
        match self {
            Written::Text(text) => Ok(text.trim()),
            Written::List(_) => Err("is a list, where one value belongs".to_owned()),
            Written::Table(_) => Err("is a table, where one value belongs".to_owned()),
        }
    }
}

/// For each setting that somebody stated: the value that wins and who said it.
pub type Layers = BTreeMap<&'static str, (Written, SettingOrigin)>;
