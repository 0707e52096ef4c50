//! What lies under an error that by itself only says that something failed.

use std::error::Error;

/// Says the innermost cause of an error. What lies around it in a client of HTTP names the address, percent-encoded and long, and
/// the layers of the client.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
