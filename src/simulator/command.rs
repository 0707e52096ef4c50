//! `nyc311 simulate`.

use std::io::Write;
use std::process::ExitCode;

use super::options::SimulatorOptions;
use super::server::start;

/// Serves until SIGTERM or SIGINT. The first line on stdout is the resource's address, once it answers.
pub fn run(options: &SimulatorOptions) -> ExitCode {
    let simulator = match start(options, true) {
        Ok(simulator) => simulator,
        Err(error) => {
            tracing::error!(%error, "simulator cannot start");
            return ExitCode::FAILURE;
        }
    };
    let mut stdout = std::io::stdout();
    // Whoever started the simulator may have stopped listening to it; that is no reason to stop serving.
    let _ = writeln!(stdout, "{}", simulator.resource_url()).and_then(|()| stdout.flush());
    match simulator.wait() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "simulator failed");
            ExitCode::FAILURE
        }
    }
}
