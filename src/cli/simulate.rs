//! `nyc311 simulate`: a stand-in for the city's API, and what to set to poll it.

use nyc311_simulator::{Simulator, SimulatorOptions};

use super::exit::{self, CommandError};
use super::output;

/// Serves until SIGTERM or SIGINT. What is served is said on stderr; the one line on stdout is the resource's
/// address, once it answers.
pub fn run(options: &SimulatorOptions) -> Result<i32, CommandError> {
    let simulator = Simulator::start(options, true)
        .map_err(|error| CommandError::new(exit::SETTINGS, format!("the simulator cannot start: {error}")))?;
    for line in simulator.greeting() {
        output::note(&line);
    }
    output::print(&simulator.resource_url());
    match simulator.wait() {
        Ok(()) => Ok(exit::DONE),
        Err(error) => Err(CommandError::new(exit::NO, format!("the simulator failed: {error}"))),
    }
}
