//! Everything that takes part: the processes, the servers, the source, and who breaks what just now.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nyc311_simulator::{Simulator, SimulatorOptions, serve};
use nyc311_testkit::servers::{Server, broker, postmaster};
use nyc311_testkit::{Program, Service};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::kinds::Target;
use crate::member::Member;
use crate::order::Order;

/// Bounds that are short enough to be met.
const SETTINGS: [(&str, &str); 4] = [
    ("source.read_timeout", "5s"),
    ("source.retry_max_elapsed", "15s"),
    ("database.lock_timeout", "2s"),
    ("supervision.hang_after", "10s"),
];

/// Of these the seed takes one of each: pages and batches are small, so that a fault finds some rows done and
/// some not.
const SETTINGS_BY_CHANCE: [(&str, &[&str]); 3] = [
    ("source.page_rows", &["150", "400", "1000"]),
    ("write.max_rows", &["200", "700", "3000"]),
    ("kafka.partitions_per_borough", &["1", "1", "2"]),
];

/// The rows that the city makes on a day, and the days that it shows at the beginning.
const ROWS_PER_DAY: u64 = 600;
const DAYS_AT_FIRST: u64 = 20;
/// Simulated seconds in one: a night comes every four seconds.
const CLOCK_RATE: f64 = 21_600.0;
const DAY: Duration = Duration::from_secs(86_400);
/// How long after their stamp the rows of a night appear at the latest.
const VISIBLE_AFTER: Duration = Duration::from_secs(2_400);

/// Whatever the faults break.
pub struct World {
    pub service: Service,
    pub members: Vec<Member>,
    /// The process that comes and goes.
    pub guest: Member,
    pub broker: Server,
    pub postgres: Server,
    pub simulator: Simulator,
    began: Instant,
    targets: Mutex<HashMap<Target, Arc<tokio::sync::Mutex<()>>>>,
}

impl World {
    /// Finds the servers and prepares the processes; nothing runs yet.
    pub async fn build(program: Program, order: &Order) -> Self {
        let simulator = city(order);
        let source = simulator.resource_url();
        let mut chance = fastrand::Rng::with_seed(order.seed);
        let taken = SETTINGS_BY_CHANCE.map(|(name, values)| (name, values[chance.usize(..values.len())]));
        println!("soak: {taken:?}");
        let settings: Vec<(&str, &str)> = SETTINGS.into_iter().chain(taken).collect();
        let service = program.service(&source, &settings).await;
        let log = |name: &str| -> PathBuf { order.logs.join(name) };
        let broker = Server::of(broker(&order.kafka_data), log("kafka.log"));
        let postgres = Server::of(postmaster(&service.database).await, log("postgres.log"));
        let mut members = Vec::new();
        for number in 1..=order.processes {
            let name = format!("process-{number}");
            members.push(Member::new(&service, &name, &source, order.logs.clone()).await);
        }
        let guest = Member::new(&service, "guest", &source, order.logs.clone()).await;
        let began = Instant::now();
        Self { service, members, guest, broker, postgres, simulator, began, targets: Mutex::default() }
    }

    /// Starts the processes and waits until they are ready.
    pub async fn start(&self) {
        self.members.iter().for_each(|member| member.start(&self.service));
        self.service.wait_for("all processes are ready", async || self.is_ready().await.then_some(())).await;
        self.say("all processes are ready");
    }

    /// Tells whether each process says that it is ready.
    pub async fn is_ready(&self) -> bool {
        for member in &self.members {
            if member.get("/readyz").await.is_none_or(|answer| answer["ready"] != true) {
                return false;
            }
        }
        true
    }

    /// Returns all processes that there may be.
    pub fn processes(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain([&self.guest])
    }

    /// Waits until nothing else breaks the target, and keeps it so until the guard is dropped.
    pub async fn alone_with(&self, target: Target) -> OwnedMutexGuard<()> {
        let lock = self.targets.lock().entry(target).or_default().clone();
        lock.lock_owned().await
    }

    /// Ends what the source does by itself.
    pub fn quiet(&self) {
        self.simulator.clear_faults();
        self.simulator.clock().set_rate(0.0);
        self.say("the faults are over");
    }

    /// Prints what happens, and when.
    pub fn say(&self, what: &str) {
        println!("{:8.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

/// Serves a city that lasts for twice as long as the soak, since it grows while things recover too.
fn city(order: &Order) -> Simulator {
    let days = DAYS_AT_FIRST + (order.lasting.as_secs_f64() * 2.0 * CLOCK_RATE / DAY.as_secs_f64()) as u64;
    let options = SimulatorOptions {
        rows: days * ROWS_PER_DAY,
        rows_per_day: ROWS_PER_DAY,
        seed: order.seed,
        visible_after: VISIBLE_AFTER,
        ..SimulatorOptions::default()
    };
    let simulator = serve(&options).expect("a source");
    let back = i64::try_from((days - DAYS_AT_FIRST) * DAY.as_secs() * 1_000).unwrap();
    let clock = simulator.clock();
    clock.set_ms(clock.now_ms() - back);
    clock.set_rate(CLOCK_RATE);
    simulator
}
