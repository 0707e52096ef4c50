//! What has to be true all the time: positions and cursors grow, memory stays bounded, and no process ends
//! by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nyc311_testkit::oracle::Check;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::world::World;

const EVERY: Duration = Duration::from_millis(250);
const LOOKED_AFTER_EVERY: Duration = Duration::from_millis(50);
/// Whoever does not answer by then is asked again later.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
const MOST_MEMORY_MIB: u64 = 400;

/// What was seen so far.
struct Seen {
    /// Epoch and next offset of each position.
    positions: HashMap<(String, String, i32), (i64, i64)>,
    cursor: Option<(Option<i64>, Option<i64>)>,
    samples: usize,
    growth: Check,
    peak_mib: u64,
}

/// Looks, as long as it lasts.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: [JoinHandle<()>; 2],
}

/// Begins to look, and to look after the processes.
pub fn begin(world: Arc<World>) -> Watch {
    let growth = Check::of("positions grow within their epoch, and the cursor grows");
    let seen = Arc::new(Mutex::new(Seen {
        positions: HashMap::new(),
        cursor: None,
        samples: 0,
        growth,
        peak_mib: 0,
    }));
    let (keeper, sampled) = (world.clone(), seen.clone());
    let look_after = tokio::spawn(async move {
        loop {
            for member in keeper.processes() {
                if let Some(exit) = member.look_after(&keeper.service) {
                    let expected = if exit.is_expected { "as it may" } else { "UNEXPECTEDLY" };
                    keeper.say(&format!("{} ended by itself with {:?}, {expected}", exit.member, exit.code));
                }
            }
            tokio::time::sleep(LOOKED_AFTER_EVERY).await;
        }
    });
    let sample = tokio::spawn(async move {
        loop {
            let _ = tokio::time::timeout(ANSWERED_WITHIN, positions(&world, &sampled)).await;
            memory(&world, &sampled);
            tokio::time::sleep(EVERY).await;
        }
    });
    Watch { seen, tasks: [look_after, sample] }
}

impl Watch {
    /// Looks no more, and returns what was demanded.
    pub fn end(self) -> Vec<Check> {
        self.tasks.iter().for_each(JoinHandle::abort);
        let mut seen = self.seen.lock();
        let samples = seen.samples;
        let mut growth = std::mem::replace(&mut seen.growth, Check::of(""));
        growth.saw(samples, "samples");
        growth.demand(samples > 0, || "there is no sample".to_owned());
        let mut memory = Check::of("no process held more than 400 MiB");
        memory.saw(usize::try_from(seen.peak_mib).unwrap(), "MiB at most");
        memory.demand((1..=MOST_MEMORY_MIB).contains(&seen.peak_mib), || format!("{} MiB", seen.peak_mib));
        vec![growth, memory]
    }
}

const POSITIONS: &str =
    "select kafka_cluster_id, topic, kafka_partition, epoch, next_offset from nyc311.consumer_position";
const CURSOR: &str = "select (extract(epoch from published_updated_at) * 1000000)::bigint,
                             (extract(epoch from stored_updated_at) * 1000000)::bigint
                      from nyc311.source_position";

/// Takes one sample; a database that is away gives none.
async fn positions(world: &World, seen: &Mutex<Seen>) {
    let Ok(client) = world.service.database.client().await else { return };
    let (Ok(positions), Ok(cursor)) = (client.query(POSITIONS, &[]).await, client.query(CURSOR, &[]).await)
    else {
        return;
    };
    let mut seen = seen.lock();
    let seen = &mut *seen;
    seen.samples += 1;
    for row in positions {
        let place: (String, String, i32) = (row.get(0), row.get(1), row.get(2));
        let now: (i64, i64) = (row.get(3), row.get(4));
        let before = seen.positions.insert(place.clone(), now).unwrap_or(now);
        // Nothing here rewinds, and Kafka keeps what it has: a new epoch goes on where the old one was.
        seen.growth.demand(now.0 >= before.0 && now.1 >= before.1, || {
            format!("{place:?}: epoch and next offset went from {before:?} to {now:?}")
        });
    }
    for row in cursor {
        let now: (Option<i64>, Option<i64>) = (row.get(0), row.get(1));
        let before = seen.cursor.replace(now).unwrap_or(now);
        let grew = now.0 >= before.0 && now.1 >= before.1 && now.0 >= now.1;
        seen.growth.demand(grew, || format!("published and stored went from {before:?} to {now:?}"));
    }
}

/// Reads how much memory each process has held at most.
fn memory(world: &World, seen: &Mutex<Seen>) {
    for process in world.processes().filter_map(|member| member.process_id()) {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let mut seen = seen.lock();
        seen.peak_mib = seen.peak_mib.max(peak_kib.unwrap_or(0) / 1_024);
    }
}
