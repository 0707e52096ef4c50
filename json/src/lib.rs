//! Walks over JSON text without building anything from it. No I/O, no dependency.
//!
//! One grammar, strictly that of RFC 8259, and two ways to use it:
//!
//! - [`elements`], [`members`] and [`value_end`] tell where values lie in bytes, whatever their depth. Rows
//!   are published byte for byte, so a page is never decoded; bytes that are no UTF-8 are passed over.
//! - [`Members`] reads one object from its text, with a bound on its depth, and says of each string what the
//!   walk saw in it.
//!
//! For a row that breaks the grammar there are [`loose_members`] and [`sound_value`].

mod error;
mod object;
mod places;
mod sound;
mod token;
mod walk;

pub use self::error::JsonError;
pub use self::object::{Member, Members};
pub use self::places::{elements, loose_members, members, value_end};
pub use self::sound::sound_value;
pub use self::token::{Token, Value, is_wide};
pub use self::walk::blank;
