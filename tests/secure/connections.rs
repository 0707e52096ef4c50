//! Each way to a broker that demands TLS leads there, and the whole pipeline runs over it.

use nyc311_testkit::secure_kafka::{Listener, PASSWORD, SecureKafka, USER};
use nyc311_testkit::source_rows::city;
use nyc311_testkit::{Age, eventually};

use crate::{PROGRAM, properties};

#[tokio::test]
async fn each_way_to_sign_in_leads_to_the_broker() {
    let broker = SecureKafka::shared();
    let root = broker.authority.root();
    let root = ("ssl.ca.location", root.to_str().unwrap());
    let own = broker.authority.issue("client", "client", &[], Age::Valid);
    let own = [
        ("security.protocol", "SSL"),
        ("ssl.certificate.location", own.certificate.to_str().unwrap()),
        ("ssl.key.location", own.key.to_str().unwrap()),
    ];
    let named = [("security.protocol", "SASL_SSL"), ("sasl.username", USER), ("sasl.password", PASSWORD)];
    let bearer = [
        ("security.protocol", "SASL_SSL"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=alice"),
    ];
    for (listener, ways) in [
        (Listener::Mutual, own.to_vec()),
        (Listener::SignedIn, [&named[..], &[("sasl.mechanism", "SCRAM-SHA-512")]].concat()),
        (Listener::SignedIn, [&named[..], &[("sasl.mechanisms", "PLAIN")]].concat()),
        (Listener::SignedIn, [&bearer[..], &[("sasl.mechanism", "OAUTHBEARER")]].concat()),
    ] {
        let checking = PROGRAM
            .bare()
            .with("NYC311_KAFKA__BOOTSTRAP_SERVERS", &broker.address(listener))
            .with("NYC311_KAFKA__PROPERTIES", &properties(&[&ways[..], &[root]].concat()));
        let finding = checking.finding("kafka").await;
        assert_eq!(finding["ok"], true, "{ways:?}: {finding}");
    }
}

#[tokio::test]
async fn the_pipeline_runs_over_tls_with_a_password_from_a_file_once_it_is_the_right_one() {
    let broker = SecureKafka::shared();
    let simulator = city(500);
    let root = broker.authority.root();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), format!("{PASSWORD}\n")).unwrap();
    let address = broker.address(Listener::SignedIn);
    let wanted = properties(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", USER),
        ("ssl.ca.location", root.to_str().unwrap()),
        ("sasl.password", "hunter3"),
    ]);
    let overrides = [("kafka.bootstrap_servers", address.as_str()), ("kafka.properties", &wanted)];
    let mut service = PROGRAM.service(&simulator.resource_url(), &overrides).await;
    // What the test itself asks is asked with the right one.
    service.settings.kafka.properties.insert("sasl.password".to_owned(), PASSWORD.to_owned());

    service.spawn(&["run"], &[]);
    let why = service
        .wait_for("readiness says why kafka is away", async || {
            let readiness = service.get("/readyz").await?;
            let why = readiness["reasons"]["kafka"].as_str()?.to_owned();
            why.contains("mend sasl.username and sasl.password").then_some(why)
        })
        .await;
    assert!(!why.contains("hunter"), "{why}");
    let log = service.log();
    assert!(log.contains("the broker does not let this program in") && !log.contains("hunter"), "{log}");
    let health = service.command(&["health"]).output().unwrap();
    let health = String::from_utf8(health.stdout).unwrap();
    assert!(health.contains("waits for kafka (kafka is away: the broker does not let"), "{health}");
    assert_eq!(service.terminate().await, 0);

    let file = secret.path().to_str().unwrap();
    service.spawn(&["run"], &[("NYC311_KAFKA__PROPERTIES__SASL_PASSWORD_FILE", file)]);
    service.ready().await;
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["fetched"], 500);
    service.assert_promises(&simulator).await;
    let reasons = eventually("readiness is told", async || service.get("/readyz").await).await;
    assert_eq!(reasons["reasons"], serde_json::json!({}));
    assert_eq!(service.terminate().await, 0);
    assert!(!service.log().contains("hunter"), "{}", service.log());
}
