//! The root of supervision: it runs the groups, rebuilds one that gave up, and decides the exit code.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::exit::panic_text;
use super::group::{Group, GroupEnd, GroupOrder};
use super::policy::{Intensity, RestartDelay, RestartPolicy};
use crate::exit_code;

/// The root supervisor with its groups, in the order in which they start: sinks first.
pub struct Root {
    groups: Vec<Arc<Group>>,
    policy: RestartPolicy,
}

type Ends = FuturesUnordered<LocalBoxFuture<'static, (usize, Result<GroupEnd, String>)>>;

impl Root {
    pub fn new(groups: Vec<Group>, policy: RestartPolicy) -> Self {
        Self { groups: groups.into_iter().map(Arc::new).collect(), policy }
    }

    /// Supervises until `stop` yields the deadline of the drain or a group gives up for good; returns the
    /// exit code.
    pub async fn run(self, stop: impl Future<Output = Instant>) -> i32 {
        let mut ends: Ends = FuturesUnordered::new();
        let mut restarts = FuturesUnordered::<LocalBoxFuture<'static, usize>>::new();
        let mut intensity = Intensity::default();
        let orders: Vec<_> = self.groups.iter().map(|_| watch::channel(GroupOrder::Run).0).collect();
        let now = Instant::now();
        let mut delays: Vec<_> = self.groups.iter().map(|_| RestartDelay::new(&self.policy, now)).collect();
        for (index, order) in orders.iter().enumerate() {
            ends.push(self.start(index, order));
        }
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                deadline = &mut stop => {
                    self.drain(&orders, &mut ends, deadline).await;
                    return exit_code::DONE;
                }
                Some((index, end)) = ends.next() => {
                    let (what, code) = match end {
                        Ok(GroupEnd::Drained) => continue,
                        Ok(GroupEnd::GaveUp { stage, reason }) => {
                            let code = if reason.is_hang() { exit_code::HUNG } else { exit_code::GAVE_UP };
                            (format!("{stage}: {reason}"), code)
                        }
                        Err(panic) => (format!("its supervisor panicked: {panic}"), exit_code::GAVE_UP),
                    };
                    let group = self.groups[index].name;
                    let now = Instant::now();
                    if intensity.exceeded(now, &self.policy) {
                        tracing::error!(group, last = %what, "too many failures, the pipeline gives up");
                        // The others end in order too: what they hold is committed or read again at the next
                        // start.
                        let deadline = now + std::time::Duration::from_secs(5);
                        self.drain(&orders, &mut ends, deadline).await;
                        return code;
                    }
                    let wait = delays[index].after_failure(now);
                    tracing::error!(group, last = %what, restart_in_ms = wait.as_millis(), "group gave up, building it anew");
                    restarts.push(tokio::time::sleep(wait).map(move |()| index).boxed_local());
                }
                Some(index) = restarts.next() => {
                    delays[index].started(Instant::now());
                    ends.push(self.start(index, &orders[index]));
                }
            }
        }
    }

    fn start(
        &self,
        index: usize,
        orders: &watch::Sender<GroupOrder>,
    ) -> LocalBoxFuture<'static, (usize, Result<GroupEnd, String>)> {
        let group = self.groups[index].clone();
        let orders = orders.subscribe();
        // A task of its own: a panic of the group's supervisor is its failure, not the root's.
        let supervision = actix_rt::spawn(async move { group.run(orders).await });
        async move {
            match supervision.await {
                Ok(end) => (index, Ok(end)),
                Err(error) => {
                    let text = error.try_into_panic().map_or_else(|_| "cancelled".to_owned(), panic_text);
                    (index, Err(text))
                }
            }
        }
        .boxed_local()
    }

    async fn drain(&self, orders: &[watch::Sender<GroupOrder>], ends: &mut Ends, deadline: Instant) {
        for order in orders.iter().rev() {
            // A group that has ended has no receiver.
            if order.send(GroupOrder::Drain(deadline)).is_ok() {
                ends.next().await;
            }
        }
    }
}
