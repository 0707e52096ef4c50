//! `nyc311 run`: the pipeline, or the part of it that `--roles` names.

use clap::{Args, ValueEnum};

use super::{exit, output};
use crate::actors::pipeline::{self, Roles};
use crate::config::{Loaded, render_config};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which parts to run in this process
    #[arg(
        long,
        value_name = "ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "control,enricher,writer"
    )]
    roles: Vec<Role>,
    /// Print the settings in effect, where each comes from, and end
    #[arg(long)]
    print_config: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Control endpoint and poller
    Control,
    /// From the raw to the enriched topic
    Enricher,
    /// From the enriched topic to the database
    Writer,
}

/// Runs until told to stop; the exit code says whether the pipeline drained or gave up.
pub fn run(args: &RunArgs, loaded: Loaded) -> i32 {
    if args.print_config {
        output::print_document(&render_config(&loaded.effective));
        return exit::DONE;
    }
    let has = |role| args.roles.contains(&role);
    let roles =
        Roles { control: has(Role::Control), enricher: has(Role::Enricher), writer: has(Role::Writer) };
    pipeline::run(loaded.settings, roles)
}
