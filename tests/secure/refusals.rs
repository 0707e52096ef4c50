//! What is wrong with a connection to a broker is named, with what to do about it.

use nyc311_testkit::secure_kafka::{Listener, PASSWORD, SecureKafka, USER};
use nyc311_testkit::{Age, Authority, Binary};

use crate::{PROGRAM, properties};

/// Commands that ask a broker, with these properties.
fn asking(address: &str, pairs: &[(&str, &str)]) -> Binary {
    PROGRAM
        .bare()
        .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", address)
        .with("NYC311_KAFKA__PROPERTIES", &properties(pairs))
}

#[tokio::test]
async fn what_is_wrong_with_a_secure_connection_is_named_with_its_remedy() {
    let broker = SecureKafka::shared();
    let theirs = Authority::new("theirs");
    let (root, stranger) = (broker.authority.root(), theirs.root());
    let root = ("ssl.ca.location", root.to_str().unwrap());
    let stranger = ("ssl.ca.location", stranger.to_str().unwrap());
    let foreign = theirs.issue("client", "client", &[], Age::Valid);
    let foreign = [
        ("ssl.certificate.location", foreign.certificate.to_str().unwrap()),
        ("ssl.key.location", foreign.key.to_str().unwrap()),
    ];
    let ssl = ("security.protocol", "SSL");
    let sasl = |mechanism: &'static str, password: &'static str| {
        vec![
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", USER),
            ("sasl.password", password),
        ]
    };
    for (listener, pairs, expected) in [
        (
            Listener::SignedIn,
            [sasl("PLAIN", PASSWORD), vec![stranger]].concat(),
            "the certificate of the broker is signed by nobody who is trusted here; name in ssl.ca.location",
        ),
        (Listener::Expired, vec![ssl, root], "the certificate of the broker has expired on 2021-01-01"),
        (
            Listener::Elsewhere,
            vec![ssl, root],
            "the certificate of the broker does not name 127.0.0.1; it is for elsewhere.example",
        ),
        (
            Listener::SignedIn,
            [sasl("SCRAM-SHA-512", "hunter3"), vec![root]].concat(),
            "the broker does not let this program in: mend sasl.username and sasl.password",
        ),
        (
            Listener::SignedIn,
            [sasl("SCRAM-SHA-256", PASSWORD), vec![root]].concat(),
            "the broker does not sign in this way: write in sasl.mechanism",
        ),
        (Listener::Mutual, vec![ssl, root], "the broker demands a certificate of this program"),
        (
            Listener::Mutual,
            [vec![ssl, root], foreign.to_vec()].concat(),
            "in ssl.certificate.location and ssl.key.location of kafka.properties",
        ),
        (Listener::Plain, vec![ssl, root], "the broker does not speak TLS there: write PLAINTEXT"),
        (Listener::Elsewhere, vec![], "it may demand TLS (write SSL or SASL_SSL in security.protocol"),
    ] {
        let finding = asking(&broker.address(listener), &pairs).finding("kafka").await;
        let (text, ok) = (finding.to_string(), finding["ok"].as_bool().unwrap());
        assert!(!ok && text.contains(expected) && !text.contains("hunter"), "{listener:?} {pairs:?}: {text}");
    }
}

#[tokio::test]
async fn files_that_librdkafka_cannot_use_end_the_start_with_78() {
    let theirs = Authority::new("theirs");
    let [one, other] = ["one", "other"].map(|name| theirs.issue(name, name, &[], Age::Valid));
    let (one, other) = (one.certificate.to_str().unwrap(), other.key.to_str().unwrap());
    for (pairs, expected) in [
        (vec![("ssl.ca.location", "/nowhere/ca.pem")], "ssl.ca.location"),
        (
            vec![("ssl.certificate.location", one), ("ssl.key.location", other)],
            "kafka.properties cannot work",
        ),
        (vec![("ssl.key.location", "/nowhere/key.pem")], "ssl.key.location"),
    ] {
        let pairs = [vec![("security.protocol", "SSL")], pairs].concat();
        let ended = asking("127.0.0.1:1", &pairs)
            .with("NYC311_HTTP__LISTEN", "127.0.0.1:0")
            .with("NYC311_DATABASE__URL", "postgresql://u@127.0.0.1:1/d")
            .run(&["run"])
            .await;
        assert_eq!(ended.code, 78, "{pairs:?}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{pairs:?}: {ended:?}");
    }
}
