//! The control endpoint over TLS, and the commands that ask it.

use nyc311_testkit::source_rows::city;
use nyc311_testkit::{Age, Authority, Binary, Endpoint, Pair, TestDatabase, eventually};

use crate::PROGRAM;

const ADDRESS: &str = "127.0.0.1";

/// An endpoint that shows a certificate.
async fn endpoint(shown: &Pair) -> (TestDatabase, Endpoint) {
    let database = TestDatabase::create().await;
    let (certificate, key) = (shown.certificate.to_str().unwrap(), shown.key.to_str().unwrap());
    let overrides = [("http.tls_certificate", certificate), ("http.tls_key", key)];
    let endpoint = Endpoint::start(database.another_store(), None, &overrides);
    (database, endpoint)
}

/// Commands that trust an authority and ask an endpoint.
fn trusting(authority: &Authority, endpoint: &Endpoint) -> Binary {
    PROGRAM.asking(endpoint).with("NYC311_CLIENT__ROOT_CERTIFICATE", authority.root().to_str().unwrap())
}

/// Asks for a sign of life; returns the code and what stderr says.
async fn health(binary: &Binary) -> (i32, String) {
    let ended = binary.run(&["health", "--live"]).await;
    (ended.code, ended.stderr)
}

#[actix_rt::test]
async fn commands_trust_the_root_that_is_named_and_say_what_is_wrong_with_another_certificate() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let shown = ours.issue("shown", "nyc311", &[ADDRESS], Age::Valid);
    let (_database, endpoint) = endpoint(&shown).await;
    let asking = trusting(&ours, &endpoint);
    assert_eq!(health(&asking).await.0, 0);
    assert_eq!(asking.run(&["status"]).await.code, 0);
    assert_eq!(asking.run(&["poll", "--no-follow"]).await.code, 0);

    let nobody_signed = "signed by nobody who is trusted here; name in client.root_certificate the root";
    for stranger in [trusting(&theirs, &endpoint), PROGRAM.asking(&endpoint)] {
        let (code, text) = health(&stranger).await;
        assert!(code == 78 && text.contains(nobody_signed), "{code} {text}");
    }
    // A renewed certificate is shown without a restart, whatever is right or wrong with it.
    for (renewed, expected) in [
        (ours.issue("old", "nyc311", &[ADDRESS], Age::Expired), "has expired on 2021-01-01"),
        (
            ours.issue("elsewhere", "nyc311", &["a.example"], Age::Valid),
            "does not name 127.0.0.1; it is for a.example",
        ),
        (theirs.issue("theirs", "nyc311", &[ADDRESS], Age::Valid), nobody_signed),
    ] {
        shown.replace_by(&renewed);
        eventually(expected, async || {
            let (code, text) = health(&asking).await;
            (code == 78 && text.contains(expected)).then_some(())
        })
        .await;
    }
    // What does not fit is not taken up: the last one that did is shown on.
    std::fs::write(&shown.key, "no key").unwrap();
    let (code, text) = health(&asking).await;
    assert!(code == 78 && text.contains(nobody_signed), "{code} {text}");
    let right = ours.issue("right", "nyc311", &[ADDRESS], Age::Valid);
    shown.replace_by(&right);
    eventually("the right certificate is shown", async || (health(&asking).await.0 == 0).then_some(())).await;

    let plain = PROGRAM.bare().with("NYC311_CLIENT__URL", &endpoint.url.replace("https", "http"));
    let (code, text) = health(&plain).await;
    assert!(code == 69 && text.contains("client.url"), "{code} {text}");
}

#[actix_rt::test]
async fn an_endpoint_without_tls_is_told_from_one_with_it() {
    let (_database, endpoint) = Endpoint::with_database().await;
    let url = endpoint.url.replace("http", "https");
    let (code, text) = health(&PROGRAM.bare().with("NYC311_CLIENT__URL", &url)).await;
    assert!(code == 78 && text.contains("what answers does not speak TLS; mend client.url"), "{code} {text}");
}

#[actix_rt::test]
async fn the_service_of_the_same_settings_is_asked_whatever_its_certificate_says() {
    let ours = Authority::new("ours");
    let shown = ours.issue("shown", "nyc311", &["nyc311.example"], Age::Expired);
    let simulator = city(50);
    let mut service = PROGRAM
        .service(
            &simulator.resource_url(),
            &[
                ("http.tls_certificate", shown.certificate.to_str().unwrap()),
                ("http.tls_key", shown.key.to_str().unwrap()),
            ],
        )
        .await;
    service.spawn(&["run"], &[]);
    service
        .wait_for("the service is ready", async || {
            service.command(&["health"]).output().unwrap().status.success().then_some(())
        })
        .await;
    assert!(service.log().contains("has expired, renew it"), "{}", service.log());
    let poll = service.command(&["poll", "--output", "json"]).output().unwrap();
    assert!(poll.status.success(), "{}", String::from_utf8_lossy(&poll.stderr));
    assert_eq!(service.terminate().await, 0);
}

#[actix_rt::test]
async fn a_certificate_that_cannot_be_shown_ends_the_start_with_78_and_a_remedy() {
    let ours = Authority::new("ours");
    let [one, other] = ["one", "other"].map(|name| ours.issue(name, "nyc311", &[ADDRESS], Age::Valid));
    let (one, key, other) =
        (one.certificate.to_str().unwrap(), one.key.to_str().unwrap(), other.key.to_str().unwrap());
    for (certificate, key, expected) in [
        (one, other, "is not the key of the certificate in"),
        (one, "/nowhere/key.pem", "/nowhere/key.pem: cannot be read: No such file"),
        (one, one, "holds a certificate and no key; name the file with the key"),
        (key, key, "holds no certificate; name a file in PEM"),
        (one, "none", "is set and http.tls_key is not, and TLS needs both"),
    ] {
        let ended = PROGRAM
            .bare()
            .with("NYC311_HTTP__LISTEN", "127.0.0.1:0")
            .with("NYC311_HTTP__TLS_CERTIFICATE", certificate)
            .with("NYC311_HTTP__TLS_KEY", key)
            .run(&["run"])
            .await;
        assert_eq!(ended.code, 78, "{ended:?}");
        assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
    }
}
