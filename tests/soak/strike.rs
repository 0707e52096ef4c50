//! Does what was drawn, holds it as long as it lasts, and mends it again.

use std::time::Duration;

use nix::sys::signal::Signal;
use nyc311_testkit::freezer::{freeze, threads};

use crate::deck::Fault;
use crate::kinds::{Kind, Peer, Target};
use crate::member::{Member, THREAD_STANDS_STILL};
use crate::world::World;
use crate::{inner_faults, link_faults, server_faults, source_faults};

/// Breaks what the fault says; when this returns it is whole again, though perhaps not yet recovered.
pub async fn strike(world: &World, fault: &Fault) {
    match fault.target {
        Target::Process(number) => process(world, &world.members[number], fault).await,
        Target::Within(number) => inner_faults::strike(world, &world.members[number], fault).await,
        Target::Guest => visit(world, fault.lasting).await,
        Target::Broker => server_faults::broker(world, fault).await,
        Target::Database => server_faults::database(world, fault).await,
        Target::Sessions => server_faults::terminate_backends(world, fault.luck).await,
        Target::Tables => server_faults::tables(world, fault).await,
        Target::Link(number, peer) => link(world.members[number].link(peer), fault, peer).await,
        Target::Source | Target::SourceClock => source_faults::strike(world, fault).await,
    }
}

async fn link(proxy: &nyc311_testkit::Proxy, fault: &Fault, peer: Peer) {
    match fault.kind {
        Kind::Network(_, network) => link_faults::network(proxy, network, fault).await,
        _ => link_faults::cut_at_an_effect(proxy, fault, peer).await,
    }
}

async fn process(world: &World, member: &Member, fault: &Fault) {
    match fault.kind {
        Kind::ProcessKilled => {
            member.kill();
            tokio::time::sleep(fault.lasting).await;
            member.start(&world.service);
        }
        Kind::ProcessTerminated => {
            member.terminate().await;
            tokio::time::sleep(fault.lasting).await;
            member.start(&world.service);
        }
        Kind::ThreadFrozen => freeze_a_thread(world, member, fault).await,
        _ => {
            member.signal(Signal::SIGSTOP);
            tokio::time::sleep(fault.lasting).await;
            member.signal(Signal::SIGCONT);
        }
    }
}

/// Freezes one of the process's threads, whichever it is.
async fn freeze_a_thread(world: &World, member: &Member, fault: &Fault) {
    let Some(process) = member.process_id() else { return };
    let all = threads(process, "");
    let Some(thread) = all.get((fault.luck % all.len().max(1) as u64) as usize).copied() else { return };
    let name = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/comm")).unwrap_or_default();
    world.say(&format!("#{} the thread is {}", fault.number, name.trim_end()));
    member.excuse(fault.lasting, THREAD_STANDS_STILL);
    let frozen = tokio::task::spawn_blocking(move || freeze(thread)).await;
    tokio::time::sleep(fault.lasting).await;
    let _ = tokio::task::spawn_blocking(move || drop(frozen)).await;
}

/// Has another process take partitions over, and leave again.
async fn visit(world: &World, lasting: Duration) {
    world.guest.start(&world.service);
    tokio::time::sleep(lasting).await;
    world.guest.terminate().await;
}
