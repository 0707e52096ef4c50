//! Encrypted connections to PostgreSQL, towards a real server that shows right, wrong and expired
//! certificates.

use nyc311::store::{Store, StoreError};
use nyc311_testkit::{Age, Authority, SecurePostgres, eventually};

use crate::PROGRAM;

/// The name that the certificate of the server bears; the address that it listens at is another.
const NAMED: &str = "localhost";
const NAMELESS: &str = "127.0.0.1";

/// Connects, and says whether the connection is encrypted, or why there is none.
async fn connected(
    server: &SecurePostgres,
    host: &str,
    user: &str,
    parameters: &str,
) -> Result<bool, String> {
    let asked = async {
        // The connections live as long as the store.
        let store = Store::new(&server.settings(host, user, parameters))?;
        let client = store.client().await?;
        let row = client.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await?;
        Ok::<bool, StoreError>(row.get(0))
    };
    asked.await.map_err(|error| format!("{error}; {}", error.policy().remedy.unwrap_or_default()))
}

#[tokio::test]
async fn each_sslmode_encrypts_and_verifies_as_much_as_libpq_does() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = SecurePostgres::start(&ours.issue("server", "server", &[NAMED], Age::Valid), &ours.root());
    let (right, wrong) = (ours.root(), theirs.root());
    let (right, wrong) = (right.display(), wrong.display());
    let nobody_signed = "is signed by nobody who is trusted here; name in sslrootcert of database.url";
    let another_name = "does not name 127.0.0.1; it is for localhost";
    for (host, user, parameters, expected) in [
        (NAMELESS, "secret", "sslmode=disable".to_owned(), Err("no encryption")),
        (NAMELESS, "plain", "sslmode=disable".to_owned(), Ok(false)),
        // What allows and prefers takes whatever the server lets in.
        (NAMELESS, "open", "sslmode=allow".to_owned(), Ok(false)),
        (NAMELESS, "secret", "sslmode=allow".to_owned(), Ok(true)),
        (NAMELESS, "open", String::new(), Ok(true)),
        (NAMELESS, "plain", "sslmode=prefer".to_owned(), Ok(false)),
        (NAMELESS, "open", format!("sslmode=prefer&sslrootcert={wrong}"), Ok(false)),
        // What requires is encrypted towards anybody, unless a root is named.
        (NAMELESS, "secret", "sslmode=require".to_owned(), Ok(true)),
        (NAMELESS, "plain", "sslmode=require".to_owned(), Err("SSL encryption")),
        (
            NAMELESS,
            "secret",
            "sslmode=require&sslnegotiation=postgres&channel_binding=require".to_owned(),
            Ok(true),
        ),
        (NAMELESS, "secret", format!("sslmode=require&sslrootcert={right}"), Ok(true)),
        (NAMELESS, "secret", format!("sslmode=require&sslrootcert={wrong}"), Err(nobody_signed)),
        (NAMELESS, "secret", format!("sslmode=verify-ca&sslrootcert={right}"), Ok(true)),
        (NAMED, "secret", format!("sslmode=verify-ca&sslrootcert={wrong}"), Err(nobody_signed)),
        (NAMED, "secret", format!("sslmode=verify-full&sslrootcert={right}"), Ok(true)),
        (NAMELESS, "secret", format!("sslmode=verify-full&sslrootcert={right}"), Err(another_name)),
        (NAMED, "secret", "sslmode=verify-full&sslrootcert=system".to_owned(), Err(nobody_signed)),
        (NAMED, "secret", "sslmode=verify-full".to_owned(), Err(nobody_signed)),
    ] {
        let found = connected(&server, host, user, &parameters).await;
        match (&found, expected) {
            (Ok(encrypted), Ok(expected)) => assert_eq!(*encrypted, expected, "{user} {parameters}"),
            (Err(text), Err(expected)) => assert!(text.contains(expected), "{user} {parameters}: {text}"),
            _ => panic!("{user} {parameters}: {found:?} instead of {expected:?}"),
        }
    }
    // A certificate that signs nothing but is named itself is trusted as its own root.
    let alone = theirs.issue("alone", "alone", &[NAMED], Age::Valid);
    server.renew(&alone);
    let itself = format!("sslmode=verify-full&sslrootcert={}", alone.certificate.display());
    assert_eq!(connected(&server, NAMED, "secret", &itself).await, Ok(true));
    let text = connected(&server, NAMELESS, "secret", &itself).await.unwrap_err();
    assert!(text.contains(another_name), "{text}");
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_named_with_its_remedy_and_mended_without_a_restart() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let valid = ours.issue("server", "server", &[NAMED], Age::Valid);
    let server = SecurePostgres::start(&valid, &ours.root());
    let own = ours.issue("client", "certified", &[], Age::Valid);
    let parameters = format!(
        "sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        ours.root().display(),
        own.certificate.display(),
        own.key.display()
    );
    // One store for all: its pool connects anew each time, and reads the files anew.
    let store = Store::new(&server.settings(NAMED, "certified", &parameters)).unwrap();
    let says = async |expected: &str| {
        server.end_sessions();
        // The pool may still hold a connection that has ended.
        eventually(expected, async || {
            store.migrate().await.err().filter(|error| error.to_string().contains(expected))
        })
        .await
    };
    let goes_on = async || eventually("the database can be used", async || store.migrate().await.ok()).await;
    goes_on().await;

    server.renew(&ours.issue("expired", "server", &[NAMED], Age::Expired));
    let error = says("the certificate of the server has expired on 2021-01-01").await;
    assert!(error.may_pass() && error.to_string().contains("; have the server's renewed"), "{error}");
    server.renew(&ours.issue("renamed", "server", &["elsewhere"], Age::Valid));
    let error = says("does not name localhost; it is for elsewhere").await;
    assert!(error.to_string().contains("write in the host of database.url a name that it has"), "{error}");
    server.renew(&theirs.issue("stranger", "server", &[NAMED], Age::Valid));
    says("is signed by nobody who is trusted here; name in sslrootcert of database.url the root").await;
    server.switch_tls(false);
    says("server does not support TLS; set ssl = on in its postgresql.conf").await;
    server.switch_tls(true);
    server.renew(&valid);
    goes_on().await;

    // This side's own certificate: expired, of another, with another key, and gone.
    let kept = theirs.issue("kept", "certified", &[], Age::Valid);
    kept.replace_by(&own);
    own.replace_by(&ours.issue("old", "certified", &[], Age::Expired));
    says("the certificate of this program has expired, says the server; renew the one").await;
    own.replace_by(&theirs.issue("foreign", "certified", &[], Age::Valid));
    says("the server does not take the certificate of this program").await;
    own.replace_by(&ours.issue("other", "somebody", &[], Age::Valid));
    says("password authentication failed").await;
    std::fs::copy(&kept.key, &own.key).unwrap();
    let error = says("is not the key of the certificate in").await;
    assert!(error.to_string().contains("; name the two files that were made together"), "{error}");
    std::fs::remove_file(&own.key).unwrap();
    says("cannot be read: No such file").await;
    own.replace_by(&kept);
    goes_on().await;
}

