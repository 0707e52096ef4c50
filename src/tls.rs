//! TLS as all connections of the program use it: files with certificates and keys, who is trusted, and what a
//! refusal means.
//!
//! One implementation, rustls, with one provider of its cryptography, ring. Kafka alone is librdkafka's, see
//! `kafka-tls` in Cargo.toml. `docs/security.md` says what operators may rely on.

mod files;
mod provider;
mod refusal;
mod trust;
mod validity;

pub use self::files::{OwnCertificate, TlsFileError, read_certificates, read_own, read_system_roots};
pub use self::provider::provider;
pub use self::refusal::{TlsRefusal, TlsSettingNames};
pub use self::trust::Trust;
pub use self::validity::until;
