//! An Apache Kafka of a test's own whose listeners ask for TLS, each in its way.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::certificates::{Age, Authority, Pair};

/// The user that may sign in, and the secret that goes with the name.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "hunter2";

/// The listeners of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Without TLS and without a sign-in.
    Plain,
    /// TLS, for clients with a certificate that the authority has signed.
    Mutual,
    /// TLS and a sign-in, by SCRAM-SHA-512, PLAIN or OAUTHBEARER.
    SignedIn,
    /// TLS with a certificate that has expired.
    Expired,
    /// TLS with a certificate for another host.
    Elsewhere,
}

const LISTENERS: [(Listener, &str, &str); 5] = [
    (Listener::Plain, "PLAIN", "PLAINTEXT"),
    (Listener::Mutual, "MUTUAL", "SSL"),
    (Listener::SignedIn, "SIGNEDIN", "SASL_SSL"),
    (Listener::Expired, "EXPIRED", "SSL"),
    (Listener::Elsewhere, "ELSEWHERE", "SSL"),
];

/// A running broker. Dropping it kills it and deletes its data.
pub struct SecureKafka {
    /// Whom the broker trusts, and who has signed its certificates.
    pub authority: Authority,
    process: Child,
    ports: [u16; LISTENERS.len()],
    folder: TempDir,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Kafka takes certificate and key of a listener from one file.
fn keystore(folder: &Path, name: &str, pair: &Pair) -> PathBuf {
    let [key, certificate] =
        [&pair.key, &pair.certificate].map(|file| std::fs::read_to_string(file).unwrap());
    let path = folder.join(format!("{name}.keystore.pem"));
    std::fs::write(&path, key + &certificate).unwrap();
    path
}

impl SecureKafka {
    /// Returns the broker that the tests of a process share while any of them runs.
    pub fn shared() -> Arc<Self> {
        static BROKER: Mutex<Weak<SecureKafka>> = Mutex::new(Weak::new());
        let mut shared = BROKER.lock();
        shared.upgrade().unwrap_or_else(|| {
            let broker = Arc::new(Self::start());
            *shared = Arc::downgrade(&broker);
            broker
        })
    }

    /// Starts a broker, whose jars `scripts/services start` has fetched, and waits until it answers.
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new("ours");
        let ports = LISTENERS.map(|_| free_port());
        let settings = folder.path().join("server.properties");
        std::fs::write(&settings, server_properties(folder.path(), &authority, &ports)).unwrap();
        let log = folder.path().join("kafka.log");
        let formatted = java()
            .args(["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"])
            .arg(&settings)
            .arg("--add-scram")
            .arg(format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]"))
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stdout));
        let file = std::fs::File::create(&log).unwrap();
        let process = java()
            .arg("kafka.Kafka")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut broker = Self { authority, process, ports, folder };
        let deadline = Instant::now() + Duration::from_secs(120);
        while !broker.log().contains("Kafka Server started") {
            let ended = broker.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "Kafka does not start:\n{}", broker.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        broker
    }

    /// Returns the address of a listener.
    pub fn address(&self, listener: Listener) -> String {
        let at = LISTENERS.iter().position(|(known, ..)| *known == listener).unwrap();
        format!("127.0.0.1:{}", self.ports[at])
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("kafka.log")).unwrap_or_default()
    }
}

impl Drop for SecureKafka {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Java with the jars of Kafka, small and quick to start.
fn java() -> Command {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.services"));
    let jars = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_kafka = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_prefix("kafka-").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let jars = jars.filter(is_kafka).max().expect("no Kafka in .services: run `make services`");
    let program = std::env::var("JAVA_HOME").map_or("java".to_owned(), |home| format!("{home}/bin/java"));
    let mut command = Command::new(program);
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka/log4j2.properties");
    command.arg(format!("-Dlog4j2.configurationFile={log}"));
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp"]);
    command.arg(format!("{}/*", jars.display()));
    command
}

fn server_properties(folder: &Path, authority: &Authority, ports: &[u16; LISTENERS.len()]) -> String {
    let host = "127.0.0.1";
    let pairs = [
        ("mutual", authority.issue("broker", "broker", &[host], Age::Valid)),
        ("expired", authority.issue("expired", "broker", &[host], Age::Expired)),
        ("elsewhere", authority.issue("elsewhere", "broker", &["elsewhere.example"], Age::Valid)),
    ];
    let controller = free_port();
    let listeners: Vec<String> =
        LISTENERS.iter().zip(ports).map(|((_, name, _), port)| format!("{name}://{host}:{port}")).collect();
    let listeners = listeners.join(",");
    let protocols: Vec<String> =
        LISTENERS.iter().map(|(_, name, protocol)| format!("{name}:{protocol}")).collect();
    let root = authority.root();
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@{host}:{controller}\ncontroller.listener.names=CONTROLLER\n\
         listeners={listeners},CONTROLLER://{host}:{controller}\nadvertised.listeners={listeners}\n\
         listener.security.protocol.map={},CONTROLLER:PLAINTEXT\ninter.broker.listener.name=PLAIN\n\
         log.dirs={}/data\ndefault.replication.factor=1\nmin.insync.replicas=1\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\nshare.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n\
         auto.create.topics.enable=false\nlog.cleaner.dedupe.buffer.size=16777216\n\
         listener.name.mutual.ssl.client.auth=required\n",
        protocols.join(","),
        folder.display(),
    );
    for (name, pair) in &pairs {
        let shown = keystore(folder, name, pair);
        // The one with a sign-in shows the same certificate as the one that asks for one.
        for listener in if *name == "mutual" { vec!["mutual", "signedin"] } else { vec![*name] } {
            text.push_str(&format!(
                "listener.name.{listener}.ssl.keystore.type=PEM\n\
                 listener.name.{listener}.ssl.keystore.location={}\n\
                 listener.name.{listener}.ssl.truststore.type=PEM\n\
                 listener.name.{listener}.ssl.truststore.location={}\n",
                shown.display(),
                root.display()
            ));
        }
    }
    let common = "org.apache.kafka.common.security";
    text.push_str("listener.name.signedin.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER\n");
    for (mechanism, login) in [
        ("scram-sha-512", "scram.ScramLoginModule required;".to_owned()),
        ("plain", format!("plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";")),
        (
            "oauthbearer",
            "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
                .to_owned(),
        ),
    ] {
        text.push_str(&format!("listener.name.signedin.{mechanism}.sasl.jaas.config={common}.{login}\n"));
    }
    text
}
