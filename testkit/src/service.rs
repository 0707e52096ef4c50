//! The real binary as a test runs it: its own database, topics and port; killed, stopped and started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nyc311::config::Settings;
use nyc311::kafka::Admin;
use nyc311_simulator::Simulator;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database::TestDatabase;
use crate::http_client::http_client;
use crate::oracle::{self, Tables};
use crate::process::Process;
use crate::topics::{self, own_names};
use crate::waiting::within;

/// A service of a test's own. Dropping it kills the process.
pub struct Service {
    /// The database that it writes to.
    pub database: TestDatabase,
    /// What it was told, as a part of the program in the test's own process needs it.
    pub settings: Settings,
    program: &'static str,
    environment: Vec<(String, String)>,
    processes: Vec<Child>,
    logs: TempDir,
    started: u32,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Service {
    /// Prepares a service for the source at `url`; nothing runs yet.
    pub async fn for_source(program: &'static str, url: &str, overrides: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create_empty().await;
        let listen = format!("127.0.0.1:{}", free_port());
        let mut all = vec![
            ("source.url", url),
            ("http.listen", listen.as_str()),
            ("source.retry_initial_interval", "20ms"),
            ("source.retry_max_elapsed", "5s"),
        ];
        all.extend_from_slice(overrides);
        let settings = own_names(&all);
        let kafka = &settings.kafka;
        let mut environment: Vec<(String, String)> = [
            ("KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap_servers.as_str()),
            ("KAFKA__RAW_TOPIC", &kafka.raw_topic),
            ("KAFKA__ENRICHED_TOPIC", &kafka.enriched_topic),
            ("KAFKA__DEAD_LETTER_TOPIC", &kafka.dead_letter_topic),
            ("KAFKA__GROUP_PREFIX", &kafka.group_prefix),
            ("INSTANCE__ID", &settings.instance.id),
            ("DATABASE__URL", database.settings.url.expose()),
        ]
        .map(|(name, value)| (format!("NYC311_{name}"), value.to_owned()))
        .into();
        for (path, value) in all {
            environment
                .push((format!("NYC311_{}", path.replace('.', "__").to_uppercase()), value.to_owned()));
        }
        Self {
            database,
            settings,
            program,
            environment,
            processes: Vec::new(),
            logs: TempDir::new().unwrap(),
            started: 0,
        }
    }

    /// Returns the command with this service's settings and nothing of the test's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NYC311_")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(self.environment.iter().cloned()).current_dir(self.logs.path());
        command
    }

    /// Returns where the process that was started last logs.
    pub fn log_path(&self) -> PathBuf {
        self.logs.path().join(format!("{}.log", self.started))
    }

    /// Returns what the process that was started last has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts a process without waiting for it.
    pub fn spawn(&mut self, arguments: &[&str], more: &[(&str, &str)]) {
        self.started += 1;
        let log = File::create(self.log_path()).unwrap();
        let child =
            self.command(arguments).envs(more.iter().copied()).stdout(Stdio::null()).stderr(log).spawn();
        self.processes.push(child.unwrap());
    }

    /// Starts one of several processes, under a name and at a port of its own; it is the test's.
    pub fn process(&self, name: &str, roles: &str, more: &[(&str, &str)]) -> Process {
        let own_log = |life: u32| self.logs.path().join(format!("{name}-{life}.log"));
        let log_path = (1..).map(own_log).find(|path| !path.exists()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let instance = format!("{}-{name}", self.settings.instance.id);
        let child = self
            .command(&["run", "--roles", roles])
            .envs([("NYC311_HTTP__LISTEN", address.as_str()), ("NYC311_INSTANCE__ID", instance.as_str())])
            .envs(more.iter().copied())
            .stdout(Stdio::null())
            .stderr(File::create(&log_path).unwrap())
            .spawn();
        Process { child: child.unwrap(), address, log_path }
    }

    /// Has whatever is asked from now on asked of this process.
    pub fn ask(&mut self, process: &Process) {
        self.settings.http.listen = process.address.parse().unwrap();
    }

    /// Starts the service and waits until it is ready; returns how long that took.
    pub async fn start(&mut self) -> Duration {
        let began = Instant::now();
        self.spawn(&["run"], &[]);
        self.ready().await;
        began.elapsed()
    }

    /// Waits until the service is ready.
    pub async fn ready(&self) {
        self.wait_for("the service is ready", async || {
            self.get("/readyz").await.filter(|answer| answer["ready"] == true)
        })
        .await;
    }

    /// Returns the exit code of the process that was started last, if it has ended.
    pub fn has_ended(&mut self) -> Option<i32> {
        let status = self.processes.last_mut()?.try_wait().unwrap()?;
        self.processes.pop();
        Some(status.code().unwrap_or(-1))
    }

    /// Returns how often the stages of the process were built anew, all together.
    pub async fn restarts(&self) -> u64 {
        let pipeline = self.wait_for("the pipeline is shown", async || self.get("/v1/pipeline").await).await;
        let stages = pipeline["stages"].as_array().unwrap().iter();
        stages.map(|stage| stage["restarts"].as_u64().unwrap()).sum()
    }

    /// Waits until the poll has fetched so many rows.
    pub async fn fetched(&self, id: &str, rows: i64) {
        self.wait_for("the poll has fetched something", async || {
            let poll = self.get(&format!("/v1/polls/{id}")).await?;
            (poll["counts"]["fetched"].as_i64()? >= rows).then_some(())
        })
        .await;
    }

    /// Waits until the poll has read the source to its end.
    pub async fn storing(&self, id: &str) {
        self.wait_for("the source is read to its end", async || {
            let poll = self.get(&format!("/v1/polls/{id}")).await?;
            (poll["state"] == "storing").then_some(())
        })
        .await;
    }

    /// Deletes the topics and waits until Kafka has forgotten them.
    pub async fn delete_topics(&self) -> Admin {
        let admin = Admin::new(&self.settings.kafka).unwrap();
        topics::delete(&admin, &topics::names(&self.settings.kafka)).await;
        admin
    }

    /// Returns how far the durable cursor is, of what was published and of what was stored.
    pub async fn source_position(&self) -> Value {
        self.database.json("select published_updated_at, stored_updated_at from nyc311.source_position").await
    }

    /// Returns how many records the raw topic holds.
    pub async fn raw_ends(&self) -> i64 {
        let kafka = &self.settings.kafka;
        let ends = Admin::new(kafka).unwrap().log_ends(&kafka.raw_topic, 0..5).await.unwrap();
        ends.iter().map(|ends| ends.high).sum()
    }

    /// Sets a property of the raw topic by hand.
    pub async fn configure_raw_topic(&self, name: &str, value: &str) {
        let kafka = &self.settings.kafka;
        let admin = Admin::new(kafka).unwrap();
        let change = AlterConfig::new(ResourceSpecifier::Topic(&kafka.raw_topic)).set(name, value);
        let changed = admin.client().alter_configs([&change], &AdminOptions::new()).await.unwrap();
        assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    }

    /// Kills all processes the hard way.
    pub fn kill(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Asks the process to stop and does not wait for it.
    pub fn tell_to_stop(&self) {
        let pid = self.process_id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Asks the process to stop and returns its exit code.
    pub async fn terminate(&mut self) -> i32 {
        let mut process = self.processes.pop().expect("a running process");
        let pid = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.exit_code(&mut process).await
    }

    /// Returns the id of the process that was started last.
    pub fn process_id(&self) -> u32 {
        self.processes.last().expect("a running process").id()
    }

    /// Lets whatever is started from now on listen at another port.
    pub fn listen_elsewhere(&mut self) {
        self.settings.http.listen.set_port(free_port());
        let address = self.settings.http.listen.to_string();
        self.environment.push(("NYC311_HTTP__LISTEN".to_owned(), address));
    }

    /// Waits until the process that was started first ends by itself and returns its exit code.
    pub async fn ended_first(&mut self) -> i32 {
        let mut process = self.processes.remove(0);
        self.exit_code(&mut process).await
    }

    /// Waits until the process ends by itself and returns its exit code.
    pub async fn ended(&mut self) -> i32 {
        let mut process = self.processes.pop().expect("a running process");
        self.exit_code(&mut process).await
    }

    async fn exit_code(&self, process: &mut Child) -> i32 {
        let status = within(Duration::from_secs(60), async || process.try_wait().unwrap()).await;
        let status = status.unwrap_or_else(|| panic!("the process does not end:\n{}", self.log()));
        status.code().unwrap_or(-1)
    }

    /// Asks the control endpoint; none while it does not answer.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.settings.http.listen);
        // A thread of the server may stand still: asked again, another one answers.
        let answer = http_client().get(url).timeout(Duration::from_secs(10)).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// Reads what is no JSON.
    pub async fn text(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.settings.http.listen);
        http_client().get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Submits a poll and returns its id.
    pub async fn submit(&self, body: Value) -> String {
        let url = format!("http://{}/v1/polls", self.settings.http.listen);
        let request = http_client().post(url).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let poll: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        poll["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the poll has ended and returns it.
    pub async fn finished(&self, id: &str) -> Value {
        self.wait_for("the poll ends", async || {
            let poll = self.get(&format!("/v1/polls/{id}")).await?;
            ["succeeded", "failed", "cancelled"].contains(&poll["state"].as_str()?).then_some(poll)
        })
        .await
    }

    /// Runs a poll from the durable cursor to its success.
    pub async fn poll(&self) -> Value {
        let id = self.submit(json!({})).await;
        let poll = self.finished(&id).await;
        assert_eq!(poll["state"], "succeeded", "{poll:#}\n{}", self.log());
        assert_counts_add_up(&poll);
        poll
    }

    /// Submits a reconciliation and returns its id.
    pub async fn submit_reconciliation(&self, body: Value) -> String {
        let url = format!("http://{}/v1/reconciliations", self.settings.http.listen);
        let request = http_client().post(url).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let reconciliation: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        reconciliation["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the reconciliation has ended and returns it.
    pub async fn reconciled(&self, id: &str) -> Value {
        self.wait_for("the reconciliation ends", async || {
            let found = self.get(&format!("/v1/reconciliations/{id}")).await?;
            ["succeeded", "failed", "cancelled"].contains(&found["state"].as_str()?).then_some(found)
        })
        .await
    }

    /// Runs a reconciliation of everything to its end.
    pub async fn reconcile(&self) -> Value {
        let id = self.submit_reconciliation(json!({})).await;
        self.reconciled(&id).await
    }

    /// Waits for a condition, for 90 seconds at most; shows the log when it does not come true.
    pub async fn wait_for<T>(&self, what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
        let found = within(Duration::from_secs(90), condition).await;
        found.unwrap_or_else(|| panic!("{what}: not within 90 s\n{}", self.log()))
    }

    /// Returns everything that the tables say, without the program's own clocks and origins (promise 6).
    pub async fn tables(&self) -> Tables {
        oracle::tables(&self.database).await
    }

    /// Asserts that everything that is kept equals its recount (promise 7).
    pub async fn assert_recounts(&self) {
        oracle::assert_recounts(&self.database).await;
    }

    /// Asserts that everything that is kept is what the source has and what Kafka has of it. Nothing may be
    /// on its way.
    pub async fn assert_promises(&self, simulator: &Simulator) {
        oracle::assert_promises(&self.database, &self.settings.kafka, simulator).await;
    }
}

/// Asserts that what was fetched is accounted for.
pub fn assert_counts_add_up(poll: &Value) {
    let count = |name: &str| poll["counts"][name].as_i64().unwrap();
    // By its definition the sum holds; that nothing was lost shows in this one.
    assert!(count("republished") >= 0, "{poll:#}");
    assert_eq!(
        count("fetched") + count("republished"),
        count("stored") + count("duplicate") + count("reenriched") + count("dead_lettered"),
        "{poll:#}"
    );
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
        let kafka = self.settings.kafka.clone();
        // Deleting topics needs a runtime of its own: the test's may be unwinding.
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let admin = Admin::new(&kafka).unwrap();
                let _ = admin.client().delete_topics(&topics::names(&kafka), &AdminOptions::new()).await;
            });
        });
        let _ = deletion.join();
    }
}
