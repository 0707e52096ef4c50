//! Holds the process's name: two processes of one `instance.id` would throw each other out of the consumer
//! groups and take each other's poll for their own, for ever.
//!
//! Before any stage works, the process takes its name in the database, and then renews it once a second.
//! Another owner is watched: one that renews lives, and this process ends; one that does not is waited for,
//! and after a lease its name is taken over. It finds out when it goes on, and ends then. A database that is
//! away throws nobody out: without it nobody can be watched, and the watch begins anew when it is back.

use std::time::{Duration, Instant};

use super::environment::Environment;
use crate::retry::INSTANCE_NAME;
use crate::store::{InstanceClaim, InstanceHold, InstanceOwner, InstanceRun};
use crate::supervision::{Named, Wait};

/// How often the name is renewed. An owner that lives shows within this time and some.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How long an owner may be silent: longer than the session in its consumer groups (6 s), so that nobody
/// takes the name of one whose partitions are still its own.
const LEASE: Duration = Duration::from_secs(10);
/// How often the owner's connection, and the owner of a name that is taken, are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How much of the time between two looks counts. Where looking took longer, the owner may have had no way to
/// renew either.
const LOOK_COUNTS: Duration = Duration::from_secs(2);

/// Another owner, and how long it was seen to be silent.
struct Watched {
    owner: InstanceOwner,
    silent_for: Duration,
    seen: Instant,
}

impl Environment {
    /// Holds the name for as long as the process lives; returns only with why it cannot.
    pub async fn keep_instance(&self) -> String {
        self.works.work("the name of the process", self.keep_name()).await
    }

    async fn keep_name(&self) -> String {
        let instance = &self.settings.instance;
        if !instance.stable {
            // A random name is nobody else's.
            self.condition.send_modify(|now| now.instance = None);
            return std::future::pending().named(Wait::Idle).await;
        }
        let run = &self.run;
        self.migrated().named(Wait::Environment).await;
        // What held the name stays until something else does, so that it is never free in between.
        let mut held = None;
        loop {
            match self.claim(run).await {
                Ok(hold) => {
                    self.condition.send_modify(|now| now.instance = None);
                    self.hold(held.insert(hold), run).await;
                }
                Err(owner) => {
                    return format!(
                        "instance.id {:?} is in use since {} by process {} on {}: give each process an instance.id \
                         of its own, or stop that one first",
                        run.instance_id, owner.started_at, owner.process_id, owner.host
                    );
                }
            }
        }
    }

    /// Gives the name up at the end of the process.
    pub async fn release_instance(&self) {
        if self.settings.instance.stable
            && let Err(error) = self.store.release_instance(&self.run).await
        {
            tracing::debug!(%error, "the name of this process was not given up");
        }
    }

    /// Takes the name, as soon as it is free; an error is an owner that lives.
    async fn claim(&self, run: &InstanceRun) -> Result<InstanceHold, InstanceOwner> {
        let mut watched: Option<Watched> = None;
        let mut delays = INSTANCE_NAME.delays();
        loop {
            let silent = watched.as_ref().filter(|watched| watched.silent_for >= LEASE);
            let claim = self.store.claim_instance(run, silent.map(|watched| &watched.owner));
            match claim.named(Wait::Database).await {
                Ok(InstanceClaim::Held(hold)) => return Ok(hold),
                Ok(InstanceClaim::Taken(owner)) => {
                    delays.reset();
                    let seen = Instant::now();
                    watched = Some(match watched.take() {
                        Some(before) if before.owner == owner => {
                            let gap = seen.duration_since(before.seen);
                            Watched { silent_for: before.silent_for + gap.min(LOOK_COUNTS), seen, owner }
                        }
                        Some(before) if before.owner.run_id == owner.run_id => return Err(owner),
                        _ => {
                            self.wait_for_owner(&owner);
                            Watched { owner, silent_for: Duration::ZERO, seen }
                        }
                    });
                    tokio::time::sleep(LOOK_EVERY).named(Wait::Pause).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the name of this process cannot be taken yet");
                    watched = None;
                    delays.pause().named(Wait::Pause).await;
                }
            }
        }
    }

    fn wait_for_owner(&self, owner: &InstanceOwner) {
        let detail = format!(
            "instance.id is in use since {} by process {} on {}, waiting whether that one still lives",
            owner.started_at, owner.process_id, owner.host
        );
        self.condition.send_if_modified(|now| {
            // A process at work goes on with its work until it is known that the name is another's.
            let waits = now.instance.is_some();
            if waits && now.instance.as_ref() != Some(&detail) {
                tracing::warn!(detail);
                now.instance = Some(detail.clone());
            }
            waits
        });
    }

    /// Renews the name until its connection has ended or answers no more, or the name is another's.
    async fn hold(&self, hold: &InstanceHold, run: &InstanceRun) {
        let mut renewed = Instant::now();
        while !hold.is_closed() {
            tokio::time::sleep(LOOK_EVERY).named(Wait::Pause).await;
            if renewed.elapsed() < RENEW_EVERY {
                continue;
            }
            match hold.renew(run).named(Wait::Database).await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => {
                    tracing::error!(instance = run.instance_id, "the name of this process is another's");
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "the name of this process was not renewed, and is claimed anew");
                    return;
                }
            }
        }
    }
}
