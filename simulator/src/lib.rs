//! A Socrata stand-in for demos, tests and benchmarks.
//!
//! It knows nothing of the program that polls it. It serves versions of rows in the source's order (`table`)
//! from files (`files`) or from a generated city (`city`), speaks the part of SoQL that the pipeline needs
//! and refuses the rest (`soql`), shows what its `clock` has reached, and fails on request (`faults`).

mod answer;
mod city;
mod clock;
mod faults;
mod files;
mod night;
mod operator;
mod options;
mod resource;
mod row_id;
mod server;
mod soql;
mod stamp;
mod state;
mod table;
mod withdrawn;

pub use self::clock::Clock;
pub use self::faults::{Fault, FaultKind};
pub use self::files::LoadError;
pub use self::options::SimulatorOptions;
pub use self::server::{Simulator, SimulatorError, Version, serve};
pub use self::state::DATASET;
