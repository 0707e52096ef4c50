//! What stands in the way of a secure connection to a broker, by what librdkafka says of it.
//!
//! A call that fails says only that no broker was reached. Why is in the errors that the client reports
//! beside it, and there in words alone; what is none of these is a broker that is away.

use parking_lot::Mutex;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

/// What operators call the certificate of this program.
pub(super) const OWN: &str = "ssl.certificate.location and ssl.key.location of kafka.properties";

/// Words of librdkafka and of OpenSSL under it, and what they mean; the first that fits counts.
const MEANINGS: &[(&[&str], &str)] = &[
    (
        &["certificate verify failed", "Failed to verify broker certificate"],
        "the certificate of the broker is not trusted here: see that ssl.ca.location of kafka.properties names the root \
         that signed it, that it has not expired, and that it is for the host that the broker advertises",
    ),
    (
        &[
            "wrong version number",
            "PLAINTEXT broker listener",
            "record layer failure",
            "packet length too long",
        ],
        "the broker does not speak TLS there: write PLAINTEXT or SASL_PLAINTEXT in security.protocol of \
         kafka.properties, or the port of its listener with TLS in kafka.bootstrap_servers",
    ),
    (
        &["connecting to a SSL listener?"],
        "the broker ends connections without TLS there: write SSL or SASL_SSL in security.protocol of kafka.properties, \
         or the port of its listener without TLS in kafka.bootstrap_servers",
    ),
    (
        &[
            "alert certificate required",
            "alert bad certificate",
            "client SSL authentication might be required",
        ],
        "the broker demands a certificate of this program and gets none that it takes: name one that is signed by whom \
         it trusts, and its key, in ssl.certificate.location and ssl.key.location of kafka.properties",
    ),
    (
        &[
            "alert unknown ca",
            "alert certificate unknown",
            "alert unsupported certificate",
            "alert certificate expired",
        ],
        "the broker does not take the certificate of this program: name one that is valid and signed by whom it trusts \
         in ssl.certificate.location and ssl.key.location of kafka.properties",
    ),
    (
        &["mechanism handshake failed"],
        "the broker does not sign in this way: write in sasl.mechanism of kafka.properties one that it has",
    ),
    (
        &["SASL authentication error", "SASL authentication failure"],
        "the broker does not let this program in: mend sasl.username and sasl.password of kafka.properties, which may \
         come from a file (NYC311_KAFKA__PROPERTIES__SASL_PASSWORD_FILE)",
    ),
    (
        &["might require SASL authentication", "hung up from peer in state AUTH"],
        "the broker may ask for a sign-in: write SASL_SSL or SASL_PLAINTEXT in security.protocol of kafka.properties, and \
         sasl.mechanism, sasl.username and sasl.password",
    ),
    (
        &["in state APIVERSION_QUERY"],
        "the broker ends connections before it has answered: it may demand TLS (write SSL or SASL_SSL in \
         security.protocol of kafka.properties, or the port of its listener without TLS in kafka.bootstrap_servers), or \
         be about to stop",
    ),
    (&["SSL handshake failed"], "the handshake of TLS failed: look into the log of the broker"),
];

/// Says what an error that librdkafka reports means, with its own words behind it; none where it is not about
/// encryption or the sign-in.
pub(super) fn meaning(reason: &str) -> Option<String> {
    let fits = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let (_, meaning) = MEANINGS.iter().find(|(words, _)| fits(words))?;
    // How long the connection lived is another each time.
    let said = reason.rfind(" (after ").map_or(reason, |at| &reason[..at]);
    Some(format!("{meaning} ({said})"))
}

/// Whether it is the certificate of the broker that is refused here.
pub(super) fn is_about_certificate(reason: &str) -> bool {
    MEANINGS[0].0.iter().any(|word| reason.contains(word))
}

/// Returns host and port of the broker that an error tells of.
pub(super) fn broker_of(reason: &str) -> Option<&str> {
    let address = reason.split_once("://")?.1;
    address.split_once('/').map(|(address, _)| address)
}

/// The last that a client has reported of its connections.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Option<String>>);

impl Trouble {
    /// Takes an error; returns what it means where that is new.
    pub(super) fn hear(&self, error: &ClientError, reason: &str) -> Option<String> {
        // It follows each of the others, and says less.
        let says_less = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if says_less { None } else { self.take(reason) }
    }

    /// Takes a line of the log; returns what it means where that is new. A broker that just ends a connection
    /// is no error to librdkafka.
    pub(super) fn read(&self, facility: &str, line: &str) -> Option<String> {
        // Before it stands the thread that says so.
        let said = line.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
        if facility == "FAIL" { self.take(said.map_or(line, |(_, reason)| reason)) } else { None }
    }

    fn take(&self, reason: &str) -> Option<String> {
        let meaning = meaning(reason);
        let mut last = self.0.lock();
        let known = last.as_deref().and_then(self::meaning) == meaning;
        *last = meaning.is_some().then(|| reason.to_owned());
        meaning.filter(|_| !known)
    }

    /// Returns what was reported last, unless it was about a broker that is away.
    pub(super) fn last(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// Forgets what was reported: a broker has answered.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTRUSTED: &str = "sasl_ssl://a.example:9093/bootstrap: SSL handshake failed: error:0A000086:SSL \
                             routines::certificate verify failed: broker certificate could not be verified, verify that \
                             ssl.ca.location is correctly configured (after 5ms in state SSL_HANDSHAKE)";

    #[test]
    fn what_is_new_is_said_once_and_a_broker_that_is_away_is_no_matter_of_security() {
        let error = |code| ClientError::Global(code);
        let trouble = Trouble::default();
        let said = trouble.hear(&error(RDKafkaErrorCode::SSL), UNTRUSTED).unwrap();
        assert!(said.starts_with("the certificate of the broker is not trusted here: see"), "{said}");
        assert!(!said.contains("after 5ms"), "{said}");
        let later = UNTRUSTED.replace("5ms", "7ms");
        assert_eq!(trouble.hear(&error(RDKafkaErrorCode::SSL), &later), None);
        assert_eq!(trouble.hear(&error(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down"), None);
        assert_eq!(trouble.last(), Some(later));
        let refused =
            "sasl_ssl://a.example:9093/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused";
        assert_eq!(trouble.hear(&error(RDKafkaErrorCode::BrokerTransportFailure), refused), None);
        assert_eq!(trouble.last(), None);
    }

    #[test]
    fn a_line_of_the_log_says_what_an_error_says() {
        let trouble = Trouble::default();
        let line = format!("[thrd:sasl_ssl://a.example:9093/bootstrap]: {UNTRUSTED}");
        assert!(trouble.read("FAIL", &line).is_some());
        assert_eq!(trouble.hear(&ClientError::Global(RDKafkaErrorCode::SSL), UNTRUSTED), None);
        assert_eq!(trouble.read("CONFWARN", "[thrd:app]: SSL handshake failed"), None);
        let ended = "[thrd:a:1/bootstrap]: a:1/bootstrap: Disconnected: requesting ApiVersion: might be caused by \
                     incorrect security.protocol configuration (connecting to a SSL listener?)";
        let said = trouble.read("FAIL", ended).unwrap();
        assert!(said.starts_with("the broker ends connections without TLS there"), "{said}");
    }

    #[test]
    fn the_broker_is_named_by_its_address() {
        assert_eq!(broker_of(UNTRUSTED), Some("a.example:9093"));
        assert_eq!(broker_of("GroupCoordinator: gone"), None);
        assert!(is_about_certificate(UNTRUSTED) && !is_about_certificate("SASL authentication error"));
    }
}
