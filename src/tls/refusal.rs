//! Why there is no encrypted connection, in words that say what to do.

use jiff::Timestamp;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error};

/// How the settings of a connection are called.
#[derive(Debug, Clone, Copy)]
pub struct TlsSettingNames {
    /// What names the other side.
    pub address: &'static str,
    /// What names the roots that are trusted.
    pub roots: &'static str,
    /// What names this side's certificate.
    pub own: &'static str,
}

/// What was refused, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRefusal {
    pub detail: String,
    pub remedy: String,
}

impl std::fmt::Display for TlsRefusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}; {}", self.detail, self.remedy)
    }
}

fn date(moment: UnixTime) -> String {
    let second = i64::try_from(moment.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(second).map_or_else(|_| "a far day".to_owned(), |moment| moment.to_string())
}

fn name(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// Takes the name out of what rustls makes of one, as `DnsName("a.example")`.
fn bare(shown: &str) -> &str {
    let inner = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(shown).trim_matches('"')
}

impl TlsRefusal {
    fn new(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { detail: detail.into(), remedy: remedy.into() }
    }

    /// Finds the error of TLS under what a client reports, and says what it means.
    pub fn under(error: &(dyn std::error::Error + 'static), names: TlsSettingNames) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Error>() {
                return Some(Self::of(found, names));
            }
            // An error of input and output does not count what it is made of among its sources.
            let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            next = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// Says what an error of TLS means.
    pub fn of(error: &Error, names: TlsSettingNames) -> Self {
        match error {
            Error::InvalidCertificate(wrong) => Self::of_certificate(wrong, names),
            Error::AlertReceived(alert) => Self::of_alert(*alert, names),
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => Self::new(
                "what answers does not speak TLS",
                format!("mend {}, or leave the encryption out", names.address),
            ),
            Error::PeerIncompatible(why) => Self::new(
                format!("the server and this program have no way of TLS in common ({why:?})"),
                "let the server speak TLS 1.2 or 1.3",
            ),
            other => Self::new(format!("the handshake failed: {other}"), "look into the log of the server"),
        }
    }

    fn of_certificate(wrong: &CertificateError, names: TlsSettingNames) -> Self {
        let TlsSettingNames { address, roots, .. } = names;
        match wrong {
            CertificateError::UnknownIssuer => Self::new(
                "the certificate of the server is signed by nobody who is trusted here",
                format!("name in {roots} the root that signed it, and let the server show those in between"),
            ),
            CertificateError::Expired => Self::new("the certificate of the server has expired", RENEW),
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::new(format!("the certificate of the server has expired on {}", date(*not_after)), RENEW)
            }
            CertificateError::NotValidYet => {
                Self::new("the certificate of the server is not valid yet", RENEW)
            }
            CertificateError::NotValidYetContext { not_before, .. } => Self::new(
                format!("the certificate of the server is not valid before {}", date(*not_before)),
                RENEW,
            ),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let presented: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                let presented =
                    if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
                Self::new(
                    format!(
                        "the certificate of the server does not name {}; it is for {presented}",
                        name(expected)
                    ),
                    renamed(address),
                )
            }
            CertificateError::NotValidForName => {
                Self::new("the certificate of the server is for another name", renamed(address))
            }
            CertificateError::Revoked => {
                Self::new("the certificate of the server was revoked", "have the server show another one")
            }
            other => Self::new(
                format!("the certificate of the server cannot be trusted: {other}"),
                format!("have another one made, of version 3 with a subjectAltName, or name it in {roots}"),
            ),
        }
    }

    fn of_alert(alert: AlertDescription, names: TlsSettingNames) -> Self {
        let own = names.own;
        match alert {
            AlertDescription::CertificateRequired => {
                Self::new("the server demands a certificate of this program", format!("name one in {own}"))
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => Self::new(
                format!("the server does not take the certificate of this program ({alert:?})"),
                format!("name in {own} one that is signed by whom the server trusts"),
            ),
            AlertDescription::CertificateExpired => Self::new(
                "the certificate of this program has expired, says the server",
                format!("renew the one that {own} names"),
            ),
            other => Self::new(
                format!("the server ended the handshake ({other:?})"),
                "look into the log of the server",
            ),
        }
    }
}

const RENEW: &str = "have the server's renewed, or mend the clock of this machine; it is looked at again";

fn renamed(address: &str) -> String {
    format!("write in {address} a name that it has, or have one made for this name")
}
