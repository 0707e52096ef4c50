//! What people write in settings, flags and requests: durations and numbers ([`quantity`]), and moments
//! ([`parse_instant`]). Whoever reads one says the same about a wrong one.

mod instant;
pub mod quantity;

pub use self::instant::{InstantError, parse_instant};
