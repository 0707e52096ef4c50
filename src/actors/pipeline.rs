//! The pipeline: which stages there are, who supervises whom, and how the process starts and ends.
//!
//! Four groups under one root, each one_for_one. Groups start sinks first and drain sources first:
//!
//! | group | stages, in the order of their start |
//! |---|---|
//! | control | control |
//! | storage | writer, aggregator, enriched_consumer |
//! | enrichment | enriched_publisher, five enrichers, raw_consumer |
//! | ingest | raw_publisher, poller |
//!
//! Who restarts whom, when it gives up and with which exit code is one table, in [`crate::supervision`].
//!
//! No restart needs a neighbour's: whoever sees a batch fail opens the partition anew from its durable
//! position.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use nyc311_domain::Borough;

use super::aggregator::Aggregator;
use super::control::{Control, View};
use super::dependencies::Fatal;
use super::enriched_consumer::{EnrichedConsumer, ToAggregator};
use super::enriched_publisher::EnrichedPublisher;
use super::enricher::Enricher;
use super::environment::Environment;
use super::poller::Poller;
use super::raw_consumer::{RawConsumer, ToEnrichers};
use super::raw_publisher::RawPublisher;
use super::writer::Writer;
use crate::config::Settings;
use crate::exit_code;
use crate::http::{ControlState, server_config};
use crate::kafka::consumer::ThreadSlot;
use crate::kafka::topics::derived_max_bytes;
use crate::supervision::{
    Board, Child, Group, RestartPolicy, Root, Stage, StageKey, StageRef, Stalls, Watchdog, install_panic_hook,
};
use crate::telemetry::labels::{Dependency, StageName};

/// Which parts of the pipeline this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub control: bool,
    pub enricher: bool,
    pub writer: bool,
}

impl Roles {
    /// Everything in one process.
    pub const ALL: Self = Self { control: true, enricher: true, writer: true };
}

fn key(name: StageName, borough: Option<Borough>) -> StageKey {
    let order = StageName::ALL.iter().position(|known| *known == name).unwrap_or(0);
    StageKey { order: u8::try_from(order).unwrap_or(0), name, borough: borough.map(Borough::slug) }
}

/// Runs the pipeline until it is told to stop or gives up, and returns the exit code of the process.
pub fn run(settings: Settings, roles: Roles) -> i32 {
    install_panic_hook();
    let listener = match TcpListener::bind(settings.http.listen) {
        Ok(listener) => Arc::new(listener),
        Err(error) => {
            let address = settings.http.listen;
            tracing::error!(%address, %error, "http.listen cannot be bound, choose a free address");
            return exit_code::SETTINGS;
        }
    };
    if let Some(own) = settings.http.own_certificate()
        && let Err(error) = server_config(own)
    {
        tracing::error!(%error, "settings cannot work");
        return exit_code::SETTINGS;
    }
    let system = actix_rt::System::new();
    let code = system.block_on(supervise(Arc::new(settings), roles, listener));
    // Its end would wait for every question to a Kafka that is away until its time is over; the process ends
    // instead.
    std::mem::forget(system);
    code
}

async fn supervise(settings: Arc<Settings>, roles: Roles, listener: Arc<TcpListener>) -> i32 {
    let environment = match Environment::new(settings.clone()) {
        Ok(environment) => environment,
        Err(error) => {
            tracing::error!(%error, "settings cannot work");
            return exit_code::SETTINGS;
        }
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, instance = settings.instance.id, ?roles, "nyc311 starts");
    }
    let hang_after = settings.supervision.hang_after;
    let watchdog = match Watchdog::start(hang_after) {
        Ok(watchdog) => watchdog,
        Err(error) => {
            tracing::error!(%error, "no thread for the watchdog");
            return exit_code::GAVE_UP;
        }
    };
    environment.store.watch_thread(&watchdog);
    actix_rt::spawn(watchdog.clone().supervise());
    let watched = environment.clone();
    actix_rt::spawn(async move { watched.watch_work().await });
    let board = Board::default();
    let root = declare(&environment, &board, &watchdog, roles, listener);
    let watch = {
        let environment = environment.clone();
        async move { environment.watch().await }
    };
    let name = {
        let environment = environment.clone();
        async move { environment.keep_instance().await }
    };
    let code = tokio::select! {
        code = root.run(stop_signal(settings.clone(), board)) => code,
        fatal = watch => {
            tracing::error!("{fatal}");
            match fatal {
                Fatal::Unfit(_) => exit_code::SETTINGS,
                Fatal::TablesGone => exit_code::GAVE_UP,
            }
        }
        fatal = name => {
            tracing::error!("{fatal}");
            exit_code::SETTINGS
        }
    };
    environment.release_instance().await;
    tracing::info!(code, "nyc311 ended");
    code
}

