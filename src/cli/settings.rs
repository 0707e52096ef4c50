//! `nyc311 settings`: what can be set, and by which flag, variable and place in the file.

use clap::Args;
use serde_json::{Value, json};

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use crate::config::definition::Definition;
use crate::config::sections::{self, definitions};

#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// Only those of a section, or one, as kafka or kafka.retention
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    form: OutputArgs,
}

/// Lists settings by their definitions alone, so that it helps also where something is set wrong.
pub fn run(args: &SettingsArgs) -> Result<i32, CommandError> {
    let wanted = |definition: &&'static Definition| match args.name.as_deref() {
        None => true,
        Some(name) => {
            definition.path == name
                || definition.path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        }
    };
    let found: Vec<&Definition> = definitions().filter(wanted).collect();
    if found.is_empty() {
        let sections: Vec<&str> = sections::names().collect();
        let detail = format!(
            "{:?} is neither a setting nor a section; the sections are {}",
            args.name.as_deref().unwrap_or_default(),
            sections.join(", ")
        );
        return Err(CommandError::new(exit::USAGE, detail));
    }
    match args.form.output {
        Format::Json => {
            let settings: Vec<Value> = found.iter().map(|definition| document(definition)).collect();
            output::print_json(&json!({"settings": settings}));
        }
        Format::Table => {
            let texts: Vec<String> = found.iter().map(|definition| text(definition)).collect();
            output::print_block(&texts.join("\n"));
        }
    }
    Ok(exit::DONE)
}

fn document(definition: &Definition) -> Value {
    json!({
        "path": definition.path,
        "flag": definition.has_flag().then(|| definition.flag()),
        "variable": definition.variable(),
        "file_variable": definition.file_variable(),
        "default": (definition.default)(),
        "meaning": definition.meaning,
        "allowed": definition.allowed(),
        "reason": definition.reason,
    })
}

fn text(definition: &Definition) -> String {
    let flag = if definition.has_flag() { format!("{}, ", definition.flag()) } else { String::new() };
    let file = definition.file_variable().map(|file| format!(", {file}")).unwrap_or_default();
    format!(
        "{} [default: {}]\n  {flag}{}{file}\n  {}\n  Allowed: {}. {}\n",
        definition.path,
        (definition.default)().as_deref().unwrap_or("none"),
        definition.variable(),
        definition.meaning,
        definition.allowed(),
        definition.reason
    )
}
