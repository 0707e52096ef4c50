//! `nyc311 drift`: the words of the source that no rule knows, and the columns that it names no more.

use clap::Args;
use nyc311_notation::quantity;
use serde_json::{Value, json};

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use super::setup;
use crate::config::Settings;
use crate::store::Term;
use crate::timestamp::to_millis;

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// List every word that was ever seen, also those that the rules know
    #[arg(long)]
    all: bool,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = quantity::number(1..=u32::MAX))]
    limit: u32,
    #[command(flatten)]
    form: OutputArgs,
}

pub async fn run(args: &DriftArgs, settings: &Settings) -> Result<i32, CommandError> {
    let terms = setup::migrated_store(settings).await?.terms(args.all, args.limit.into()).await?;
    match args.form.output {
        Format::Json => {
            let terms: Vec<Value> = terms.iter().map(document).collect();
            output::print_json(&json!({"drift": terms}));
        }
        Format::Table if terms.is_empty() => output::print("the source says nothing that is not known"),
        Format::Table => {
            let rows: Vec<Vec<String>> = terms.iter().map(row).collect();
            let head = ["KIND", "VALUE", "KNOWN", "FIRST PUBLISHED", "FIRST SEEN", "VANISHED"];
            output::print_block(&output::table(&head, &rows));
        }
    }
    Ok(exit::DONE)
}

fn document(term: &Term) -> Value {
    json!({
        "kind": term.kind.as_str(),
        "value": term.value,
        "known": term.known,
        "first_source_updated_at": term.first_source_updated_at.map(to_millis),
        "first_seen_at": to_millis(term.first_seen_at),
        "vanished_at": term.vanished_at.map(to_millis),
    })
}

fn row(term: &Term) -> Vec<String> {
    let document = document(term);
    ["kind", "value", "known", "first_source_updated_at", "first_seen_at", "vanished_at"]
        .map(|name| output::shown(&document[name]))
        .into()
}
