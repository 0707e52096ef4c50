//! Faults of the connections between a process and whom it talks to.

use std::time::Duration;

use nyc311_testkit::{Cut, Proxy};

use crate::deck::Fault;
use crate::kinds::{Kind, Network, Peer};

/// Has all connections behave so, for as long as the fault lasts.
pub async fn network(proxy: &Proxy, network: Network, fault: &Fault) {
    let luck = fault.luck;
    match network {
        Network::Severed => proxy.sever(),
        Network::Refused => proxy.refuse(true),
        Network::Slow => proxy.delay(Duration::from_millis(20 + luck % 400)),
        Network::Narrow => proxy.throttle(Some(4_000 + (luck % 120_000) as u32)),
        Network::Silent => proxy.stall(true),
        Network::Lossy => proxy.lose(10 + (luck % 150) as u32),
    }
    tokio::time::sleep(fault.lasting).await;
    proxy.refuse(false);
    proxy.delay(Duration::ZERO);
    proxy.throttle(None);
    proxy.stall(false);
    proxy.lose(0);
}

/// What a COPY in the binary format begins with.
const BEGINNING_OF_COPY: &str = "PGCOPY\n";
/// A commit as a message of its own.
const COMMIT: &str = "COMMIT\0";

/// Cuts the connection to the database where it hurts most, a few times.
pub async fn cut_at_an_effect(proxy: &Proxy, fault: &Fault, peer: Peer) {
    assert_eq!(peer, Peer::Database, "only the database has transactions that can be read on their way");
    let (text, cut) = match fault.kind {
        Kind::CopyCut => (BEGINNING_OF_COPY, Cut::Within((fault.luck % 50_000) as usize)),
        Kind::CommitCut => (COMMIT, Cut::Before),
        _ => (COMMIT, Cut::Answer),
    };
    proxy.cut(text, cut, 1 + (fault.luck % 4) as usize);
    tokio::time::sleep(fault.lasting).await;
    proxy.cut(text, cut, 0);
}
