//! How long the service takes to be ready again once everything is whole.

use std::time::{Duration, Instant};

use nyc311_testkit::oracle::Check;
use nyc311_testkit::within;

use crate::world::World;

/// The longest that a service may take.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// One that is not ready by then will not be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120);

/// How long it took each time.
#[derive(Default)]
pub struct Recoveries {
    took: Vec<Duration>,
    missed: Vec<String>,
}

impl Recoveries {
    /// Waits until all processes are ready; tells whether there is a point in going on.
    pub async fn wait_for(&mut self, world: &World) -> bool {
        let began = Instant::now();
        let mut told = false;
        let ready = within(GIVEN_UP_AFTER, async || {
            if world.is_ready().await {
                return Some(());
            }
            if began.elapsed() > READY_WITHIN && !told {
                told = true;
                for member in &world.members {
                    let said = member.get("/readyz").await;
                    self.missed.push(format!("{}: {said:?}", member.name));
                    world.say(&format!("NOT READY after {READY_WITHIN:?}: {}: {said:?}", member.name));
                }
            }
            None
        })
        .await;
        self.took.push(began.elapsed());
        world.say(&format!("ready again after {:.1} s", began.elapsed().as_secs_f64()));
        ready.is_some()
    }

    /// Returns what was demanded of each.
    pub fn check(&self) -> Check {
        let mut check = Check::of("ready again within 30 s of the last fault");
        let slowest = self.took.iter().max().copied().unwrap_or_default();
        check.saw(self.took.len(), &format!("recoveries, the slowest of {:.1} s", slowest.as_secs_f64()));
        for missed in &self.missed {
            check.demand(false, || missed.clone());
        }
        for took in &self.took {
            check.demand(*took <= READY_WITHIN, || format!("one took {took:?}"));
        }
        check
    }
}
