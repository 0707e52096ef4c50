//! Polls, one after the other, as long as the soak lasts: from the cursor, and over windows now and then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::world::World;

/// A poll that has not ended by then is not waited for; it is held against the service at the end.
const FOLLOWED_FOR: Duration = Duration::from_secs(40);
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// One in so many polls is a backfill of the last days.
const BACKFILLS: u64 = 4;
const BACKFILLED_DAYS: i64 = 12;
/// One in so many is taken back at once.
const CANCELLED: u64 = 8;

/// Polls that are going on.
pub struct Polls {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Polls {
    /// Submits no more, and leaves those that were submitted alone.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        self.task.await.expect("polls that can be stopped");
    }
}

/// Begins to submit.
pub fn begin(world: Arc<World>, seed: u64) -> Polls {
    let (stop, mut stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        let mut chance = fastrand::Rng::with_seed(!seed);
        loop {
            tokio::select! {
                () = one(&world, &mut chance) => {}
                _ = stopped.changed() => return,
            }
        }
    });
    Polls { stop, task }
}

/// Submits a poll to any process and follows it by any other.
async fn one(world: &World, chance: &mut fastrand::Rng) {
    let body = if chance.u64(..BACKFILLS) == 0 { window(world) } else { json!({}) };
    let submitted = world.members[chance.usize(..world.members.len())].submit(&body).await;
    tokio::time::sleep(ASKED_EVERY).await;
    let Some(id) = submitted else { return };
    if chance.u64(..CANCELLED) == 0 {
        world.members[chance.usize(..world.members.len())].cancel(&id).await;
    }
    let began = Instant::now();
    while began.elapsed() < FOLLOWED_FOR {
        let asked = &world.members[chance.usize(..world.members.len())];
        if asked.get(&format!("/v1/polls/{id}")).await.is_some_and(|poll| has_ended(&poll)) {
            return;
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

/// Tells whether a poll has come to an end, whichever.
pub fn has_ended(poll: &Value) -> bool {
    ["succeeded", "failed", "cancelled"].iter().any(|state| poll["state"] == *state)
}

fn window(world: &World) -> Value {
    let now_ms = world.simulator.clock().now_ms();
    let since = Timestamp::from_millisecond(now_ms - BACKFILLED_DAYS * 86_400_000).unwrap();
    json!({"since": since.to_string(), "until": Timestamp::from_millisecond(now_ms).unwrap().to_string()})
}
