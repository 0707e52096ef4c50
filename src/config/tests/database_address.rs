//! What the address of the database says about TLS, in both of libpq's forms.

use std::path::PathBuf;

use crate::config::{DatabaseAddress, DatabaseTls, Roots, Settings, SslMode};
use crate::tls::OwnCertificate;

/// The parameters in both forms.
fn addresses(parameters: &str) -> [String; 2] {
    let address = format!("postgresql://u:hunter2@h/d?{parameters}");
    [address, format!("host=h user=u password=hunter2 dbname=d {}", parameters.replace('&', " "))]
}

fn tls(address: &str) -> DatabaseTls {
    address.parse::<DatabaseAddress>().unwrap_or_else(|error| panic!("{address}: {error}")).tls
}

#[test]
fn each_mode_is_read_and_the_rest_of_the_address_reaches_the_client() {
    for (word, mode) in [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ] {
        for address in addresses(&format!("sslmode={word}&application_name=a")) {
            assert_eq!(tls(&address).mode, mode, "{address}");
            let DatabaseAddress { config, .. } = address.parse().unwrap();
            assert_eq!(config.get_password(), Some("hunter2".as_bytes()), "{address}");
            assert_eq!((config.get_dbname(), config.get_application_name()), (Some("d"), Some("a")));
        }
    }
    assert_eq!(tls("postgresql://u@h/d").mode, SslMode::Prefer);
}

#[test]
fn files_are_named_with_any_letters() {
    for address in [
        "postgresql://u@h/d?sslmode=verify-ca&sslrootcert=/a%20b/ca.pem&sslcert=/c.pem&sslkey=/k%26.pem",
        "host=h sslmode=verify-ca sslrootcert='/a b/ca.pem' sslcert=/c.pem sslkey = /k&.pem",
    ] {
        let found = tls(address);
        assert_eq!(found.roots, Some(Roots::File(PathBuf::from("/a b/ca.pem"))));
        let own = OwnCertificate { certificate: "/c.pem".into(), key: "/k&.pem".into() };
        assert_eq!(found.own, Some(own));
    }
}

#[test]
fn roots_of_the_system_are_only_for_full_verification() {
    for address in addresses("sslrootcert=system") {
        let found = tls(&address);
        assert_eq!((found.mode, found.roots), (SslMode::VerifyFull, Some(Roots::System)));
    }
    for weaker in ["prefer", "require", "verify-ca"] {
        for address in addresses(&format!("sslrootcert=system&sslmode={weaker}")) {
            let text = Settings::with(&[("database.url", &address)]).unwrap_err().to_string();
            assert!(text.contains("write sslmode=verify-full") && !text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn what_contradicts_itself_or_is_not_known_is_refused_with_a_remedy_and_without_a_value() {
    for (parameters, expected) in [
        (
            "sslmode=verify-all",
            "has an sslmode that is none of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("sslcert=/c.pem", "has sslcert without sslkey: name the file of its key too"),
        ("sslkey=/k.pem", "has sslkey without sslcert: name the file of its certificate too"),
        ("sslnegotiation=direct", "write sslmode=require, verify-ca or verify-full"),
        ("channel_binding=require&sslmode=prefer", "write sslmode=require, verify-ca or verify-full"),
        (
            "sslpassword=hunter3",
            "has sslpassword, which is not known here: write the key without a passphrase",
        ),
        ("sslcrl=/crl.pem", "has sslcrl, which is not known here"),
        ("ssl_min_protocol_version=TLSv1.1", "leave it out: TLS is 1.2 or 1.3"),
        ("hunter3=4", "is not an address of PostgreSQL"),
    ] {
        for address in addresses(parameters) {
            let text = Settings::with(&[("database.url", &address)]).unwrap_err().to_string();
            assert!(text.contains("database.url = \"***\"") && text.contains(expected), "{text}");
            assert!(!text.contains("hunter"), "{text}");
        }
    }
    let nameless = "hostaddr=127.0.0.1 sslmode=verify-full";
    let text = Settings::with(&[("database.url", nameless)]).unwrap_err().to_string();
    assert!(text.contains("name one by host"), "{text}");
    for parameters in
        ["sslnegotiation=direct&sslmode=require", "channel_binding=require&sslmode=verify-full", "sslmode="]
    {
        for address in addresses(parameters) {
            assert!(Settings::with(&[("database.url", &address)]).is_ok(), "{address}");
        }
    }
}
