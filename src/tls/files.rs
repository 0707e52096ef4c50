//! Certificates and keys in files, PEM, and what may be wrong with them.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider::provider;

/// What a file lacks, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}; {remedy}", path.display())]
pub struct TlsFileError {
    pub path: PathBuf,
    pub detail: String,
    pub remedy: &'static str,
}

impl TlsFileError {
    fn new(path: &Path, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), detail: detail.into(), remedy }
    }
}

/// Where this side's certificate, with those that lead to its root behind it, and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let unreadable = |error: std::io::Error| {
        TlsFileError::new(path, format!("cannot be read: {error}"), "name a file that this user may read")
    };
    // A pipe would hold up whoever reads it, and has nothing for the next connection.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        let detail = "cannot be read: it is no regular file".to_owned();
        return Err(TlsFileError::new(path, detail, "name a file that this user may read"));
    }
    std::fs::read(path).map_err(unreadable)
}

/// Reads the certificates of a file, one at least.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsFileError::new(
            path,
            "holds no certificate",
            "name a file in PEM, with -----BEGIN CERTIFICATE-----",
        )),
        Err(_) => {
            Err(TlsFileError::new(path, "is no proper PEM", "write it anew, or name another file in PEM"))
        }
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    let bytes = read(path)?;
    // What the parser says may quote the key, so it is not passed on.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("ENCRYPTED") {
            TlsFileError::new(
                path,
                "is a key that a passphrase encrypts",
                "write it without one (openssl pkey -in KEY -out PLAIN), readable by this user alone",
            )
        } else if text.contains("-----BEGIN CERTIFICATE-----") {
            TlsFileError::new(path, "holds a certificate and no key", "name the file with the key")
        } else {
            TlsFileError::new(
                path,
                "holds no private key",
                "name a file in PEM, with -----BEGIN PRIVATE KEY-----",
            )
        }
    })
}

/// Reads a certificate with its key, and sees that they belong together.
pub fn read_own(own: &OwnCertificate) -> Result<CertifiedKey, TlsFileError> {
    let certificates = read_certificates(&own.certificate)?;
    let key = provider().key_provider.load_private_key(read_key(&own.key)?).map_err(|_| {
        TlsFileError::new(
            &own.key,
            "is a key of a kind that is not known here",
            "take an RSA key of 2048 bits or more, or one of the curves P-256, P-384 and Ed25519",
        )
    })?;
    let pair = CertifiedKey::new(certificates, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsFileError::new(
            &own.key,
            format!("is not the key of the certificate in {}", own.certificate.display()),
            "name the two files that were made together; the own certificate stands first in its file",
        )),
        Err(_) => Err(TlsFileError::new(
            &own.certificate,
            "begins with a certificate that cannot be read",
            "write it anew: version 3 of X.509, in PEM",
        )),
    }
}

/// Reads the roots that this machine trusts.
pub fn read_system_roots() -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(TlsFileError::new(
            Path::new("the roots of this machine"),
            "are none",
            "install the package ca-certificates, or name a file with the root",
        ));
    }
    Ok(found.certs)
}
