//! Names that Kafka or the dataset must take.

use super::{Described, Form, Shape, Shown, text};
use crate::config::written::Written;

const KAFKA_NAME: &str = "1 to 200 of the letters a-z, A-Z, 0-9, `.`, `_` and `-`";

/// A name that Kafka takes for a topic or a group.
pub struct KafkaName;

impl Described for KafkaName {
    fn allowed(&self) -> String {
        KAFKA_NAME.to_owned()
    }
}

impl Form<String> for KafkaName {
    fn read(&self, written: &Written) -> Result<String, String> {
        kafka_name(written.text()?)
    }

    fn shown(&self, value: &String) -> Option<Shown> {
        text(value)
    }
}

/// A name that Kafka takes, or nothing.
pub struct OptionalKafkaName;

impl Described for OptionalKafkaName {
    fn allowed(&self) -> String {
        KAFKA_NAME.to_owned()
    }
}

impl Form<Option<String>> for OptionalKafkaName {
    fn read(&self, written: &Written) -> Result<Option<String>, String> {
        match written.text()? {
            "" => Ok(None),
            text => kafka_name(text).map(Some),
        }
    }

    fn shown(&self, value: &Option<String>) -> Option<Shown> {
        value.as_deref().and_then(text)
    }
}

fn kafka_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text {
        "" => Err("is empty".to_owned()),
        "." | ".." => Err("is a name that Kafka refuses".to_owned()),
        _ if text.len() > 200 => Err(format!("has {} letters", text.len())),
        _ => match text.chars().find(|c| !legal(*c)) {
            Some(wrong) => Err(format!("has the letter {wrong:?}")),
            None => Ok(text.to_owned()),
        },
    }
}

/// Names of columns, separated by commas.
pub struct Names;

impl Described for Names {
    fn allowed(&self) -> String {
        "names, separated by commas".to_owned()
    }

    fn shape(&self) -> Shape {
        Shape::List
    }
}

impl Form<Vec<String>> for Names {
    fn read(&self, written: &Written) -> Result<Vec<String>, String> {
        match written {
            Written::List(names) => dataset_names(names.iter().map(String::as_str)),
            other => dataset_names(other.text()?.split(',')),
        }
    }

    fn shown(&self, value: &Vec<String>) -> Option<Shown> {
        Some(Shown::List(value.clone()))
    }
}

fn dataset_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let names: Vec<String> =
        names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | ':' | '@');
    let is_name = |name: &String| matches!(name.as_str(), "*" | ":*") || name.chars().all(legal);
    match names.iter().find(|name| !is_name(name)) {
        Some(wrong) => Err(format!("has {wrong:?}, which is no column name")),
        None => Ok(names),
    }
}
