//! Settings of the control endpoint.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::form::{Address, OptionalPath, Size, Token};
use super::secret::Secret;
use super::section::settings;
use super::unit::{KIB, MIB};
use crate::tls::OwnCertificate;

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
        tls_certificate: Option<PathBuf> = None, OptionalPath,
            "The certificate that the control endpoint shows, with those in between behind it; with it, it \
             speaks TLS alone.",
            "Certificate and key are set both or neither; both are read again when they change.";
        tls_key: Option<PathBuf> = None, OptionalPath,
            "The key of `http.tls_certificate`.",
            "It stands without a passphrase, so only the user of the program should be able to read it.";
        max_body_bytes: usize = 64 * KIB, Size(KIB..=16 * MIB),
            "The largest request body.",
            "The largest honest body has a few hundred bytes.";
    }
}

impl HttpSettings {
    /// Returns certificate and key of the endpoint, where it speaks TLS.
    pub fn own_certificate(&self) -> Option<OwnCertificate> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(OwnCertificate { certificate, key })
    }
}
