//! Addresses: of the source, of the database, of the control endpoint.

use std::net::SocketAddr;

use super::{Described, Form, Secrecy, Shown, is_none, text};
use crate::config::database_address::DatabaseAddress;
use crate::config::secret::Secret;
use crate::config::written::Written;

const HTTP_URL: &str = "an address that starts with http:// or https://";

/// The address of a resource.
pub struct HttpUrl;

impl Described for HttpUrl {
    fn allowed(&self) -> String {
        HTTP_URL.to_owned()
    }
}

impl Form<String> for HttpUrl {
    fn read(&self, written: &Written) -> Result<String, String> {
        let text = written.text()?;
        http_url(text).map(|()| text.to_owned())
    }

    fn shown(&self, value: &String) -> Option<Shown> {
        text(value)
    }
}

/// The address of a service, to which paths are added, or nothing: a slash at its end is no part of it.
pub struct OptionalServiceUrl;

impl Described for OptionalServiceUrl {
    fn allowed(&self) -> String {
        HTTP_URL.to_owned()
    }
}

impl Form<Option<String>> for OptionalServiceUrl {
    fn read(&self, written: &Written) -> Result<Option<String>, String> {
        let text = written.text()?;
        if is_none(text) {
            return Ok(None);
        }
        http_url(text).map(|()| Some(text.trim_end_matches('/').to_owned()))
    }

    fn shown(&self, value: &Option<String>) -> Option<Shown> {
        value.as_deref().and_then(text)
    }
}

fn http_url(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    match text.split_once("://") {
        None => return Err("is an address without http:// or https:// in front".to_owned()),
        Some((scheme, _)) if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") => {
            return Err(format!("begins with {scheme}://"));
        }
        Some(_) => {}
    }
    let url = reqwest::Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user in it, which logs would show".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment".to_owned());
    }
    Ok(())
}

/// The address of a PostgreSQL database.
pub struct DatabaseUrl;

impl Described for DatabaseUrl {
    fn allowed(&self) -> String {
        "`postgresql://user:password@host:port/database?sslmode=verify-full`, or libpq's `host=... user=...`"
            .to_owned()
    }

    fn secrecy(&self) -> Secrecy {
        Secrecy::Address
    }
}

impl Form<Secret> for DatabaseUrl {
    fn read(&self, written: &Written) -> Result<Secret, String> {
        let text = written.text()?;
        text.parse::<DatabaseAddress>().map(|_| Secret::new(text))
    }

    // An address is told apart by host and database.
    fn shown(&self, value: &Secret) -> Option<Shown> {
        text(&value.redacted())
    }
}

/// An address to listen on.
pub struct Address;

impl Described for Address {
    fn allowed(&self) -> String {
        "an IP address and a port, as 127.0.0.1:8311 or [::]:8311".to_owned()
    }
}

impl Form<SocketAddr> for Address {
    fn read(&self, written: &Written) -> Result<SocketAddr, String> {
        written.text()?.parse().map_err(|_| "is not an IP address with a port".to_owned())
    }

    fn shown(&self, value: &SocketAddr) -> Option<Shown> {
        text(&value.to_string())
    }
}
