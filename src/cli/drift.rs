//! `nyc311 drift`: the words of the source that no rule knows, and the columns that it names no more.

use clap::Args;
use nyc311_notation::quantity;
use serde_json::json;

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use super::setup;
use crate::config::Settings;
use crate::documents::DriftDocument;

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
    let drift: Vec<DriftDocument> = terms.into_iter().map(DriftDocument::from).collect();
    match args.form.output {
        Format::Json => output::print_json(&json!({"drift": drift})),
        Format::Table if drift.is_empty() => output::print("the source says nothing that is not known"),
        Format::Table => {
            let rows: Vec<Vec<String>> = drift.iter().map(row).collect();
            let head = ["KIND", "VALUE", "KNOWN", "FIRST PUBLISHED", "FIRST SEEN", "VANISHED"];
            output::print_block(&output::table(&head, &rows));
        }
    }
    Ok(exit::DONE)
}

fn row(term: &DriftDocument) -> Vec<String> {
    vec![
        term.kind.clone(),
        term.value.clone(),
        term.known.to_string(),
        output::or_dash(term.first_source_updated_at),
        term.first_seen_at.to_string(),
        output::or_dash(term.vanished_at),
    ]
}
