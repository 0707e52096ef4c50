//! What must be true when everything is whole again, and what was true meanwhile.

use std::time::Duration;

use nyc311_testkit::oracle::{Check, promises};
use nyc311_testkit::within;
use serde_json::{Value, json};

use crate::deck::Deck;
use crate::polls::has_ended;
use crate::recovery::Recoveries;
use crate::watch::Watch;
use crate::world::World;

/// A poll of what has changed meanwhile, and those that are still queued, take seconds.
const POLLED_WITHIN: Duration = Duration::from_secs(180);

/// Waits until everything is quiet, holds it against what was promised, and prints the verdict.
pub async fn reach(world: &World, deck: &Deck, mut recoveries: Recoveries, watch: Watch) -> bool {
    recoveries.wait_for(world).await;
    let mut last = Check::of("the polls end by themselves, and the next one succeeds");
    let ended = within(POLLED_WITHIN, async || none_is_left(world).await.then_some(())).await;
    last.demand(ended.is_some(), || "a poll does not end".to_owned());
    let poll = last_poll(world).await;
    last.demand(poll["state"] == "succeeded", || format!("{poll:#}"));
    world.say("the last poll has ended");
    let mut checks = watch.end();
    checks.push(last);
    checks.push(recoveries.check());
    for member in &world.members {
        member.terminate().await;
    }
    world.say("the processes are stopped");
    checks.push(exits(world));
    checks.extend(promises(&world.service.database, &world.service.settings.kafka, &world.simulator).await);
    let states = "select state, count(*)::int as polls from nyc311.poll group by 1 order by 1";
    println!("\npolls: {}", world.service.database.json(states).await);
    println!("{} faults of {} kinds:", deck.drawn(), deck.counts().len());
    for (kind, count) in deck.counts() {
        println!("{count:6}  {kind}");
    }
    println!();
    for check in &checks {
        println!("{check}");
    }
    checks.iter().all(Check::holds)
}

async fn none_is_left(world: &World) -> bool {
    let left = "select count(*) from nyc311.poll where state not in ('succeeded', 'failed', 'cancelled')";
    world.service.database.number(left).await == 0
}

/// Polls once more, from the cursor.
async fn last_poll(world: &World) -> Value {
    let polled = within(POLLED_WITHIN, async || {
        let id = world.members[0].submit(&json!({})).await?;
        let ended = async || {
            let poll = world.members[0].get(&format!("/v1/polls/{id}")).await?;
            has_ended(&poll).then_some(poll)
        };
        within(POLLED_WITHIN, ended).await
    });
    polled.await.unwrap_or(Value::Null)
}

fn exits(world: &World) -> Check {
    let mut check = Check::of("no process ended otherwise than it was told to");
    let exits: Vec<_> = world.processes().flat_map(|member| member.exits()).collect();
    check.saw(exits.len(), "ends that were no SIGKILL");
    for exit in exits {
        check.demand(exit.is_expected, || format!("{} ended with {:?}", exit.member, exit.code));
    }
    check
}
