//! A soak: the real binary, one process of it or several, while everything around it breaks again and again.
//!
//! Which faults come in which order follows from the seed (`deck`); each is done from outside, also those
//! within a process, which its own interface has (`strike`).
//! Rows change and polls run all the time. After each burst of faults the service has to be ready again; at
//! the end everything that is kept is held against what the source has.
//!
//! `make soak` starts the servers, which the faults need for themselves, and runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a run that cannot go on fails

mod deck;
mod inner_faults;
mod kinds;
mod link_faults;
mod member;
mod order;
mod polls;
mod recovery;
mod server_faults;
mod source_faults;
mod strike;
mod verdict;
mod watch;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use nyc311_testkit::Program;

use self::deck::Deck;
use self::order::Order;
use self::recovery::Recoveries;
use self::world::World;

const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let order = match Order::read() {
        Ok(order) => order,
        Err(problem) => {
            eprintln!("soak: {problem}");
            return ExitCode::from(2);
        }
    };
    println!("soak: {order}");
    // The faults share this thread, the proxies and whatever looks on have others.
    match tokio::task::LocalSet::new().run_until(soak(&order)).await {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Breaks everything for as long as it was ordered; tells whether every promise was kept.
async fn soak(order: &Order) -> bool {
    let world = Arc::new(World::build(PROGRAM, order).await);
    world.start().await;
    let watch = watch::begin(world.clone());
    let polls = polls::begin(world.clone(), order.seed);
    let (deck, recoveries) = break_things(&world, order).await;
    world.quiet();
    polls.stop().await;
    let holds = verdict::reach(&world, &deck, recoveries, watch).await;
    println!("soak: {order}: {}", if holds { "all promises were kept" } else { "BROKEN" });
    holds
}

/// Strikes in bursts until the time is up, and waits after each until all is ready again.
async fn break_things(world: &Arc<World>, order: &Order) -> (Deck, Recoveries) {
    let (mut deck, mut recoveries) = (Deck::shuffled(order), Recoveries::default());
    let until = Instant::now() + order.lasting;
    while Instant::now() < until {
        let mut burst = tokio::task::JoinSet::new();
        for _ in 0..deck.next_burst() {
            let fault = deck.next();
            tokio::time::sleep(fault.after).await;
            // What is broken already is broken anew when it is whole: the order stays that of the seed.
            let target = world.alone_with(fault.target).await;
            world.say(&format!("{fault}"));
            let world = world.clone();
            burst.spawn_local(async move {
                strike::strike(&world, &fault).await;
                world.say(&format!("#{} is over", fault.number));
                drop(target);
            });
        }
        while let Some(ended) = burst.join_next().await {
            ended.expect("a fault that ends");
        }
        if !recoveries.wait_for(world).await {
            break;
        }
        tokio::time::sleep(deck.next_rest()).await;
    }
    (deck, recoveries)
}
