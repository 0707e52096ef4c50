//! A look at whether Kafka answers, and why it does not.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::client::Logged;
use super::error::KafkaError;
use super::trouble::{OWN, broker_of, is_about_certificate, meaning};
use crate::tls::{TlsRefusal, TlsSettingNames, Trust, read_certificates, read_system_roots};

/// What a client may have reported between two looks; the rest is heard at the next one.
const REPORTS: usize = 1_000;
/// How long it is listened to for another report.
const HEARING: Duration = Duration::from_millis(20);
/// How long the broker is asked for its certificate.
const PROBE: Duration = Duration::from_secs(2);

const NAMES: TlsSettingNames = TlsSettingNames {
    address: "advertised.listeners of the broker, and in kafka.bootstrap_servers,",
    roots: "ssl.ca.location of kafka.properties",
    own: OWN,
};

/// Asks the brokers for the id of their cluster. Where none answers and its connections say why, the error
/// says it too.
pub(super) fn cluster_id(
    reader: &BaseConsumer<Logged>,
    config: &ClientConfig,
    patience: Duration,
) -> Result<Arc<str>, KafkaError> {
    // A cluster id is kept by the client once known, so ask the brokers first whether they are there at all.
    let answered = reader.client().fetch_metadata(None, patience).map_err(KafkaError::from);
    let found = answered.and_then(|_| {
        let id = reader.client().fetch_cluster_id(patience);
        id.map(Arc::from).ok_or_else(|| KafkaError::unavailable("no answer with a cluster id"))
    });
    // Nobody else takes up what this client reports. Without any patience it would stop behind the first line
    // of its log.
    for _ in 0..REPORTS {
        if reader.poll(HEARING).is_none() {
            break;
        }
    }
    let trouble = &reader.context().trouble;
    match found {
        Ok(id) => {
            trouble.forget();
            Ok(id)
        }
        Err(error) => match trouble.last().and_then(|reason| explained(&reason, config)) {
            Some(why) => Err(KafkaError::unavailable(why).caused_by(error)),
            None => Err(error),
        },
    }
}

/// Says what the report means. Of a certificate that was refused librdkafka says only that it was, so the
/// broker is asked for it once more.
fn explained(reason: &str, config: &ClientConfig) -> Option<String> {
    let refused = is_about_certificate(reason).then(|| certificate_fault(broker_of(reason)?, config));
    match refused.flatten() {
        Some(refusal) => Some(refusal.to_string().replace("the server", "the broker")),
        None => meaning(reason),
    }
}

fn certificate_fault(broker: &str, config: &ClientConfig) -> Option<TlsRefusal> {
    let roots = match config.get("ssl.ca.location") {
        Some(file) => read_certificates(Path::new(file)),
        None => read_system_roots(),
    };
    let checks_name = config.get("ssl.endpoint.identification.algorithm") != Some("none");
    let client = Trust::in_roots(roots.ok()?, checks_name).ok()?.client(None).ok()?;
    let host = broker.rsplit_once(':')?.0.trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let address = broker.to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&address, PROBE).ok()?;
    stream.set_read_timeout(Some(PROBE)).ok()?;
    stream.set_write_timeout(Some(PROBE)).ok()?;
    let connection = ClientConnection::new(Arc::new(client), name).ok()?;
    // Nothing is said: a certificate that is refused is refused before.
    let error = StreamOwned::new(connection, stream).read(&mut [0]).err()?;
    TlsRefusal::under(&error, NAMES)
}
