//! The processes of the servers that a run has to itself: found, killed, stopped, and started again as they
//! were.

use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::database::TestDatabase;
use crate::waiting::within;

/// Returns the ids of all processes.
pub fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Returns the arguments that a process was started with.
pub fn command_line(process: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split('\0').filter(|argument| !argument.is_empty()).map(str::to_owned).collect()
}

/// Returns the fields of /proc/PID/stat behind the name, which may hold blanks and brackets itself: the first
/// is the state, the second the parent.
pub fn stat(process: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Finds the first process of a PostgreSQL of this machine.
pub async fn postmaster(database: &TestDatabase) -> u32 {
    let directory = database.json("select current_setting('data_directory') as at").await;
    let file = Path::new(directory[0]["at"].as_str().unwrap()).join("postmaster.pid");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("the server is not of this machine: {}: {error}", file.display()));
    text.lines().next().unwrap().trim().parse().unwrap()
}

/// Finds the broker whose logs lie in a folder.
pub fn broker(kafka_data: &Path) -> u32 {
    let settings = kafka_data.parent().unwrap().join("server.properties");
    let settings = settings.to_str().unwrap();
    let found = processes().find(|process| {
        let command = command_line(*process);
        command.ends_with(&["kafka.Kafka".to_owned(), settings.to_owned()])
    });
    found.unwrap_or_else(|| panic!("no Kafka runs with {settings}"))
}

/// Sends a signal to a process; one that has ended gets none.
pub fn signal(process: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(process).unwrap()), signal);
}

fn has_ended(process: u32) -> bool {
    stat(process).is_none_or(|fields| fields[0] == "Z")
}

/// A server that can be broken from outside.
pub struct Server {
    command: Vec<String>,
    folder: PathBuf,
    log: PathBuf,
    user: u32,
    group: u32,
    running: Mutex<Running>,
}

struct Running {
    process: u32,
    /// Whom this process has started has to be taken leave of by it.
    child: Option<Child>,
}

impl Server {
    /// Takes a running server over. What it says after a restart goes to a file.
    pub fn of(process: u32, log: PathBuf) -> Self {
        let at = PathBuf::from(format!("/proc/{process}"));
        let owner = std::fs::metadata(&at).expect("a running server");
        Self {
            command: command_line(process),
            folder: std::fs::read_link(at.join("cwd")).expect("the folder of a running server"),
            log,
            user: owner.uid(),
            group: owner.gid(),
            running: Mutex::new(Running { process, child: None }),
        }
    }

    /// Returns the process and its children.
    fn family(&self) -> Vec<u32> {
        let first = self.running.lock().process;
        let parent = first.to_string();
        let is_child = |process: &u32| stat(*process).is_some_and(|fields| fields[1] == parent);
        std::iter::once(first).chain(processes().filter(is_child)).collect()
    }

    /// Sends a signal to the process and all its children.
    pub fn signal_all(&self, sent: Signal) {
        // The first one first: it would make new ones of those that are gone.
        for process in self.family() {
            signal(process, sent);
        }
    }

    /// Asks the process to end by a signal, and waits for its end and that of its children.
    pub async fn end(&self, by: Signal) {
        let family = self.family();
        match by {
            Signal::SIGKILL => self.signal_all(by),
            other => signal(family[0], other),
        }
        let ended = within(Duration::from_secs(40), async || {
            if let Some(child) = &mut self.running.lock().child {
                let _ = child.try_wait();
            }
            family.iter().all(|process| has_ended(*process)).then_some(())
        });
        if ended.await.is_none() {
            self.signal_all(Signal::SIGKILL);
        }
    }

    /// Starts the server again as it was started before; whether it answers is for the caller to see.
    pub fn start(&self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log of the server");
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).current_dir(&self.folder).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if std::fs::metadata("/proc/self").unwrap().uid() != self.user {
            command.uid(self.user).gid(self.group);
        }
        let child = command.spawn().expect("a server that starts again");
        *self.running.lock() = Running { process: child.id(), child: Some(child) };
    }

    /// Tells whether the process has ended.
    pub fn has_ended(&self) -> bool {
        let mut running = self.running.lock();
        if let Some(child) = &mut running.child {
            let _ = child.try_wait();
        }
        has_ended(running.process)
    }
}
