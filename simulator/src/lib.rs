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

pub use clock::Clock;
pub use faults::{Fault, FaultKind};
pub use files::LoadError;
pub use options::SimulatorOptions;
pub use server::{Simulator, SimulatorError, serve};
pub use state::DATASET;
