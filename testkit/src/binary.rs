//! A command of the program as a user gives it: what it prints where, and the code it ends with.

use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

/// The binary in an empty folder, with none of the test's own settings.
pub struct Binary {
    /// The folder that it runs in.
    pub folder: tempfile::TempDir,
    program: &'static str,
    environment: Vec<(String, String)>,
}

impl Binary {
    /// Prepares the program at this path.
    pub fn new(program: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), program, environment: Vec::new() }
    }

    /// Adds a variable of the environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the command, which nobody has started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NYC311_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.folder.path()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().await.unwrap())
    }

    /// Returns what `check` says of one part.
    pub async fn finding(&self, part: &str) -> Value {
        let checks = self.run(&["check", "--output", "json"]).await.json();
        let found = checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == part);
        found.unwrap_or_else(|| panic!("no {part} in {checks}")).clone()
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Reads what it printed as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON on stdout: {self:?}"))
    }
}
