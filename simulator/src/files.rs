//! Rows from NDJSON files, served byte for byte.
//!
//! A row without system fields gets them as a function of itself alone, so the same file always makes the
//! same source, whatever lies beside it: the id comes from the key, the version from the bytes, the times
//! from the night after the latest sane date in the row.

mod load;
mod system_fields;
mod table;

pub use self::load::{LoadError, load};
