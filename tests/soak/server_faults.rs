//! Faults of the broker and of the database themselves.

use std::time::Duration;

use nix::sys::signal::Signal;
use nyc311::kafka::Admin;
use nyc311_testkit::servers::Server;
use nyc311_testkit::within;

use crate::deck::Fault;
use crate::kinds::Kind;
use crate::world::World;

/// A server of this machine is back within this, or never.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// What is asked of the database by hand may take so long before the fault is left out.
const HAND_WITHIN: Duration = Duration::from_secs(20);

/// Breaks the broker.
pub async fn broker(world: &World, fault: &Fault) {
    match fault.kind {
        Kind::BrokerStopped => stop(&world.broker, fault.lasting).await,
        Kind::BrokerKilled => world.broker.end(Signal::SIGKILL).await,
        _ => world.broker.end(Signal::SIGTERM).await,
    }
    if fault.kind != Kind::BrokerStopped {
        tokio::time::sleep(fault.lasting).await;
        world.broker.start();
    }
    let kafka = &world.service.settings.kafka;
    let answered = within(BACK_WITHIN, async || Admin::new(kafka).ok()?.cluster_id().await.ok()).await;
    assert!(answered.is_some(), "the broker does not come back");
}

/// Breaks the database.
pub async fn database(world: &World, fault: &Fault) {
    match fault.kind {
        Kind::DatabaseStopped => stop(&world.postgres, fault.lasting).await,
        Kind::DatabaseKilled => world.postgres.end(Signal::SIGKILL).await,
        // The fast shutdown: sessions are ended.
        _ => world.postgres.end(Signal::SIGINT).await,
    }
    if fault.kind != Kind::DatabaseStopped {
        tokio::time::sleep(fault.lasting).await;
        world.postgres.start();
    }
    let answered = within(BACK_WITHIN, async || {
        if world.postgres.has_ended() {
            // What a killed server has left was still in use.
            world.postgres.start();
        }
        by_hand(world, "select 1").await.then_some(())
    });
    assert!(answered.await.is_some(), "the database does not come back");
}

async fn stop(server: &Server, lasting: Duration) {
    server.signal_all(Signal::SIGSTOP);
    tokio::time::sleep(lasting).await;
    server.signal_all(Signal::SIGCONT);
}

/// Runs statements beside the service; tells whether they were carried out.
async fn by_hand(world: &World, sql: &str) -> bool {
    let run = async { world.service.database.client().await.ok()?.batch_execute(sql).await.ok() };
    matches!(tokio::time::timeout(HAND_WITHIN, run).await, Ok(Some(())))
}

/// Ends some of the service's sessions, or all.
pub async fn terminate_backends(world: &World, luck: u64) {
    let sql = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and (pid + {}) % {} = 0",
        luck % 1_000,
        1 + luck % 3
    );
    by_hand(world, &sql).await;
}

/// Tables that the service writes to.
const TABLES: [&str; 6] = [
    "service_request_row",
    "service_request_history",
    "rollup_daily",
    "consumer_position",
    "poll",
    "source_position",
];

/// Has the tables refuse what is written, or keep it waiting.
pub async fn tables(world: &World, fault: &Fault) {
    let state = match fault.kind {
        Kind::DatabaseFull => "53100",
        Kind::SerializationFailures => "40001",
        _ => {
            let table = TABLES[(fault.luck % TABLES.len() as u64) as usize];
            let seconds = fault.lasting.as_secs_f64();
            let sql = format!(
                "begin; lock table nyc311.{table} in access exclusive mode; select pg_sleep({seconds}); commit"
            );
            by_hand(world, &sql).await;
            return;
        }
    };
    let refuse = format!(
        "begin; set local lock_timeout = '10s';
         create or replace function public.refuse() returns trigger language plpgsql as $$
         begin raise exception 'on purpose' using errcode = '{state}'; end $$;
         create trigger refuse before insert or update on nyc311.service_request_row
         for each statement execute function public.refuse(); commit"
    );
    if by_hand(world, &refuse).await {
        tokio::time::sleep(fault.lasting).await;
        let mend = "drop trigger if exists refuse on nyc311.service_request_row";
        let mended = within(BACK_WITHIN, async || by_hand(world, mend).await.then_some(())).await;
        assert!(mended.is_some(), "the trigger cannot be dropped");
    }
}
