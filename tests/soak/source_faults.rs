//! Faults of the source.

use std::time::Duration;

use nyc311_simulator::{Fault as SourceFault, FaultKind};
use serde_json::json;

use crate::deck::Fault;
use crate::kinds::Kind;
use crate::world::World;

const DAY_MS: i64 = 86_400_000;

/// Has the source answer some of the next requests so, or its clock go otherwise for a while.
pub async fn strike(world: &World, fault: &Fault) {
    let (luck, clock) = (fault.luck, world.simulator.clock());
    let times = 1 + luck % 5;
    match fault.kind {
        Kind::SourceChangesWhilePaged => {
            clock.set_page_step(Duration::from_secs(60 * (10 + luck % 240)));
            tokio::time::sleep(fault.lasting).await;
            clock.set_page_step(Duration::ZERO);
            return;
        }
        Kind::SourceClockBack => {
            clock.set_ms(clock.now_ms() - DAY_MS);
            tokio::time::sleep(fault.lasting).await;
            clock.set_ms(clock.now_ms() + DAY_MS);
            return;
        }
        _ => {}
    }
    let of = |kind: FaultKind| SourceFault::new(kind).times(times);
    let struck = match fault.kind {
        Kind::SourceThrottles => {
            SourceFault { retry_after: Some(Duration::from_secs(luck % 3)), ..of(FaultKind::TooManyRequests) }
        }
        Kind::SourceFails => {
            let status = [500, 502, 503, 504][(luck % 4) as usize];
            SourceFault { status: Some(status), ..of(FaultKind::ServerError) }
        }
        Kind::SourceSlow => {
            SourceFault { delay: Some(Duration::from_millis(luck % 7_000)), ..of(FaultKind::Slow) }
        }
        Kind::SourceTruncates => of(FaultKind::Truncated),
        Kind::SourceAnswersHtml => of(FaultKind::NotJson),
        // Each is another row, so that each is a dead letter of its own.
        Kind::SourceMalformedRows => {
            let row = json!({"unique_key": format!("not a number, {}", fault.number), "borough": "QUEENS"});
            SourceFault { row: Some(row), ..of(FaultKind::MalformedRow) }
        }
        Kind::SourceBrokenRows => {
            let text = format!("{{\"unique_key\":\"9{:07}\",\"descriptor\":\"5\" pipe\"}}", fault.number);
            SourceFault { text: Some(text), ..of(FaultKind::BrokenRow) }
        }
        Kind::SourceRepeatsRows => of(FaultKind::RepeatedRow),
        Kind::SourceCapsPages => SourceFault { rows: Some(1 + luck % 30), ..of(FaultKind::Capped) },
        Kind::SourceReversesPages => of(FaultKind::Reversed),
        _ => {
            let behind = Duration::from_secs(3_600 * (1 + luck % 48));
            SourceFault { behind: Some(behind), ..of(FaultKind::LaggingReplica) }
        }
    };
    world.simulator.inject(struck);
}
