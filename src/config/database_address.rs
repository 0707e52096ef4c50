//! The address of a database, as libpq takes it: what the client of PostgreSQL reads itself, and what it is
//! told about TLS.
//!
//! The client knows three of libpq's six modes and no files, so those parameters are taken out of the address
//! before it reads the rest. No error quotes a value: it may be the password.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslNegotiation};

use super::connection_string::{Parameter, split};
use crate::tls::OwnCertificate;

/// How much encryption a connection needs, as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// None at all.
    Disable,
    /// Where the server lets nobody in without.
    Allow,
    /// Where the server has it.
    Prefer,
    /// In any case, towards anybody.
    Require,
    /// Towards whom a trusted root has signed.
    VerifyCa,
    /// The same, under the name that was asked for.
    VerifyFull,
}

const MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// Whom a connection trusts to sign the certificate of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those that this machine trusts.
    System,
    /// Those in a file.
    File(PathBuf),
}

/// What an address says about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseTls {
    pub mode: SslMode,
    pub roots: Option<Roots>,
    pub own: Option<OwnCertificate>,
    /// Whether the connection begins with TLS, without asking first.
    pub is_direct: bool,
}

/// An address that was read.
#[derive(Debug, Clone)]
pub struct DatabaseAddress {
    /// For the client; its own mode of TLS is for whoever connects to set.
    pub config: Config,
    pub tls: DatabaseTls,
}

/// The parameters that are not the client's.
const TLS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// Those that libpq has and this program does not, and what to do instead.
const UNKNOWN: &[(&str, &str)] = &[
    ("sslpassword", "write the key without a passphrase"),
    ("sslcrl", "leave it out: lists of revoked certificates are not read"),
    ("sslcrldir", "leave it out: lists of revoked certificates are not read"),
    ("sslcompression", "leave it out: TLS is never compressed"),
    ("sslsni", "leave it out: the name of the host is sent, as by default"),
    ("sslcertmode", "leave it out: a certificate is sent where sslcert names one and the server asks for it"),
    ("ssl_min_protocol_version", "leave it out: TLS is 1.2 or 1.3"),
    ("ssl_max_protocol_version", "leave it out: TLS is 1.2 or 1.3"),
    ("requiressl", "write sslmode=require"),
    ("gssencmode", "leave it out: there is no GSSAPI here"),
];

impl FromStr for DatabaseAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let (rest, parameters) =
            split(text, &|name| TLS.contains(&name) || UNKNOWN.iter().any(|(unknown, _)| *unknown == name));
        let is_known = |parameter: &Parameter| UNKNOWN.iter().find(|(name, _)| *name == parameter.name);
        if let Some((name, remedy)) = parameters.iter().find_map(is_known) {
            return Err(format!("has {name}, which is not known here: {remedy}"));
        }
        // The parser's message may quote parts of the address, so it is not passed on.
        let config = Config::from_str(&rest).map_err(|_| "is not an address of PostgreSQL".to_owned())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("names no host".to_owned());
        }
        let tls = tls(&config, &parameters)?;
        Ok(Self { config, tls })
    }
}

fn tls(config: &Config, parameters: &[Parameter]) -> Result<DatabaseTls, String> {
    let stated = |name: &str| {
        let last = parameters.iter().rev().find(|parameter| parameter.name == name);
        last.map(|parameter| parameter.value.as_str()).filter(|value| !value.is_empty())
    };
    let roots = stated("sslrootcert").map(|file| match file {
        "system" => Roots::System,
        file => Roots::File(file.into()),
    });
    let mode = match stated("sslmode") {
        None if roots == Some(Roots::System) => SslMode::VerifyFull,
        None => SslMode::Prefer,
        Some(word) => {
            MODES.iter().find(|(known, _)| *known == word).map(|(_, mode)| *mode).ok_or_else(|| {
                let words: Vec<&str> = MODES.iter().map(|(word, _)| *word).collect();
                format!("has an sslmode that is none of {}", words.join(", "))
            })?
        }
    };
    if roots == Some(Roots::System) && mode != SslMode::VerifyFull {
        return Err("has sslrootcert=system with a weaker sslmode than verify-full: anybody can have a certificate that \
                    the roots of the system have signed, so write sslmode=verify-full"
            .to_owned());
    }
    let own = match (stated("sslcert"), stated("sslkey")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some(OwnCertificate { certificate: certificate.into(), key: key.into() })
        }
        (Some(_), None) => return Err("has sslcert without sslkey: name the file of its key too".to_owned()),
        (None, Some(_)) => {
            return Err("has sslkey without sslcert: name the file of its certificate too".to_owned());
        }
    };
    let is_direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
    if is_direct && mode < SslMode::Require {
        return Err("has sslnegotiation=direct with a weaker sslmode than require: write sslmode=require, verify-ca or \
                    verify-full"
            .to_owned());
    }
    if config.get_channel_binding() == ChannelBinding::Require && mode < SslMode::Require {
        return Err("has channel_binding=require with a weaker sslmode than require: write sslmode=require, verify-ca or \
                    verify-full"
            .to_owned());
    }
    let has_names = config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
    if mode >= SslMode::Require && !has_names {
        return Err(
            "demands TLS and names no host that it could be for: name one by host, and not by hostaddr or a \
                    socket alone"
                .to_owned(),
        );
    }
    Ok(DatabaseTls { mode, roots, own, is_direct })
}
