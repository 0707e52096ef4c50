//! A rolling restart of three processes under load: nothing is lost, and rows stand still for less than 10 s
//! in all.
//!
//! That is a promise about time, and holds for processes that get their share of the machine: so this is a
//! suite of its own, which runs while no other does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on fails

use std::time::{Duration, Instant};

use nyc311_testkit::deployment::{ALL_ROLES, NAMES, assert_whole, flows, prepared, slow_city, stored, three};
use nyc311_testkit::{Program, Service};
use serde_json::json;

const PROGRAM: Program = Program::at(env!("CARGO_BIN_EXE_nyc311"));

/// How many rows are stored, and how many of each borough.
async fn stored_by_borough(service: &Service) -> Vec<i64> {
    let counts = "select borough, count(*) as rows from nyc311.service_request where borough is not null
                  group by 1 order by 1";
    let counts = service.database.json(counts).await;
    let of_boroughs = counts.as_array().unwrap().iter().map(|row| row["rows"].as_i64().unwrap());
    std::iter::once(stored(service).await).chain(of_boroughs).collect()
}

/// Watches the table while something happens to the processes. Returns for how long no row arrived, in pauses
/// of more than half a second, all together.
async fn standing_still(service: &Service, happens: impl Future<Output = ()>) -> Duration {
    let mut happens = std::pin::pin!(happens);
    let mut seen: Vec<_> =
        stored_by_borough(service).await.into_iter().map(|rows| (rows, Instant::now())).collect();
    let mut paused = vec![Duration::ZERO; seen.len()];
    loop {
        let has_happened = tokio::time::timeout(Duration::from_millis(50), &mut happens).await.is_ok();
        let now = stored_by_borough(service).await;
        for (((rows, since), paused), now) in seen.iter_mut().zip(&mut paused).zip(now) {
            if now == *rows && !has_happened {
                continue;
            }
            if since.elapsed() > Duration::from_millis(500) {
                *paused += since.elapsed();
            }
            (*rows, *since) = (now, Instant::now());
        }
        if has_happened {
            println!("no row arrived for {:?}, and of the boroughs none for {:?}", paused[0], &paused[1..]);
            return paused[0];
        }
    }
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_and_hardly_stops_the_flow() {
    let simulator = slow_city(50_000, Duration::from_millis(100));
    let mut service = prepared(PROGRAM, &simulator).await;
    let mut running = Vec::from(three(&mut service, &[]).await);
    let id = service.submit(json!({})).await;
    flows(&service, 1_000).await;
    let rolling = async {
        for name in NAMES {
            assert_eq!(running.remove(0).terminate().await, 0);
            let process = service.process(name, ALL_ROLES, &[]);
            process.ready().await;
            running.push(process);
        }
    };
    let paused = standing_still(&service, rolling).await;
    assert!(paused < Duration::from_secs(10), "{paused:?}");
    service.ask(&running[0]);
    assert_whole(PROGRAM, &service, &simulator, &id).await;
    for process in running {
        assert_eq!(process.terminate().await, 0, "{}", service.log());
    }
}