/// Waits for SIGTERM or SIGINT and returns until when to drain.
async fn stop_signal(settings: Arc<Settings>, board: Board) -> Instant {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        tracing::error!("signals cannot be received, the process has to be killed to end it");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    board.stop();
    let drain_timeout = settings.supervision.drain_timeout;
    tracing::info!(drain_timeout_ms = drain_timeout.as_millis(), "told to stop, draining");
    Instant::now() + drain_timeout
}

fn declare(
    environment: &Arc<Environment>,
    board: &Board,
    watchdog: &Watchdog,
    roles: Roles,
    listener: Arc<TcpListener>,
) -> Root {
    let settings = &environment.settings;
    let policy = RestartPolicy::of_group(&settings.supervision);
    let stalls = Stalls::new(settings.supervision.stalled_after);
    let slot = || {
        let environment = environment.clone();
        Arc::new(ThreadSlot::new(watchdog.clone(), move || environment.is_away(Dependency::Kafka)))
    };
    let group = |name, children| Group { name, children, policy: policy.clone() };
    let mut working = Vec::new();
    if roles.writer {
        working.push(group("storage", storage(environment, board, slot(), &stalls)));
    }
    if roles.enricher {
        working.push(group("enrichment", enrichment(environment, board, slot(), &stalls)));
    }
    let mut poller = None;
    if roles.control {
        let (children, reference) = ingest(environment, board);
        poller = Some(reference);
        working.push(group("ingest", children));
    }
    let view = View { environment: environment.clone(), board: board.clone(), stalls, poller };
    let state = ControlState {
        store: environment.store.clone(),
        view: Arc::new(view),
        settings: settings.clone(),
        watchdog: watchdog.clone(),
    };
    let (control, _) = Stage::new(key(StageName::Control, None), board, move |life| {
        Control::new(life, listener.clone(), state.clone())
    });
    let mut groups = vec![group("control", vec![control as Arc<dyn Child>])];
    groups.append(&mut working);
    Root::new(groups, RestartPolicy::of_root(&settings.supervision))
}

fn storage(
    environment: &Arc<Environment>,
    board: &Board,
    slot: Arc<ThreadSlot>,
    stalls: &Stalls,
) -> Vec<Arc<dyn Child>> {
    let shared = environment.clone();
    let (writer, to_writer) =
        Stage::new(key(StageName::Writer, None), board, move |life| Writer::new(life, shared.clone()));
    let shared = environment.clone();
    let (aggregator, to_aggregator) = Stage::new(key(StageName::Aggregator, None), board, move |life| {
        Aggregator::new(life, shared.clone(), to_writer.clone())
    });
    let (shared, stalls) = (environment.clone(), stalls.clone());
    let (consumer, _) = Stage::new(key(StageName::EnrichedConsumer, None), board, move |life| {
        let destination = ToAggregator { environment: shared.clone(), aggregator: to_aggregator.clone() };
        EnrichedConsumer::new(life, shared.clone(), slot.clone(), stalls.clone(), destination)
    });
    vec![writer, aggregator, consumer]
}

fn enrichment(
    environment: &Arc<Environment>,
    board: &Board,
    slot: Arc<ThreadSlot>,
    stalls: &Stalls,
) -> Vec<Arc<dyn Child>> {
    let shared = environment.clone();
    let (publisher, to_publisher) = Stage::new(key(StageName::EnrichedPublisher, None), board, move |life| {
        EnrichedPublisher::new(life, shared.clone())
    });
    let mut children: Vec<Arc<dyn Child>> = vec![publisher];
    let mut to_enrichers: Vec<StageRef<Enricher>> = Vec::new();
    let max_bytes = derived_max_bytes(&environment.settings.kafka);
    for borough in Borough::ALL {
        let publisher = to_publisher.clone();
        let (enricher, to_enricher) =
            Stage::new(key(StageName::Enricher, Some(borough)), board, move |life| {
                Enricher::new(life, borough, publisher.clone(), max_bytes)
            });
        children.push(enricher);
        to_enrichers.push(to_enricher);
    }
    let (shared, stalls) = (environment.clone(), stalls.clone());
    let (consumer, _) = Stage::new(key(StageName::RawConsumer, None), board, move |life| {
        let destination = ToEnrichers::new(shared.clone(), to_publisher.clone(), to_enrichers.clone());
        RawConsumer::new(life, shared.clone(), slot.clone(), stalls.clone(), destination)
    });
    children.push(consumer);
    children
}

fn ingest(environment: &Arc<Environment>, board: &Board) -> (Vec<Arc<dyn Child>>, StageRef<Poller>) {
    let shared = environment.clone();
    let (publisher, to_publisher) = Stage::new(key(StageName::RawPublisher, None), board, move |life| {
        RawPublisher::new(life, shared.clone())
    });
    let shared = environment.clone();
    let (poller, to_poller) = Stage::new(key(StageName::Poller, None), board, move |life| {
        Poller::new(life, shared.clone(), to_publisher.clone())
    });
    (vec![publisher, poller], to_poller)
}
