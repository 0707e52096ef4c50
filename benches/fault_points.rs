//! Measures what a fault point costs: while nothing is armed, and while a fault at another point is.
//!
//! `cargo bench --bench fault_points` prints nanoseconds for a visit. A batch of thousands of rows visits a
//! handful of points, and a stage one at each turn.

#![allow(clippy::unwrap_used)] // a benchmark that cannot go on fails

use std::hint::black_box;
use std::time::Instant;

use nyc311::faults::{self, Point};
use nyc311::stage_name::StageName;

const COMMITTED: Point = Point::named("writer:commit:after");
const ROUNDS: u32 = 5;
const VISITS: u32 = 20_000_000;
/// An armed visit takes a lock.
const ARMED_VISITS: u32 = 1_000_000;

fn main() {
    measure("nothing", VISITS, |visit| {
        black_box(visit);
    });
    measure("point, nothing armed", VISITS, |_| faults::visit(black_box(COMMITTED)).unwrap());
    measure("stage, nothing armed", VISITS, |_| {
        assert!(faults::turn(black_box(StageName::Writer)).is_none())
    });
    measure("records, nothing armed", VISITS, |_| assert!(faults::spoiled(black_box(5_000)).is_empty()));
    for fault in faults::parse("poller:finish:after=error").unwrap() {
        faults::arm(fault).unwrap();
    }
    measure("point, another one armed", ARMED_VISITS, |_| faults::visit(black_box(COMMITTED)).unwrap());
}

/// Prints the best of a few rounds: what others do on the machine only adds to it.
fn measure(name: &str, visits: u32, visit: impl Fn(u32)) {
    let rounds = (0..ROUNDS).map(|_| {
        let began = Instant::now();
        (0..visits).for_each(&visit);
        began.elapsed().as_secs_f64() * 1e9 / f64::from(visits)
    });
    println!("{name:26} {:8.2} ns/visit", rounds.fold(f64::INFINITY, f64::min));
}