#[tokio::test]
async fn the_program_works_on_a_database_that_demands_a_certificate_and_ends_with_78_without() {
    let ours = Authority::new("ours");
    let server = SecurePostgres::start(&ours.issue("server", "server", &[NAMED], Age::Valid), &ours.root());
    let own = ours.issue("client", "certified", &[], Age::Valid);
    let verified = format!("sslmode=verify-full&sslrootcert={}", ours.root().display());
    let certified = format!("{verified}&sslcert={}&sslkey={}", own.certificate.display(), own.key.display());
    let on = |parameters: &str| {
        PROGRAM.bare().with("NYC311_DATABASE__URL", &server.url(NAMED, "certified", parameters))
    };
    let ended = on(&certified).run(&["migrate"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let finding = on(&certified).finding("database").await;
    assert_eq!(finding["ok"], true, "{finding}");
    assert!(!finding.to_string().contains("hunter2"), "{finding}");
    assert_eq!(server.sql("certified", "select count(*) > 0 from nyc311.migration"), "t");

    let missing = certified.replace(own.key.to_str().unwrap(), "/nowhere/key.pem");
    for (parameters, expected) in [
        (verified.as_str(), "connection requires a valid client certificate"),
        (&missing, "database.url: /nowhere/key.pem: cannot be read: No such file"),
        (&format!("{verified}&sslcert=/c.pem"), "has sslcert without sslkey"),
    ] {
        for command in ["migrate", "drift"] {
            let ended = on(parameters).run(&[command]).await;
            assert_eq!(ended.code, 78, "{parameters}: {ended:?}");
            assert!(ended.stderr.contains(expected) && !ended.stderr.contains("hunter2"), "{ended:?}");
        }
    }
    let ended = on(&missing).with("NYC311_HTTP__LISTEN", "127.0.0.1:0").run(&["run"]).await;
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(ended.stderr.contains("/nowhere/key.pem: cannot be read"), "{ended:?}");
    let finding = on(&verified).finding("database").await;
    assert_eq!(finding["ok"], false, "{finding}");
    assert!(finding["remedy"].as_str().unwrap().contains("sslcert"), "{finding}");
}
