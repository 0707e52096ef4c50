//! The command line: what may be asked, and with which code each answer ends.
//!
//! Results go to stdout, everything else to stderr, so that a command can be used in a pipe.

mod check;
mod client;
mod drift;
mod exit;
mod fault;
mod follow;
mod health;
mod migrate;
mod output;
mod poll;
mod progress;
mod reconcile;
mod replay;
mod rewind;
mod run;
mod setting_flags;
mod settings;
mod setup;
mod simulate;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nyc311_simulator::SimulatorOptions;

use self::exit::CommandError;
use self::setting_flags::SettingFlags;
use crate::config::{Loaded, Settings};
use crate::{faults, screen, telemetry, version};

/// New York's 311 service requests, from the Socrata API through Kafka to PostgreSQL, exactly once.
///
/// Every setting is a variable (`NYC311_SOURCE__URL`), a place in `nyc311.toml` and, but for the two tokens,
/// a flag: `nyc311 settings` lists them. Whoever is on the machine can read the flags of a process; so
/// `source.app_token` and `http.token` come from a variable, or from the file that
/// `NYC311_SOURCE__APP_TOKEN_FILE` or `NYC311_HTTP__TOKEN_FILE` names.
#[derive(Debug, Parser)]
#[command(name = "nyc311", version = version::line(), disable_help_subcommand = true, after_help = exit::CODES)]
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
    #[command(after_help = ASKS_THE_SERVICE)]
    Poll(poll::PollArgs),
    /// Hold the source's counts against the tables of a running service, and repair what can be
    #[command(after_help = ASKS_THE_SERVICE)]
    Reconcile(reconcile::ReconcileArgs),
    /// Show a running service, or one poll
    #[command(after_help = ASKS_THE_SERVICE)]
    Status(status::StatusArgs),
    /// Send dead letters through the pipeline again
    Replay(replay::ReplayArgs),
    /// Have records read again
    Rewind(rewind::RewindArgs),
    /// List what the source says that no rule knows, and the columns that it dropped
    Drift(drift::DriftArgs),
    /// Stand in for the Socrata API
    Simulate(Box<SimulatorOptions>),
    /// Ask a running service whether it is ready
    #[command(after_help = ASKS_THE_SERVICE)]
    Health(health::HealthArgs),
    /// Break a running service on purpose, where faults.enabled lets it
    #[command(after_help = ASKS_THE_SERVICE)]
    Fault(fault::FaultArgs),
    /// Try source, broker and database, and say what is wrong and how to mend it
    Check(check::CheckArgs),
    /// List what can be set: flags, variables, defaults and bounds
    Settings(settings::SettingsArgs),
}

/// Which settings a command that speaks HTTP needs.
const ASKS_THE_SERVICE: &str =
    "Asks the service at client.url (--client-url), with the token of http.token where there is one.";

/// Runs what the command line asks for and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            show_usage(&error);
            return exit::code(error.exit_code());
        }
    };
    let outcome = match &cli.command {
        Command::Settings(args) => settings::run(args),
        _ => match Settings::load(&cli.settings.sources()) {
            Ok(loaded) => {
                telemetry::init(&loaded.settings.log);
                arm_faults(&loaded.settings);
                dispatch(cli.command, loaded)
            }
            Err(error) => {
                output::complain(error.headline());
                error.problems.iter().for_each(|problem| output::note(&format!("  {problem}")));
                Ok(exit::SETTINGS)
            }
        },
    };
    match outcome {
        Ok(code) => match output::lost() {
            Some(error) if code == exit::DONE => {
                output::complain(&format!("the result could not be written to stdout: {error}"));
                exit::code(exit::NO)
            }
            _ => exit::code(code),
        },
        Err(failure) => {
            output::complain(&failure.message);
            exit::code(failure.code)
        }
    }
}

/// Arms what the settings say, in every command: a replay or a rewind may break too.
fn arm_faults(settings: &Settings) {
    faults::listen(telemetry::events::fault_happened);
    // The settings take no more faults than may be armed, and none where faults are not enabled.
    let armed = settings.faults.at_start.iter().try_for_each(|fault| faults::arm(*fault).map(drop));
    if let Err(error) = armed {
        output::complain(&error.to_string());
    }
}

/// Says what is wrong with the command line, or the help that was asked for. Clap shows arguments as they
/// are; what a terminal would obey in them is put in as its escape before they are shown.
fn show_usage(error: &clap::Error) {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let harmless: Vec<String> = arguments.iter().map(|word| screen::line(word).into_owned()).collect();
    if harmless == arguments {
        let _ = error.print();
    } else if let Err(error) = Cli::try_parse_from(harmless) {
        let _ = error.print();
    } else {
        output::note(&error.render().to_string());
    }
}

fn dispatch(command: Command, loaded: Loaded) -> Result<i32, CommandError> {
    let settings = &loaded.settings;
    let code = match command {
        Command::Run(args) => run::run(&args, loaded),
        Command::Simulate(options) => simulate::run(&options)?,
        Command::Settings(args) => settings::run(&args)?,
        Command::Migrate(args) => block_on(migrate::run(&args, settings))?,
        Command::Poll(args) => block_on(poll::run(&args, settings))?,
        Command::Reconcile(args) => block_on(reconcile::run(&args, settings))?,
        Command::Status(args) => block_on(status::run(&args, settings))?,
        Command::Replay(args) => block_on(replay::run(&args, settings))?,
        Command::Rewind(args) => block_on(rewind::run(&args, settings))?,
        Command::Drift(args) => block_on(drift::run(&args, settings))?,
        Command::Fault(args) => block_on(fault::run(&args, settings))?,
        Command::Health(args) => block_on(health::run(&args, settings))?,
        Command::Check(args) => block_on(check::run(&args, settings))?,
    };
    Ok(code)
}

fn block_on(command: impl Future<Output = Result<i32, CommandError>>) -> Result<i32, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(exit::NO, format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command);
    // Blocking calls of a broker that does not answer must not hold the command up.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
