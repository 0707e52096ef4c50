//! Opens connections, on a runtime of their own, with the session settings that every caller relies on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Metrics, Pool, QueueMode, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};

use super::{StoreError, fitness, tls};
use crate::config::{DatabaseAddress, DatabaseSettings, DatabaseTls, SslMode};

/// A transaction whose client no longer speaks holds its locks no longer than this.
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection in doubt may take to show that it still answers.
const VERIFY_WITHIN: Duration = Duration::from_secs(1);

/// When the database last gave no answer in time. A connection may have been cut where neither side was told,
/// and whoever noticed that by a timeout has put it back into the pool: so each that was taken from it before
/// has to show that it answers before it is taken again.
#[derive(Clone, Default)]
pub(super) struct Doubt(Arc<Mutex<Option<Instant>>>);

impl Doubt {
    pub(super) fn raise(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    fn is_about(&self, connection: &Metrics) -> bool {
        let taken_last = connection.recycled.unwrap_or(connection.created);
        self.0.lock().is_some_and(|raised| taken_last <= raised)
    }
}

/// One thread that carries the traffic of all connections.
pub(super) struct ConnectionRuntime(Option<tokio::runtime::Runtime>);

impl ConnectionRuntime {
    pub(super) fn start() -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("store")
            .enable_all()
            .build()
            .map_err(|error| StoreError::caused_by("cannot start the connection thread", error))?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> Option<tokio::runtime::Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for ConnectionRuntime {
    fn drop(&mut self) {
        // the last handle may be dropped on another runtime, where waiting is not allowed
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Connects on the store's runtime, whoever asks.
struct ConnectOn {
    runtime: tokio::runtime::Handle,
    tls: DatabaseTls,
}

impl Connect for ConnectOn {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        let (runtime, tls) = (self.runtime.clone(), self.tls.clone());
        Box::pin(async move {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let task = runtime.spawn(async move {
                match tls::connect(config, tls).await {
                    Ok((client, connection)) => {
                        if sender.send(Ok(client)).is_ok()
                            && let Err(error) = connection.await
                        {
                            tracing::warn!(%error, "database connection lost");
                        }
                    }
                    Err(error) => drop(sender.send(Err(error))),
                }
            });
            match receiver.await {
                Ok(Ok(client)) => Ok((client, task)),
                Ok(Err(error)) => Err(error),
                // the runtime is going down; the pool's own bound on connecting ends the wait
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// Builds the pool; nothing is connected yet.
pub(super) fn pool(
    settings: &DatabaseSettings,
    runtime: Option<tokio::runtime::Handle>,
    doubt: Doubt,
) -> Result<Pool, StoreError> {
    let runtime = runtime.ok_or_else(|| StoreError::other("the connection thread has ended"))?;
    let DatabaseAddress { mut config, tls } = settings
        .url
        .expose()
        .parse()
        .map_err(|detail: String| StoreError::other(format!("database.url {detail}")))?;
    if tls.mode != SslMode::Disable {
        // At the start a file that cannot be used is a wrong setting.
        tls::read(&tls).map_err(StoreError::tls)?;
    }
    config.connect_timeout(settings.connect_timeout);
    if config.get_application_name().is_none() {
        config.application_name("nyc311");
    }
    // a peer that vanished without a word is noticed by the kernel, not by a statement timeout
    config.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(30));

    // a batch of 10,000 rows is 12 MB: it fits, and nothing is sorted or kept on disk
    let session = format!(
        "set lock_timeout = {}; set statement_timeout = {}; \
         set idle_in_transaction_session_timeout = {}; set client_min_messages = warning; \
         set jit = off; set work_mem = '32MB'; set temp_buffers = '32MB'; {}",
        settings.lock_timeout.as_millis(),
        settings.statement_timeout.as_millis(),
        IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
        fitness::PREPARE,
    );
    let manager = Manager::from_connect(
        config,
        ConnectOn { runtime, tls },
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(settings.pool_size)
        // The one that was used last has most of what it needs in its caches.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(settings.statement_timeout))
        .create_timeout(Some(settings.connect_timeout + Duration::from_secs(1)))
        .pre_recycle(Hook::async_fn(move |client, metrics| {
            let is_in_doubt = doubt.is_about(metrics);
            Box::pin(async move {
                if is_in_doubt {
                    let answer = tokio::time::timeout(VERIFY_WITHIN, client.simple_query("")).await;
                    answer
                        .map_err(|_| HookError::message("it gives no answer"))?
                        .map_err(HookError::Backend)?;
                }
                Ok(())
            })
        }))
        .post_create(Hook::async_fn(move |client, _| {
            let session = session.clone();
            Box::pin(async move {
                let answer = client.simple_query(&session).await.map_err(HookError::Backend)?;
                fitness::refusal(&answer).map_or(Ok(()), |refusal| Err(HookError::message(refusal)))
            })
        }))
        .build()
        .map_err(|error| StoreError::caused_by("cannot build the pool", error))
}
