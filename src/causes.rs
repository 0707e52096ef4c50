//! What lies under an error that by itself only says that something failed.

use std::error::Error;
use std::sync::Arc;

/// What a client or a neighbour reported, kept for whoever asks an error for its source.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Says an error and what lies right under it, once: many errors of clients repeat their source in their own
/// text.
pub fn with_source(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source().map(ToString::to_string)
        && !text.contains(&source)
    {
        text.push_str(": ");
        text.push_str(&source);
    }
    text
}

/// Says the innermost cause of an error. What lies around it in a client of HTTP names the address,
/// percent-encoded and long, and the layers of the client.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] std::io::Error);

    #[test]
    fn a_source_is_said_unless_it_was_said_already() {
        let io = || std::io::Error::other("port closed");
        assert_eq!(with_source(&Layer("connecting", io())), "connecting: port closed");
        assert_eq!(with_source(&Layer("connecting: port closed", io())), "connecting: port closed");
        assert_eq!(innermost(&Layer("connecting", io())), "port closed");
    }
}
