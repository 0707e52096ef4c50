//! The one provider of cryptography, named wherever one is taken: nothing is installed for the whole process.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Returns the provider.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
