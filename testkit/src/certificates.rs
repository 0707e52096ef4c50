//! Certificates of a test's own: right, expired, and signed by somebody else.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// Whether a certificate is still valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Valid,
    /// Since 2021.
    Expired,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// Puts the contents of another pair into these files.
    pub fn replace_by(&self, other: &Pair) {
        for (ours, theirs) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            // As a whole, as whoever renews certificates does it.
            let new = ours.with_extension("new");
            std::fs::copy(theirs, &new).unwrap();
            std::fs::rename(&new, ours).unwrap();
        }
    }
}

/// Somebody who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// Makes an authority; its own certificate is in [`Authority::root`].
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("root.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// Where its own certificate is.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Signs a certificate for a common name and for hosts, names or addresses, and writes it and its key to
    /// files of that name.
    pub fn issue(&self, file: &str, common_name: &str, hosts: &[&str], age: Age) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        if age == Age::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let pair = Pair { certificate: at("pem"), key: at("key.pem") };
        std::fs::write(&pair.certificate, certificate.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }
}
