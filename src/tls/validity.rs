//! From when to when a certificate is valid.

use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// The dates of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    from: Duration,
    until: Duration,
}

impl Validity {
    /// Reads the dates; none where the certificate cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
        let from = validity.not_before.to_unix_duration();
        Some(Self { from, until: validity.not_after.to_unix_duration() })
    }

    /// Refuses the certificate where it is not valid yet, or no longer.
    pub fn refuse_at(self, now: UnixTime) -> Result<(), Error> {
        let at = |moment: Duration| UnixTime::since_unix_epoch(moment);
        if now.as_secs() > self.until.as_secs() {
            return Err(CertificateError::ExpiredContext { time: now, not_after: at(self.until) }.into());
        }
        if now.as_secs() < self.from.as_secs() {
            return Err(CertificateError::NotValidYetContext { time: now, not_before: at(self.from) }.into());
        }
        Ok(())
    }
}

/// Returns until when a certificate is valid, for texts.
pub fn until(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let until = Validity::of(certificate)?.until;
    Timestamp::from_second(i64::try_from(until.as_secs()).ok()?).ok()
}
