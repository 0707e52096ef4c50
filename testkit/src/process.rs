//! One process of several of a service, with a name, a port and a log of its own.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use crate::http_client::http_client;
use crate::waiting::within;

/// A process that a test handles by itself. Dropping it kills it, also where it stands still.
pub struct Process {
    pub(crate) child: Child,
    pub(crate) address: String,
    pub(crate) log_path: PathBuf,
}

impl Process {
    /// Returns what it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log_path).unwrap_or_default()
    }

    /// Asks its control endpoint; none while it does not answer.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}{path}", self.address);
        let answer = http_client().get(url).timeout(Duration::from_secs(10)).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        self.wait_for("the process is ready", async || {
            self.get("/readyz").await.filter(|answer| answer["ready"] == true)
        })
        .await;
    }

    /// Waits for a condition, for 90 seconds at most; shows its log when it does not come true.
    pub async fn wait_for<T>(&self, what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
        let found = within(Duration::from_secs(90), condition).await;
        found.unwrap_or_else(|| panic!("{what}: not within 90 s\n{}", self.log()))
    }

    /// Sends it a signal, as `kill` calls it (`-STOP`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it the hard way.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop and returns its exit code.
    pub async fn terminate(mut self) -> i32 {
        self.signal("-TERM");
        let ended = within(Duration::from_secs(60), async || self.child.try_wait().unwrap()).await;
        let status = ended.unwrap_or_else(|| panic!("the process does not end:\n{}", self.log()));
        status.code().unwrap_or(-1)
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
