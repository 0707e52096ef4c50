//! Settings of the commands that ask a running service.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::form::{OptionalPath, OptionalServiceUrl, Shown};
use super::http;
use super::reading::Reading;
use super::section::{Section, settings};

settings! {
    /// What the operator says about the service.
    StatedClient "client" {
        url: Option<String> = None, OptionalServiceUrl,
            "Where `poll`, `status`, `health` and `fault` find the service; none takes `http.listen` on this \
             machine, with https where `http.tls_certificate` is set.",
            "They speak HTTP.";
        root_certificate: Option<PathBuf> = None, OptionalPath,
            "Whom these commands trust to have signed the certificate of an `https://` service; none takes \
             the roots of this machine.",
            "The certificate that `http.tls_certificate` names is trusted too, whatever its name.";
    }
}

/// Where the commands that ask a running service find it.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    pub url: String,
    pub root_certificate: Option<PathBuf>,
}

/// Where a service listens whose system chose the port: nowhere that could be known.
const USUAL_PORT: u16 = 8311;

impl Section for ClientSettings {
    /// Finds the service of this machine by its own settings, as the health check of a container does.
    fn read(reading: &mut Reading<'_>) -> Self {
        let StatedClient { url, root_certificate } = StatedClient::read(reading);
        let url = url.unwrap_or_else(|| {
            let has_tls = reading.peek(&http::DECLARED.tls_certificate).is_some();
            let scheme = if has_tls { "https" } else { "http" };
            let url = format!("{scheme}://{}", reached(reading.peek(&http::DECLARED.listen)));
            reading.stands_for(&DECLARED.url, &Shown::Text(url.clone()));
            url
        });
        Self { url, root_certificate }
    }
}

/// Returns where on this machine a service is reached that listens there.
fn reached(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        let loopback = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        listen.set_ip(loopback);
    }
    if listen.port() == 0 {
        listen.set_port(USUAL_PORT);
    }
    listen
}
