//! Connects to the server with as much encryption as the address asks for, as libpq does.
//!
//! The files are read anew for each connection: a renewed certificate needs no restart, and one that is being
//! replaced, with a key that does not match it for a moment, is looked at again by whoever tries again.

use rustls::{ClientConfig, Error as TlsError};
use tokio_postgres::config::SslMode as ClientMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{DatabaseTls, Roots, SslMode};
use crate::tls::{TlsFileError, TlsSettingNames, Trust, read_certificates, read_own, read_system_roots};

/// How an operator calls what TLS rests on here.
pub(super) const NAMES: TlsSettingNames = TlsSettingNames {
    address: "the host of database.url",
    roots: "sslrootcert of database.url",
    own: "sslcert and sslkey of database.url",
};

/// How the client's error of a handshake begins. It carries no code, so the text is all that tells it apart.
pub(super) const HANDSHAKE: &str = "error performing TLS handshake";

/// Why there is no client of TLS.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TlsFault {
    #[error(transparent)]
    File(#[from] TlsFileError),
    #[error("cannot be set up: {0}")]
    Setup(#[from] TlsError),
}

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Takes part in a connection, or says why it cannot.
#[derive(Clone)]
struct Connector(Result<MakeRustlsConnect, TlsFault>);

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let made = self.0.as_mut().map_err(|fault| fault.clone())?;
        MakeTlsConnect::<Socket>::make_tls_connect(made, host).map_err(Into::into)
    }
}

/// Reads the files that the address names, and says whether they can be used.
pub(super) fn read(tls: &DatabaseTls) -> Result<ClientConfig, TlsFault> {
    let own = tls.own.as_ref().map(read_own).transpose()?;
    let checks_name = tls.mode == SslMode::VerifyFull;
    let trust = match (&tls.roots, tls.mode) {
        // As libpq: roots that are named are asked in every mode.
        (Some(Roots::File(file)), _) => Trust::in_roots(read_certificates(file)?, checks_name)?,
        (Some(Roots::System), _) | (None, SslMode::VerifyCa | SslMode::VerifyFull) => {
            Trust::in_roots(read_system_roots()?, checks_name)?
        }
        (None, _) => Trust::anybody(),
    };
    let mut config = trust.client(own)?;
    if tls.is_direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

/// What is tried, one after the other.
fn attempts(mode: SslMode) -> &'static [ClientMode] {
    match mode {
        SslMode::Disable => &[ClientMode::Disable],
        SslMode::Allow => &[ClientMode::Disable, ClientMode::Require],
        SslMode::Prefer => &[ClientMode::Prefer, ClientMode::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[ClientMode::Require],
    }
}

/// Whether another way of encryption may help: the handshake failed, or the server lets nobody in this way. A
/// wrong password is not tried again.
fn is_about_encryption(error: &Error) -> bool {
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
        || error.to_string().starts_with(HANDSHAKE)
}

/// Connects; the error is that of the last attempt.
pub(super) async fn connect(
    mut config: Config,
    tls: DatabaseTls,
) -> Result<(Client, Connection<Socket, Stream>), Error> {
    let mut left = attempts(tls.mode).iter().peekable();
    let connector = connector(tls).await;
    loop {
        let mode = left.next().copied().unwrap_or(ClientMode::Disable);
        config.ssl_mode(mode);
        match config.connect(connector.clone()).await {
            Err(error) if left.peek().is_some() && is_about_encryption(&error) => {
                tracing::debug!(%error, ?mode, "database connection is tried another way");
            }
            outcome => return outcome,
        }
    }
}

async fn connector(tls: DatabaseTls) -> Connector {
    if tls.mode == SslMode::Disable {
        // Never asked, and whatever it reads could be wrong.
        return Connector(Trust::anybody().client(None).map(MakeRustlsConnect::new).map_err(Into::into));
    }
    // Files may lie far away, and the one thread here carries the traffic of all connections.
    let read = tokio::task::spawn_blocking(move || read(&tls)).await;
    let read = read.unwrap_or_else(|error| Err(TlsError::General(error.to_string()).into()));
    Connector(read.map(MakeRustlsConnect::new))
}
