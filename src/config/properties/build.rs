//! What the properties ask of librdkafka that it cannot do as it is built, and what to do instead.

use std::collections::BTreeMap;

/// How librdkafka is built into this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// With OpenSSL, which gives TLS and the mechanisms of SASL that need its hashes.
    pub has_tls: bool,
}

impl Build {
    /// The build that this is.
    pub const THIS: Self = Self { has_tls: cfg!(feature = "kafka-tls") };

    /// The mechanisms of SASL that it knows.
    fn mechanisms(self) -> &'static [&'static str] {
        if self.has_tls { &MECHANISMS[..4] } else { &MECHANISMS[..1] }
    }
}

/// What librdkafka's mechanisms of SASL are called: the one of every build, those that need OpenSSL, and the
/// one that no build of this program has.
const MECHANISMS: [&str; 5] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"];
/// What librdkafka takes where no mechanism is named.
const DEFAULT_MECHANISM: &str = MECHANISMS[4];

const WITHOUT_TLS: &str = "take a program that is built with the feature kafka-tls (cargo build --release --features \
                           kafka-tls), or write PLAINTEXT or SASL_PLAINTEXT without ssl.* (docs/security.md)";
const WITHOUT_MECHANISM: &str = "write PLAIN, or take a program that is built with the feature kafka-tls (cargo build --release \
                                 --features kafka-tls), which knows SCRAM-SHA-256 and SCRAM-SHA-512 too \
                                 (docs/security.md)";
const OTHER_MECHANISM: &str = "write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, or let a proxy beside this program \
                               sign in to the brokers (docs/security.md)";
const WITHOUT_OIDC: &str = "write SCRAM-SHA-512, PLAIN or a client certificate, or let a proxy beside this program sign in \
                            to the brokers (docs/security.md)";

/// Says what the properties ask of librdkafka that it cannot do in such a build, and what to do instead.
pub fn impossible(properties: &BTreeMap<String, String>, build: Build) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    // Names are librdkafka's, in lower case; its protocols are read in any case.
    let protocol = properties.get("security.protocol").map(|value| value.trim().to_ascii_uppercase());
    let protocol = protocol.as_deref().unwrap_or_default();
    if !build.has_tls {
        if matches!(protocol, "SSL" | "SASL_SSL") {
            let detail =
                format!("sets security.protocol to {protocol}, and there is no TLS to Kafka in this build");
            found.push((detail, WITHOUT_TLS));
        }
        for name in properties.keys() {
            if name.starts_with("ssl.") || name == "enable.ssl.certificate.verification" {
                let detail = format!("sets {name}, and there is no TLS to Kafka in this build");
                found.push((detail, WITHOUT_TLS));
            }
        }
    }
    if protocol.starts_with("SASL_") {
        found.extend(impossible_sign_in(properties, protocol, build));
    }
    found
}

fn impossible_sign_in(
    properties: &BTreeMap<String, String>,
    protocol: &str,
    build: Build,
) -> Vec<(String, &'static str)> {
    let known = build.mechanisms();
    let remedy = if build.has_tls { OTHER_MECHANISM } else { WITHOUT_MECHANISM };
    let knows = format!("this build knows {} alone", known.join(", "));
    let stated = ["sasl.mechanism", "sasl.mechanisms"].map(|name| properties.get_key_value(name));
    let mut found = Vec::new();
    for (name, value) in stated.into_iter().flatten() {
        if !known.contains(&value.as_str()) {
            // Only a name that librdkafka knows is shown: anything else may be a secret that got into the
            // wrong place.
            let shown = MECHANISMS.iter().find(|known| *known == value).copied().unwrap_or("something else");
            found.push((format!("sets {name} to {shown}, and {knows}"), remedy));
        }
    }
    if stated == [None, None] {
        let detail = format!(
            "sets security.protocol to {protocol} without sasl.mechanism, which is then {DEFAULT_MECHANISM}, and {knows}"
        );
        found.push((detail, remedy));
    }
    let bearer = stated.into_iter().flatten().any(|(_, value)| value == "OAUTHBEARER");
    if build.has_tls && bearer {
        found.extend(missing_token(properties).map(|detail| (detail, WITHOUT_OIDC)));
    }
    found
}

/// Says why no token would come. One from an OpenID provider is fetched with libcurl, which no build of this
/// program has; the one that librdkafka makes by itself is unsigned.
fn missing_token(properties: &BTreeMap<String, String>) -> Option<String> {
    let is = |name: &str, expected: &str| {
        properties.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
    };
    if is("sasl.oauthbearer.method", "oidc") {
        return Some(
            "sets sasl.oauthbearer.method to oidc, and this build has no libcurl, which fetches the token"
                .to_owned(),
        );
    }
    (!is("enable.sasl.oauthbearer.unsecure.jwt", "true")).then(|| {
        "sets the mechanism OAUTHBEARER without enable.sasl.oauthbearer.unsecure.jwt, and this build has no other way to a token"
            .to_owned()
    })
}
