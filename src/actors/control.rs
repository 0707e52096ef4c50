//! Control: the HTTP server as a stage, and the view of the pipeline that it shows.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::environment::Environment;
use super::poller::Poller;
use crate::documents::PartitionStatus;
use crate::http::{ControlState, PipelineView, serve};
use crate::kafka::groups::enricher_group;
use crate::messages::TriggerPoll;
use crate::supervision::{
    Board, Drain, Life, Named, StageError, StageRef, StageStatus, Stalled, Stalls, Wait,
};

/// The actor that serves HTTP.
pub struct Control {
    life: Life,
    listener: Arc<TcpListener>,
    state: ControlState,
    server: Option<actix_web::dev::ServerHandle>,
}

impl Control {
    pub fn new(life: Life, listener: Arc<TcpListener>, state: ControlState) -> Self {
        Self { life, listener, state, server: None }
    }
}

impl Actor for Control {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let started = self.listener.try_clone().and_then(|listener| serve(listener, self.state.clone()));
        match started {
            Ok(server) => {
                self.server = Some(server.handle());
                self.life.running();
                let life = self.life.clone();
                let served = async move {
                    match server.await {
                        Ok(()) => life.fail(StageError::new("serving http", "the server stopped")),
                        Err(error) => life.fail(StageError::new("serving http", error)),
                    }
                };
                context.spawn(served.into_actor(self));
                match self.listener.local_addr() {
                    Ok(address) => {
                        let patience = self.state.settings.supervision.hang_after;
                        let has_tls = self.state.settings.http.own_certificate().is_some();
                        let scheme = if has_tls { "https" } else { "http" };
                        let life = self.life.clone();
                        let asking = async move {
                            let asked = ask_itself(&life, scheme, address, patience);
                            life.work("asking the http server", asked).await;
                        };
                        context.spawn(asking.into_actor(self));
                    }
                    Err(error) => self.life.fail(StageError::new("asking for the port", error)),
                }
            }
            Err(error) => self.life.fail(StageError::new("starting http", error)),
        }
    }
}

/// Asks the server for a sign of life, as its users do: the thread that accepts connections may stand still.
/// The stage is built anew then, with a thread of its own on the same port.
async fn ask_itself(life: &Life, scheme: &str, mut address: SocketAddr, patience: Duration) {
    if address.ip().is_unspecified() {
        let loopback =
            if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    // A connection for each question: it is the accepting of new ones that is asked for.
    let client = reqwest::Client::builder().no_proxy().timeout(patience).pool_max_idle_per_host(0);
    // Its own port is asked, and nothing is told it: no certificate names this address, and one that has
    // expired is no sign of a thread that stands still.
    let client = match client.danger_accept_invalid_certs(true).build() {
        Ok(client) => client,
        Err(error) => {
            return life.fail(StageError::new("creating a client for the server's own port", error));
        }
    };
    let url = format!("{scheme}://{address}/healthz");
    loop {
        tokio::time::sleep(patience / 4).named(Wait::Pause).await;
        // It has an end of its own.
        if let Err(error) = client.get(&url).send().named(Wait::Neighbour).await {
            // Said first: the end of a server whose thread stands still may itself take a new thread.
            tracing::warn!(%error, "the http server gives itself no answer");
            let cause = format!("no answer within {patience:?}: {error}");
            return life.fail(StageError::new("serving http", cause));
        }
    }
}

impl Handler<Drain> for Control {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let server = self.server.take();
        Box::pin(async move {
            if let Some(server) = server {
                server.stop(true).await;
            }
        })
    }
}

/// What HTTP sees of the pipeline.
pub struct View {
    pub environment: Arc<Environment>,
    pub board: Board,
    pub stalls: Stalls,
    pub poller: Option<StageRef<Poller>>,
}

impl PipelineView for View {
    fn stages(&self) -> Vec<StageStatus> {
        self.board.stages()
    }

    fn missing(&self) -> Vec<String> {
        self.environment.missing()
    }

    fn reasons(&self) -> BTreeMap<String, String> {
        self.environment.reasons()
    }

    fn stalled(&self) -> Vec<Stalled> {
        self.stalls.stalled()
    }

    fn partitions(&self) -> BoxFuture<'_, Vec<PartitionStatus>> {
        self.read_partitions().boxed()
    }

    fn wake_poller(&self) {
        if let Some(poller) = &self.poller {
            poller.tell(TriggerPoll);
        }
    }
}

impl View {
    async fn read_partitions(&self) -> Vec<PartitionStatus> {
        let environment = &self.environment;
        let kafka = &environment.settings.kafka;
        let count = environment.partition_map.partitions();
        let partitions: Vec<i32> = (0..count).collect();
        let mut found = Vec::new();
        let group = enricher_group(kafka);
        let patience = std::time::Duration::from_secs(2);
        let derived = [kafka.enriched_topic.as_str(), kafka.dead_letter_topic.as_str()];
        let committed = environment.admin.committed(&group, &kafka.raw_topic, &partitions, patience);
        let stored = async {
            let cluster = environment.admin.cluster_id().await.ok()?;
            // A database that stands still must not hide what the brokers say.
            let positions = environment.store.positions(&cluster, &derived);
            tokio::time::timeout(patience, positions).await.ok()?.ok()
        };
        let (committed, stored) = tokio::join!(committed, stored);
        for topic in [kafka.raw_topic.as_str(), derived[0], derived[1]] {
            let ends = environment.admin.log_ends(topic, 0..count).await.ok();
            for partition in &partitions {
                let index = usize::try_from(*partition).unwrap_or(0);
                // None where it could not be asked for; none inside where there is no position yet.
                let position = if topic == kafka.raw_topic {
                    committed.as_ref().ok().map(|offsets| {
                        offsets.get(index).and_then(|committed| Some(committed.as_ref()?.next_offset))
                    })
                } else {
                    stored.as_ref().map(|rows| {
                        let row = rows.iter().find(|row| row.topic == topic && row.partition == *partition);
                        row.map(|row| row.next_offset)
                    })
                };
                let ends = ends.as_ref().and_then(|ends| ends.get(index));
                let lag = ends
                    .zip(position)
                    .map(|(ends, position)| (ends.high - position.unwrap_or(ends.low).max(ends.low)).max(0));
                let position = position.flatten();
                found.push(PartitionStatus {
                    topic: topic.to_owned(),
                    partition: *partition,
                    position,
                    end: ends.map(|ends| ends.high),
                    lag,
                });
            }
        }
        found
    }
}
