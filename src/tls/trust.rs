//! Who is trusted to be the other side.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::provider::provider;
use super::validity::Validity;

/// Whom a client takes for the server that it means. Whoever answers has to prove that it has the key of the
/// certificate that it shows, whatever is asked of the certificate itself.
#[derive(Debug, Clone)]
pub struct Trust {
    chain: Chain,
    /// Those who may have, or be it themselves: a certificate that signs itself is its own root.
    listed: Vec<CertificateDer<'static>>,
    checks_name: bool,
    /// A certificate that is known to be the server's, whatever its name and its dates.
    own: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

/// Who may have signed the certificate of the server.
#[derive(Debug, Clone)]
enum Chain {
    Anybody,
    Roots(Arc<WebPkiServerVerifier>),
    Nobody,
}

impl Trust {
    fn of(chain: Chain) -> Self {
        Self { chain, listed: Vec::new(), checks_name: false, own: None, provider: provider() }
    }

    /// Encrypts towards anybody.
    pub fn anybody() -> Self {
        Self::of(Chain::Anybody)
    }

    /// Trusts nobody, but for a certificate that is known ([`Trust::and_own`]).
    pub fn nobody() -> Self {
        Self::of(Chain::Nobody)
    }

    /// Trusts a certificate that one of these has signed, or that is one of them; with `checks_name`, only
    /// for the name that was asked for. None of them that can be read is an error.
    pub fn in_roots(roots: Vec<CertificateDer<'static>>, checks_name: bool) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { listed: roots, checks_name, ..Self::of(Chain::Roots(chain)) })
    }

    /// Trusts this certificate too, whatever name it bears and however old it is: it is the one that the
    /// server next door was told to show.
    pub fn and_own(self, own: CertificateDer<'static>) -> Self {
        Self { own: Some(own), ..self }
    }

    /// Makes the settings of a client of it, which shows `own` where it is asked for a certificate.
    pub fn client(self, own: Option<rustls::sign::CertifiedKey>) -> Result<ClientConfig, Error> {
        let verifier = Arc::new(self);
        let builder = ClientConfig::builder_with_provider(verifier.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        Ok(match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)))
            }
        })
    }

    fn is_trusted(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain = match &self.chain {
            Chain::Anybody => return Ok(()),
            Chain::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Chain::Roots(chain) => chain,
        };
        if self.listed.contains(shown) {
            Validity::of(shown).map_or(Ok(()), |validity| validity.refuse_at(now))?;
            let parsed = ParsedCertificate::try_from(shown)?;
            return if self.checks_name { rustls::client::verify_server_name(&parsed, name) } else { Ok(()) };
        }
        // The name is looked at last, so whoever only fails by it has passed everything else.
        match chain.verify_server_cert(shown, between, name, &[], now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(()),
            verified => verified.map(drop),
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.as_ref() != Some(shown) {
            self.is_trusted(shown, between, name, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
