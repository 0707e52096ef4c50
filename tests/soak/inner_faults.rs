//! Faults within a process, by the program's own interface for them: at one of its points, or in one of its
//! stages.
//!
//! Left out is what ends in dead letters or in an end of the process for good reasons: failures that say that
//! a record, or the program, is refused, and records that are spoiled. Fixed tests have those.

use std::time::Duration;

use nyc311::faults::{Failure, POINTS, Point};
use nyc311::stage_name::StageName;
use serde_json::{Value, json};

use crate::deck::Fault;
use crate::kinds::Kind;
use crate::member::{ABORTED, Member, THREAD_STANDS_STILL};
use crate::world::World;

const SAYS_NO: [Failure; 3] = [Failure::NotAuthorized, Failure::TooLarge, Failure::DataRefused];

/// Arms the fault, and clears it when its time is over; leaves it out where the process does not answer.
pub async fn strike(world: &World, member: &Member, fault: &Fault) {
    let body = described(fault);
    match fault.kind {
        Kind::PointHangs | Kind::StageHangs => member.excuse(fault.lasting, THREAD_STANDS_STILL),
        Kind::PointAborts => member.excuse(fault.lasting, ABORTED),
        _ => {}
    }
    let armed = member.arm(&body).await;
    world.say(&format!("#{} {} {body}", fault.number, if armed.is_some() { "is" } else { "could not be" }));
    tokio::time::sleep(fault.lasting).await;
    if let Some(id) = armed {
        member.disarm(id).await;
    }
}

/// Says what is to be armed, as the interface wants it.
fn described(fault: &Fault) -> Value {
    let (luck, expires_in) = (fault.luck, format!("{}ms", fault.lasting.as_millis()));
    let mut body = json!({ "expires_in": expires_in, "skip": luck % 4 });
    let mut say = |name: &str, value: Value| body[name] = value;
    let is_of_service =
        |point: &&Point| !["rewind", "replay"].iter().any(|stage| point.name().starts_with(stage));
    let points: Vec<&Point> = POINTS.iter().filter(is_of_service).collect();
    let point = points[(luck / 7) as usize % points.len()];
    let stage = StageName::ALL[(luck / 7) as usize % StageName::ALL.len()];
    match fault.kind {
        Kind::StageFails | Kind::StagePanics | Kind::StageKilled | Kind::StageHangs => {
            say("stage", json!(stage.as_str()));
        }
        _ => say("point", json!(point.name())),
    }
    say(
        "fault",
        json!(match fault.kind {
            Kind::PointFails | Kind::StageFails => "error",
            Kind::PointPanics | Kind::StagePanics => "panic",
            Kind::PointDelays => "delay",
            Kind::PointHangs | Kind::StageHangs => "hang",
            Kind::PointAborts => "abort",
            _ => "kill",
        }),
    );
    if fault.kind == Kind::PointFails {
        let failures: Vec<Failure> =
            point.calls().failures().filter(|failure| !SAYS_NO.contains(failure)).collect();
        say("error", json!(failures[(luck / 1_009) as usize % failures.len()].as_str()));
        say("count", json!(1 + luck / 4 % 3));
    }
    if fault.kind == Kind::PointDelays {
        let delay = Duration::from_millis(50 + luck % 3_000);
        say("delay", json!(format!("{}ms", delay.as_millis())));
        say("count", json!(1 + luck / 4 % 5));
    }
    body
}
