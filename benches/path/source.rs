//! The simulator as a process of its own, so that what it uses is counted apart.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::{SignedDuration, Timestamp};
use nyc311_testkit::{Binary, Program, http_client};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

/// A running simulator. Dropping it kills the process.
pub struct Source {
    /// What `source.url` is to be.
    pub url: String,
    process: Child,
    // its folder lives as long as the process
    _binary: Binary,
}

impl Source {
    /// Serves a generated city.
    pub async fn city(program: Program, rows: u64) -> Self {
        Self::start(program, &["--rows", &rows.to_string()]).await
    }

    /// Serves the rows of a file.
    pub async fn file(program: Program, file: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["--file", file.to_str().unwrap()];
        arguments.extend_from_slice(more);
        Self::start(program, &arguments).await
    }

    async fn start(program: Program, more: &[&str]) -> Self {
        let binary = program.bare();
        let mut arguments = vec!["simulate", "--listen", "127.0.0.1:0"];
        arguments.extend_from_slice(more);
        let mut command = binary.command(&arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines.next_line().await.unwrap().expect("a simulator that starts");
        Self { url, process, _binary: binary }
    }

    pub fn process_id(&self) -> u32 {
        self.process.id().expect("a running simulator")
    }

    /// Moves the simulator's clock: `{"advance": "7days"}`.
    pub async fn move_clock(&self, body: Value) {
        let host = self.url.split("/resource/").next().unwrap();
        let request = http_client().post(format!("{host}/simulator/clock")).body(body.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    async fn rows(&self, limit: usize) -> Vec<Map<String, Value>> {
        let url = format!("{}?$select=:*,*&$order=:updated_at,:id&$limit={limit}", self.url);
        let answer = http_client().get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}

/// Rows that the source shows one by one: each is stamped a second after the one before it, so that a clock
/// at the rate N shows N of them in a second.
pub struct PacedRows {
    folder: TempDir,
}

impl PacedRows {
    const ROWS: usize = 45_000;
    const FIRST_AT: Timestamp = Timestamp::constant(1_780_000_000, 0);

    /// Takes the rows of a generated city and stamps them anew.
    pub async fn invent(program: Program) -> Self {
        let rows = Source::city(program, Self::ROWS as u64).await.rows(Self::ROWS).await;
        let paced = Self { folder: TempDir::new().unwrap() };
        let mut file = std::io::BufWriter::new(std::fs::File::create(paced.path()).unwrap());
        for (seconds, mut row) in (1..).zip(rows) {
            let shown_at = Self::FIRST_AT + SignedDuration::from_secs(seconds);
            row.insert(":updated_at".to_owned(), json!(format!("{shown_at:.3}")));
            writeln!(file, "{}", Value::Object(row)).unwrap();
        }
        file.flush().unwrap();
        paced
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("paced.ndjson")
    }

    /// Serves them, none of which can be seen yet.
    pub async fn serve(&self, program: Program) -> Source {
        Source::file(program, &self.path(), &["--clock", &Self::FIRST_AT.to_string()]).await
    }
}
