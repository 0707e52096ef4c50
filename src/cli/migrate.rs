//! `nyc311 migrate`: brings the database to the shape that this program needs.

use clap::Args;
use serde_json::json;

use super::exit::{self, CommandError};
use super::output::{self, Format, OutputArgs};
use crate::config::Settings;
use crate::store::Store;

#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    form: OutputArgs,
}

pub async fn run(args: &MigrateArgs, settings: &Settings) -> Result<i32, CommandError> {
    let migrated = Store::new(&settings.database)?.migrate().await?;
    match args.form.output {
        Format::Json => {
            output::print_json(&json!({"applied": migrated.applied, "version": migrated.version}))
        }
        Format::Table if migrated.applied.is_empty() => {
            output::print(&format!("nothing to do, the database is at version {}", migrated.version));
        }
        Format::Table => {
            migrated.applied.iter().for_each(|name| output::print(&format!("applied {name}")));
            output::print(&format!("the database is at version {}", migrated.version));
        }
    }
    Ok(exit::DONE)
}
