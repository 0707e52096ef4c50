//! The command line: what may be asked, and with which code each answer ends.
//!
//! Results go to stdout, everything else to stderr, so that a command can be used in a pipe.

mod check;
mod client;
mod drift;
mod exit;
mod health;
mod migrate;
mod output;
mod poll;
mod progress;
mod replay;
mod rewind;
mod run;
mod setting_flags;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Loaded, Settings};
use crate::simulator::{self, SimulatorOptions};
use crate::telemetry;
use exit::Failure;
use setting_flags::SettingFlags;

/// New York's 311 service requests, from the Socrata API through Kafka to PostgreSQL, exactly once.
///
/// Every setting is a flag too (`--help` lists them), a variable (`NYC311_SOURCE__URL`) and a place in `nyc311.toml`.
#[derive(Debug, Parser)]
#[command(name = "nyc311", version, disable_help_subcommand = true, after_help = exit::CODES)]
struct Cli {
    #[command(flatten)]
    settings: SettingFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipeline
    Run(run::RunArgs),
    /// Bring the database to the shape that this program needs
    Migrate(migrate::MigrateArgs),
    /// Ask a running service for a poll, and follow it
    Poll(poll::PollArgs),
    /// Show a running service, or one poll
    Status(status::StatusArgs),
    /// Send dead letters through the pipeline again
    Replay(replay::ReplayArgs),
    /// Have records read again
    Rewind(rewind::RewindArgs),
    /// List what the source says that no rule knows, and the columns that it dropped
    Drift(drift::DriftArgs),
    /// Stand in for the Socrata API
    Simulate(SimulatorOptions),
    /// Ask a running service whether it is ready
    Health(health::HealthArgs),
    /// Try source, broker and database, and say what is wrong and how to mend it
    Check(check::CheckArgs),
}

/// Runs what the command line asks for and returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let loaded = match Settings::load(&cli.settings.sources()) {
        Ok(loaded) => loaded,
        Err(error) => {
            output::complain(&error.to_string());
            return exit::code(exit::SETTINGS);
        }
    };
    telemetry::init(&loaded.settings.log);
    match dispatch(cli.command, loaded) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure.message);
            exit::code(failure.code)
        }
    }
}

fn dispatch(command: Command, loaded: Loaded) -> Result<ExitCode, Failure> {
    let settings = &loaded.settings;
    let code = match command {
        Command::Run(args) => run::run(&args, loaded),
        Command::Simulate(options) => return Ok(simulator::run(&options)),
        Command::Migrate(args) => block_on(migrate::run(&args, settings))?,
        Command::Poll(args) => block_on(poll::run(&args, settings))?,
        Command::Status(args) => block_on(status::run(&args, settings))?,
        Command::Replay(args) => block_on(replay::run(&args, settings))?,
        Command::Rewind(args) => block_on(rewind::run(&args, settings))?,
        Command::Drift(args) => block_on(drift::run(&args, settings))?,
        Command::Health(args) => block_on(health::run(&args, settings))?,
        Command::Check(args) => block_on(check::run(&args, settings))?,
    };
    Ok(exit::code(code))
}

fn block_on(command: impl Future<Output = Result<i32, Failure>>) -> Result<i32, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::NO, format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command);
    // Blocking calls of a broker that does not answer must not hold the command up.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
