//! The HTTP face of the simulator.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::clock::Clock;
use crate::faults::Fault;
use crate::files::LoadError;
use crate::options::SimulatorOptions;
use crate::soql::write_fixed;
use crate::stamp::{Stamp, at_millisecond};
use crate::state::{DATASET, SimulatorState};
use crate::table::Table as _;
use crate::{operator, resource};

/// How long a stop waits for answers in flight.
const STOP_SECONDS: u64 = 2;

#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
}

/// One version of a row.
pub struct Version {
    /// The row as a page has it.
    pub row: Vec<u8>,
    /// Whether the source shows it at the time that its clock reads.
    pub is_shown: bool,
}

/// A simulator that runs on a thread of its own until it is stopped or dropped.
pub struct Simulator {
    address: SocketAddr,
    /// What it serves, in words: the city with its seed, or the files.
    serves: String,
    state: Arc<SimulatorState>,
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Simulator {
    /// Says what is served, how many rows of which times, and what to set to poll it.
    pub fn greeting(&self) -> Vec<String> {
        let table = &self.state.table;
        let versions = table.len();
        let mut lines = vec![match versions {
            0 => format!("{}: no rows", self.serves),
            _ => format!(
                "{}: {versions} versions of rows, published from {} to {}",
                self.serves,
                write_fixed(table.stamp(0).updated_at),
                write_fixed(table.stamp(versions - 1).updated_at)
            ),
        }];
        let now = at_millisecond(self.state.clock.now_ms());
        let published = table.first_at_or_after(Stamp { updated_at: now, row_number: u64::MAX });
        lines.push(format!(
            "the clock shows {}, when {published} of them are published; it can be moved (docs/simulator.md)",
            write_fixed(now)
        ));
        if self.state.token.is_some() {
            lines.push("requests need the token of --token: export NYC311_SOURCE__APP_TOKEN=...".to_owned());
        }
        lines.push(format!("to poll it: export NYC311_SOURCE__URL={}", self.resource_url()));
        lines.push("Ctrl-C ends it".to_owned());
        lines
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what `source.url` is to be set to.
    pub fn resource_url(&self) -> String {
        format!("http://{}/resource/{DATASET}.json", self.address)
    }

    pub fn clock(&self) -> &Clock {
        &self.state.clock
    }

    pub fn inject(&self, fault: Fault) {
        self.state.faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Withdraws the rows with these keys: the source has them no more.
    pub fn withdraw(&self, keys: &[String]) {
        self.state.table.withdraw(keys);
    }

    /// Shows again what was withdrawn.
    pub fn bring_back(&self) {
        self.state.table.bring_back();
    }

    /// Returns every version of every row that there is, in the source's order, whenever its time comes.
    pub fn versions(&self) -> impl Iterator<Item = Version> + '_ {
        let (table, now_ms) = (&self.state.table, self.state.clock.now_ms());
        (0..table.len()).map(move |position| {
            let mut row = Vec::new();
            table.write_row(position, &mut row);
            Version { row, is_shown: table.is_shown(position, now_ms) }
        })
    }

    /// Returns the rows that faults have put into pages, each once.
    pub fn put_in(&self) -> Vec<String> {
        self.state.put_in.lock().iter().cloned().collect()
    }

    /// Counts the requests for rows so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Starts one, which ends by itself on SIGTERM and SIGINT where it `handles_signals`.
    pub fn start(options: &SimulatorOptions, handles_signals: bool) -> Result<Self, SimulatorError> {
        start(options, handles_signals)
    }

    pub fn stop(mut self) {
        self.end();
    }

    /// Waits until the server ends by itself: after SIGTERM or SIGINT.
    pub fn wait(mut self) -> std::io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(std::io::Error::other("the simulator's thread panicked")),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The command is sent at once; the future only waits for it to be carried out, which the thread's
            // end shows.
            drop(self.handle.stop(false));
            if thread.join().is_err() {
                tracing::warn!("simulator thread panicked");
            }
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a simulator that leaves signals alone.
pub fn serve(options: &SimulatorOptions) -> Result<Simulator, SimulatorError> {
    start(options, false)
}

/// Says in words what the options ask for.
fn serves(options: &SimulatorOptions) -> String {
    if options.file.is_empty() {
        return format!("a generated city of {} requests, seed {}", options.rows, options.seed);
    }
    let files: Vec<String> = options.file.iter().map(|file| file.display().to_string()).collect();
    format!("the rows of {}", files.join(", "))
}

fn start(options: &SimulatorOptions, handles_signals: bool) -> Result<Simulator, SimulatorError> {
    let refused = |error| SimulatorError::Listen { address: options.listen, error };
    let listener = TcpListener::bind(options.listen).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let state = Arc::new(SimulatorState::load(options)?);
    let (sender, receiver) = std::sync::mpsc::channel();
    let shared = state.clone();
    let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let data = web::Data::from(shared);
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(data.clone())
                    .route("/resource/{dataset}.json", web::get().to(resource::answer))
                    .configure(operator::routes)
                    .default_service(web::to(resource::not_found))
            })
            .workers(2)
            .shutdown_timeout(STOP_SECONDS);
            let server = if handles_signals { server } else { server.disable_signals() };
            match server.listen(listener) {
                Ok(server) => {
                    let mut server = server.run();
                    let handle = server.handle();
                    // The first poll takes the signals over: whoever hears of the address may send one at
                    // once.
                    tokio::select! {
                        biased;
                        ended = &mut server => return ended,
                        () = std::future::ready(()) => {}
                    }
                    let _ = sender.send(Ok(handle));
                    server.await
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                    Ok(())
                }
            }
        })
    });
    let thread = thread.map_err(refused)?;
    let handle = receiver
        .recv()
        .unwrap_or_else(|_| Err(std::io::Error::other("the simulator's thread ended")))
        .map_err(refused)?;
    Ok(Simulator { address, serves: serves(options), state, handle, thread: Some(thread) })
}
