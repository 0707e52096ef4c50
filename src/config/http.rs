//! Settings of the control endpoint.

use std::net::SocketAddr;

use super::form::{Address, Size, Token};
use super::secret::Secret;
use super::section::settings;
use super::unit::{KIB, MIB};

settings! {
    /// The control endpoint.
    HttpSettings "http" {
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8311)), Address,
            "The address of the control endpoint; port 0 lets the system choose.",
            "Any address but loopback needs http.token, since whoever reaches it could start polls.";
        token: Option<Secret> = None, Token,
            "The bearer token of the control endpoint, also sent by the commands that ask it.",
            "It travels in a header, which takes no other characters; at least 16 of them, or it can be \
             guessed.";
        max_body_bytes: usize = 64 * KIB, Size(KIB..=16 * MIB),
            "The largest request body.",
            "The largest honest body has a few hundred bytes.";
    }
}
