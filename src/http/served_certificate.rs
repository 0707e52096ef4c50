//! The certificate that the endpoint shows, read again when its files change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::tls::{self, OwnCertificate, TlsFileError};

/// How often the files are looked at, while somebody connects.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another, also where a link leads elsewhere: Kubernetes changes secrets
/// so.
type Stamp = [Option<(u64, i64, i64, u64)>; 2];

fn stamp(own: &OwnCertificate) -> Stamp {
    let of = |metadata: Metadata| (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
    [&own.certificate, &own.key]
        .map(|path: &std::path::PathBuf| std::fs::metadata(Path::new(path)).ok().map(of))
}

#[derive(Debug)]
struct Current {
    pair: Arc<CertifiedKey>,
    stamp: Stamp,
    looked_at: Instant,
}

#[derive(Debug)]
struct ServedCertificate {
    own: OwnCertificate,
    current: Mutex<Current>,
}

impl ServedCertificate {
    fn read(own: OwnCertificate) -> Result<Self, TlsFileError> {
        // Taken before the files are read: what changes meanwhile is seen at the next look.
        let stamp = stamp(&own);
        let pair = Arc::new(tls::read_own(&own)?);
        Ok(Self { own, current: Mutex::new(Current { pair, stamp, looked_at: Instant::now() }) })
    }

    /// Reads the files again where they have changed. While the two do not fit each other, or one cannot be
    /// read, the old certificate is shown.
    fn refreshed(&self) -> Arc<CertifiedKey> {
        let mut current = self.current.lock();
        if current.looked_at.elapsed() >= LOOK_EVERY {
            current.looked_at = Instant::now();
            let stamp = stamp(&self.own);
            if stamp != current.stamp {
                current.stamp = stamp;
                match tls::read_own(&self.own) {
                    Ok(pair) => {
                        current.pair = Arc::new(pair);
                        tell(&current.pair, &self.own);
                    }
                    Err(error) => tracing::warn!(
                        %error,
                        "the certificate of the control endpoint has changed and cannot be used, the old one is shown"
                    ),
                }
            }
        }
        current.pair.clone()
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.refreshed())
    }
}

/// Says which certificate is shown. One that has expired is no reason not to start: nobody is let in by it,
/// and the rows go on to the database meanwhile.
fn tell(pair: &CertifiedKey, own: &OwnCertificate) {
    let until = pair.cert.first().and_then(|certificate| tls::until(certificate));
    let certificate = own.certificate.display();
    match until {
        Some(until) if until < Timestamp::now() => tracing::warn!(
            %certificate,
            expired_at = %until,
            "the certificate of the control endpoint has expired, renew it: it is read again when it changes"
        ),
        Some(until) => tracing::info!(%certificate, valid_until = %until, "the control endpoint speaks tls"),
        None => tracing::info!(%certificate, "the control endpoint speaks tls"),
    }
}

/// Why the endpoint cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServedTlsError {
    #[error("http.tls_certificate and http.tls_key cannot be used: {0}")]
    File(#[from] TlsFileError),
    #[error("tls cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Reads the certificate and makes the settings of a server that shows it.
pub fn server_config(own: OwnCertificate) -> Result<ServerConfig, ServedTlsError> {
    let served = ServedCertificate::read(own)?;
    tell(&served.current.lock().pair, &served.own);
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(served));
    Ok(config)
}
