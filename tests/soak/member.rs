//! One process of the service: with a name and a port of its own, and a proxy in front of everything that it
//! talks to. Whoever ends by itself is started again, as whoever runs the program in earnest would.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nyc311_testkit::{Proxy, Service, http_client, servers, within};
use parking_lot::Mutex;
use serde_json::Value;

use crate::kinds::Peer;

/// How a process ended that nobody had killed.
#[derive(Debug, Clone)]
pub struct Exit {
    pub member: String,
    pub code: Code,
    /// Whether this end may follow from what was done to it.
    pub is_expected: bool,
}

/// How a process may end, by its code; none where a signal ends it.
pub type Code = Option<i32>;
/// A thread stands still that nothing can replace.
pub const THREAD_STANDS_STILL: Code = Some(71);
/// The process has ended itself at once.
pub const ABORTED: Code = None;
/// What was done to a process shows for so long after it is over.
const AFTERMATH: Duration = Duration::from_secs(20);
/// The drain's own limit, and what it takes to start and to end beside it.
const ENDED_WITHIN: Duration = Duration::from_secs(45);
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// Whether it is to run; whoever starts and ends it sets this.
    wanted: bool,
    started: u32,
    /// How the process may end by itself, and until when.
    excused: Vec<(Instant, Code)>,
    exits: Vec<Exit>,
}

/// A process of the service, whether it runs or not.
pub struct Member {
    pub name: String,
    listen: String,
    environment: Vec<(String, String)>,
    links: [(Peer, Proxy); 3],
    logs: PathBuf,
    state: Mutex<State>,
}

impl Member {
    /// Prepares a process; nothing runs yet.
    pub async fn new(service: &Service, name: &str, source: &str, logs: PathBuf) -> Self {
        let settings = &service.settings;
        let (kafka, brokers) = Proxy::in_front_of_kafka(&settings.kafka.bootstrap_servers).await;
        let (database, url) = Proxy::in_front_of(service.database.settings.url.expose()).await;
        let (source, resource) = Proxy::in_front_of(source).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap().to_string();
        let environment = [
            ("INSTANCE__ID", format!("{}-{name}", settings.instance.id)),
            ("HTTP__LISTEN", listen.clone()),
            ("KAFKA__BOOTSTRAP_SERVERS", brokers),
            ("DATABASE__URL", url),
            ("SOURCE__URL", resource),
            ("FAULTS__ENABLED", "true".to_owned()),
        ]
        .map(|(name, value)| (format!("NYC311_{name}"), value));
        Self {
            name: name.to_owned(),
            listen,
            environment: environment.into(),
            links: [(Peer::Kafka, kafka), (Peer::Database, database), (Peer::Source, source)],
            logs,
            state: Mutex::default(),
        }
    }

    /// Returns the proxy in front of a peer.
    pub fn link(&self, peer: Peer) -> &Proxy {
        let (_, proxy) = self.links.iter().find(|(of, _)| *of == peer).expect("a proxy for each peer");
        proxy
    }

    /// Starts the process without waiting for it.
    pub fn start(&self, service: &Service) {
        self.start_in(&mut self.state.lock(), service);
    }

    fn start_in(&self, state: &mut State, service: &Service) {
        state.started += 1;
        state.wanted = true;
        let log = File::create(self.logs.join(format!("{}.{}.log", self.name, state.started))).unwrap();
        let mut command = service.command(&["run"]);
        command.envs(self.environment.iter().cloned()).stdout(Stdio::null()).stderr(log);
        state.child = Some(command.spawn().expect("a program that starts"));
    }

    /// Notes a process that has ended by itself, and starts it again. Returns how it ended.
    pub fn look_after(&self, service: &Service) -> Option<Exit> {
        let mut state = self.state.lock();
        let status = state.child.as_mut()?.try_wait().unwrap()?;
        state.child = None;
        let (now, code) = (Instant::now(), status.code());
        let exit = Exit {
            member: format!("{}.{}", self.name, state.started),
            code,
            is_expected: state.excused.iter().any(|(until, excused)| now < *until && *excused == code),
        };
        state.exits.push(exit.clone());
        if state.wanted {
            self.start_in(&mut state, service);
        }
        Some(exit)
    }

    /// Returns the id of the process, where one runs.
    pub fn process_id(&self) -> Option<u32> {
        self.state.lock().child.as_ref().map(Child::id)
    }

    /// Returns how processes ended that nobody had killed.
    pub fn exits(&self) -> Vec<Exit> {
        self.state.lock().exits.clone()
    }

    /// Kills the process the hard way.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.wanted = false;
        if let Some(mut child) = state.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the process to stop, and waits for its end. One that does not end in time is killed, and has no
    /// code.
    pub async fn terminate(&self) {
        let taken = {
            let mut state = self.state.lock();
            state.wanted = false;
            state.child.take()
        };
        let Some(mut child) = taken else { return };
        servers::signal(child.id(), Signal::SIGTERM);
        let ended = within(ENDED_WITHIN, async || child.try_wait().unwrap()).await;
        if ended.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let mut state = self.state.lock();
        let code = ended.and_then(|status| status.code());
        let member = format!("{}.{}, told to stop", self.name, state.started);
        state.exits.push(Exit { member, code, is_expected: code == Some(0) });
    }

    /// Stops the process or lets it go on.
    pub fn signal(&self, sent: Signal) {
        if let Some(process) = self.process_id() {
            servers::signal(process, sent);
        }
    }

    /// Allows the process to end by itself with this code, for so long and a while after it.
    pub fn excuse(&self, lasting: Duration, code: Code) {
        let (mut state, now) = (self.state.lock(), Instant::now());
        state.excused.retain(|(until, _)| now < *until);
        state.excused.push((now + lasting + AFTERMATH, code));
    }

    /// Asks the control endpoint; none while it does not answer.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let request = http_client().get(format!("http://{}{path}", self.listen));
        let answer = request.timeout(ANSWERS_WITHIN).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    async fn post(&self, path: &str, body: &Value) -> Option<Value> {
        let request = http_client().post(format!("http://{}{path}", self.listen));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.timeout(ANSWERS_WITHIN).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    async fn delete(&self, path: &str) {
        let request = http_client().delete(format!("http://{}{path}", self.listen));
        let _ = request.timeout(ANSWERS_WITHIN).send().await;
    }

    /// Submits a poll and returns its id; none where it was not taken.
    pub async fn submit(&self, body: &Value) -> Option<String> {
        Some(self.post("/v1/polls", body).await?["id"].as_str()?.to_owned())
    }

    /// Asks for a poll to be cancelled; whether it is shows by its end.
    pub async fn cancel(&self, id: &str) {
        self.delete(&format!("/v1/polls/{id}")).await;
    }

    /// Arms a fault within the process and returns its id; none where it was not taken.
    pub async fn arm(&self, fault: &Value) -> Option<u64> {
        self.post("/v1/faults", fault).await?["id"].as_u64()
    }

    /// Clears a fault; one that has ended, or a process, stays as it is.
    pub async fn disarm(&self, id: u64) {
        self.delete(&format!("/v1/faults/{id}")).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
