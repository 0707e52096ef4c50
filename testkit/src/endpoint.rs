//! The control endpoint in the test's own process, over real HTTP, with a pipeline that says what the test
//! wants.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use nyc311::config::Settings;
use nyc311::documents::PartitionStatus;
use nyc311::http::{ControlState, PipelineView, serve};
use nyc311::store::Store;
use nyc311::supervision::{StageState, StageStatus, Stalled, Watchdog};
use parking_lot::Mutex;

use crate::database::TestDatabase;
use crate::http_client::http_client;

/// A pipeline as a test wants it to look.
#[derive(Default)]
pub struct PretendedPipeline {
    pub stages: Mutex<Vec<StageStatus>>,
    pub missing: Mutex<Vec<String>>,
    pub reasons: Mutex<BTreeMap<String, String>>,
    pub stalled: Mutex<Vec<Stalled>>,
    /// How often the poller was woken.
    pub woken: AtomicUsize,
}

impl PipelineView for PretendedPipeline {
    fn stages(&self) -> Vec<StageStatus> {
        self.stages.lock().clone()
    }

    fn missing(&self) -> Vec<String> {
        self.missing.lock().clone()
    }

    fn reasons(&self) -> BTreeMap<String, String> {
        self.reasons.lock().clone()
    }

    fn stalled(&self) -> Vec<Stalled> {
        self.stalled.lock().clone()
    }

    fn partitions(&self) -> BoxFuture<'_, Vec<PartitionStatus>> {
        let partition = PartitionStatus {
            topic: "nyc311.raw".into(),
            partition: 0,
            position: Some(3),
            end: Some(5),
            lag: Some(2),
        };
        Box::pin(async move {
            vec![
                partition,
                PartitionStatus {
                    topic: "nyc311.raw".into(),
                    partition: 1,
                    position: None,
                    end: None,
                    lag: None,
                },
            ]
        })
    }

    fn wake_poller(&self) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// Returns the status of a stage that has never failed.
pub fn stage(name: &'static str, borough: Option<&'static str>, state: StageState) -> StageStatus {
    StageStatus {
        name,
        borough,
        state,
        generation: 1,
        restarts: 0,
        last_error: None,
        since: Timestamp::now(),
        waiting_for: None,
    }
}

/// A running endpoint that stops with this value.
pub struct Endpoint {
    /// Where it listens.
    pub url: String,
    /// What it says of the pipeline.
    pub view: Arc<PretendedPipeline>,
    /// The token that [`Endpoint::request`] sends.
    pub token: Option<&'static str>,
    stop: actix_web::dev::ServerHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Endpoint {
    /// Starts an endpoint on a store; with a token, it asks for it.
    pub fn start(store: Store, token: Option<&'static str>, overrides: &[(&str, &str)]) -> Self {
        let overrides: Vec<_> =
            overrides.iter().copied().chain(token.map(|token| ("http.token", token))).collect();
        let settings = Arc::new(Settings::with(&overrides).unwrap());
        let view = Arc::new(PretendedPipeline::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if settings.http.tls_certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let watchdog = Watchdog::start(Duration::from_secs(60)).unwrap();
        let state = ControlState { store, view: view.clone(), settings, watchdog };
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let server = serve(listener, state).unwrap();
                sender.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let stop = receiver.recv().unwrap();
        Self { url, view, token, stop, thread: Some(thread) }
    }

    /// Starts an endpoint without a token on a database of its own.
    pub async fn with_database() -> (TestDatabase, Self) {
        let database = TestDatabase::create().await;
        let endpoint = Self::start(database.another_store(), None, &[]);
        (database, endpoint)
    }

    /// Prepares a request for a path, with the token.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = http_client().request(method, format!("{}{path}", self.url));
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // The stop is asked for at once; the future only waits for it.
        drop(self.stop.stop(false));
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}
