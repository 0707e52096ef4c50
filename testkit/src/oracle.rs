//! What must be true, whatever has happened: the one comparison of all tables, the one of everything that is
//! kept with its recount, and the one of all that is kept with what the source has.

mod check;
mod promises;
mod source;
mod tables;

pub use self::check::Check;
pub use self::promises::{assert_promises, promises};
pub use self::tables::{Tables, assert_recounts, differences, is_zero, rollups, tables, tables_of};
