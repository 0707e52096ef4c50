//! Follows a poll without getting in its way: its own document says when it did what.

use std::time::Duration;

use jiff::{Timestamp, Unit};
use nyc311_testkit::Service;
use serde_json::Value;

/// A large number of rows takes its time; what takes longer than this has come to a standstill.
const LIMIT: Duration = Duration::from_secs(3_600);
/// Each question costs the service and its database something.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Waits until the poll is in a state, and returns it.
pub async fn until(service: &Service, id: &str, state: &str) -> Value {
    let reached = async {
        loop {
            let poll = now(service, id).await;
            if poll["state"] == state {
                return poll;
            }
            assert!(poll["error"].is_null(), "the poll failed: {poll:#}\n{}", service.log());
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let limited = tokio::time::timeout(LIMIT, reached).await;
    limited.unwrap_or_else(|_| panic!("the poll is not {state} within {LIMIT:?}\n{}", service.log()))
}

/// Waits until some rows of the poll have come to their end, and returns the poll.
pub async fn until_any_arrived(service: &Service, id: &str) -> Value {
    service
        .wait_for("rows arrive", async || {
            let poll = service.get(&format!("/v1/polls/{id}")).await?;
            (arrived(&poll) > 0).then_some(poll)
        })
        .await
}

/// Returns the poll as it is.
async fn now(service: &Service, id: &str) -> Value {
    service.wait_for("the service answers", async || service.get(&format!("/v1/polls/{id}")).await).await
}

/// Returns a time that the poll's document tells.
pub fn time(poll: &Value, name: &str) -> Timestamp {
    poll[name].as_str().unwrap_or_else(|| panic!("no {name}: {poll:#}")).parse().unwrap()
}

/// Returns a count of the poll's document.
pub fn count(poll: &Value, name: &str) -> u64 {
    poll["counts"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {poll:#}"))
}

/// Returns how many rows have come to their end.
pub fn arrived(poll: &Value) -> u64 {
    ["stored", "duplicate", "reenriched", "dead_lettered"].iter().map(|name| count(poll, name)).sum()
}

/// Returns the seconds between two times.
pub fn seconds(from: Timestamp, until: Timestamp) -> f64 {
    until.since(from).unwrap().total(Unit::Second).unwrap()
}
