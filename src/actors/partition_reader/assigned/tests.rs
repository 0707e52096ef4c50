//! The tables, row by row.

use std::sync::Arc;

use super::*;
use crate::telemetry::labels::Dependency;

fn partition(number: i32) -> Partition {
    (Arc::from("t"), number)
}

type Reader = Assignments<&'static str>;

/// Says in words what the steps are.
fn words(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::Close(partition) => format!("close {}", partition.1),
        Step::Open { partition, attempt, wait } => {
            let when = if wait.is_zero() { "at once" } else { "later" };
            format!("open {} {when}, attempt {attempt}", partition.1)
        }
        Step::Read { partition, assignment, next_offset, opening } => {
            format!("read {} from {next_offset}, assignment {assignment}, opening {opening}", partition.1)
        }
        Step::Free { opening, bytes, .. } => format!("free {bytes} of opening {opening}"),
        Step::Commit { next_offset, last, .. } => {
            format!("commit {next_offset}, last {:?}", last.map(|mark| mark.offset))
        }
        Step::SayFailed { partition, .. } => format!("{} failed", partition.1),
        Step::GiveUp { partition, .. } => format!("give up over {}", partition.1),
        Step::SayRunning => "running".to_owned(),
        Step::AnswerDrained => "drained".to_owned(),
    };
    steps.iter().map(word).collect()
}

fn opened(attempt: u64, next_offset: i64) -> Change<&'static str> {
    Change::Opened { partition: partition(0), attempt, next_offset, token: "token" }
}

fn not_opened(attempt: u64) -> Change<&'static str> {
    Change::NotOpened { partition: partition(0), attempt, error: broken() }
}

fn answered(opening: u64, to: i64, outcome: Result<(), BatchError>) -> Change<&'static str> {
    let last = Some(Mark { offset: to - 1, appended_at_ms: 7 });
    Change::Answered(HandedOn { partition: partition(0), opening, to, last, bytes: 9 }, outcome)
}

fn taken_over(opening: u64) -> Change<&'static str> {
    Change::TakenOver { partition: partition(0), opening }
}

fn broken() -> BatchError {
    BatchError::interrupted("a neighbour was rebuilt")
}

fn away() -> BatchError {
    BatchError::unavailable(Dependency::Database, "refused")
}

/// Partition 0 is assigned under number 5 and being opened: attempt 1.
fn opening() -> Reader {
    let mut reader = Reader::new();
    reader.on(Change::Assigned(5, vec![partition(0)]));
    reader
}

/// Partition 0 is open from 10 on as opening 1, and a batch of it is in flight.
fn open() -> Reader {
    let mut reader = opening();
    reader.on(opened(1, 10));
    assert_eq!(reader.take(&partition(0), 1, Some(3)), Some("token"));
    reader
}

fn revoked(mut reader: Reader) -> Reader {
    reader.on(Change::Revoked(vec![partition(0)]));
    reader
}

/// The partition went away and came back: attempt 2 is under way.
fn assigned_again(reader: Reader) -> Reader {
    let mut reader = revoked(reader);
    reader.on(Change::Assigned(6, vec![partition(0)]));
    reader
}

/// It was opened anew, as opening 2.
fn opened_anew(mut reader: Reader) -> Reader {
    reader.on(Change::StandsStill(partition(0)));
    reader.on(opened(2, 10));
    reader
}

fn draining(mut reader: Reader) -> Reader {
    reader.on(Change::ToldToDrain);
    reader
}

#[test]
fn each_change_has_the_steps_of_the_table() {
    let failed: &[&str] = &["close 0", "0 failed", "open 0 later, attempt 2"];
    let freed: &[&str] = &["free 9 of opening 1"];
    let freed_and_failed: &[&str] = &[freed[0], failed[0], failed[1], failed[2]];
    let rows: Vec<(&str, Reader, Change<&'static str>, &[&str])> = vec![
        ("assigned", Reader::new(), Change::Assigned(5, vec![partition(0)]), &["open 0 at once, attempt 1"]),
        ("assigned nothing", Reader::new(), Change::Assigned(5, vec![]), &["running"]),
        (
            "assigned again",
            revoked(open()),
            Change::Assigned(6, vec![partition(0)]),
            &["open 0 at once, attempt 2"],
        ),
        ("revoked", open(), Change::Revoked(vec![partition(0)]), &["running"]),
        ("found", opening(), opened(1, 10), &["read 0 from 10, assignment 5, opening 1", "running"]),
        ("found by an earlier attempt", assigned_again(opening()), opened(1, 10), &[]),
        ("found after it was revoked", revoked(opening()), opened(1, 10), &[]),
        ("found in a drain", draining(opening()), opened(1, 10), &[]),
        ("not found", opening(), not_opened(1), failed),
        ("not found by an earlier attempt", assigned_again(opening()), not_opened(1), &[]),
        ("not found after it was revoked", revoked(opening()), not_opened(1), &[]),
        ("not found in a drain", draining(opening()), not_opened(1), &[]),
        (
            "done",
            open(),
            answered(1, 20, Ok(())),
            &["free 9 of opening 1", "commit 20, last Some(19)", "running"],
        ),
        ("done of an earlier opening", opened_anew(open()), answered(1, 20, Ok(())), freed),
        ("done after it was revoked", revoked(open()), answered(1, 20, Ok(())), freed),
        ("done while it is being opened", assigned_again(open()), answered(1, 20, Ok(())), freed),
        ("batch failed", open(), answered(1, 20, Err(broken())), freed_and_failed),
        ("batch of an earlier opening failed", opened_anew(open()), answered(1, 20, Err(broken())), freed),
        ("batch failed after it was revoked", revoked(open()), answered(1, 20, Err(broken())), freed),
        ("taken over", open(), taken_over(1), failed),
        ("taken over in an earlier opening", opened_anew(open()), taken_over(1), &[]),
        ("taken over after it was revoked", revoked(open()), taken_over(1), &[]),
        ("outside of its log", open(), Change::OutOfRange, failed),
        ("outside of its log while it is being opened", opening(), Change::OutOfRange, failed),
        (
            "stands still",
            open(),
            Change::StandsStill(partition(0)),
            &["close 0", "open 0 at once, attempt 2"],
        ),
        ("told to drain", open(), Change::ToldToDrain, &[]),
        ("told to drain without a batch", opening(), Change::ToldToDrain, &["drained"]),
        (
            "done in a drain",
            draining(open()),
            answered(1, 20, Ok(())),
            &["free 9 of opening 1", "commit 20, last Some(19)", "running", "drained"],
        ),
        (
            "batch failed in a drain",
            draining(open()),
            answered(1, 20, Err(broken())),
            &["free 9 of opening 1", "close 0", "drained"],
        ),
        (
            "revoked in a drain",
            draining(open()),
            Change::Revoked(vec![partition(0)]),
            &["running", "drained"],
        ),
    ];
    for (row, mut reader, change, expected) in rows {
        assert_eq!(words(&reader.on(change)), expected, "{row}");
    }
}

#[test]
fn a_batch_is_handed_on_under_the_present_opening_only() {
    for (row, mut reader, opening, expected) in [
        ("the present opening", open(), 1, Some("token")),
        ("an earlier opening", opened_anew(open()), 1, None),
        ("while it is being opened", assigned_again(open()), 1, None),
        ("revoked", revoked(open()), 1, None),
    ] {
        assert_eq!(reader.take(&partition(0), opening, None), expected, "{row}");
    }
}

#[test]
fn only_failures_in_a_row_that_no_dependency_explains_give_a_reader_up() {
    // Failures one after another, and whether the last of them is one too many.
    let many = MAX_FAILURES as usize;
    for (row, failures, given_up) in [
        ("one fewer", vec![Some(broken()); many - 1], false),
        ("as many", vec![Some(broken()); many], true),
        ("a dependency is away", vec![Some(away()); 3 * many], false),
        (
            "away in between",
            [vec![Some(broken()); many - 1], vec![Some(away())], vec![Some(broken())]].concat(),
            true,
        ),
        (
            "one is done in between",
            [vec![Some(broken()); many - 1], vec![None], vec![Some(broken())]].concat(),
            false,
        ),
    ] {
        let mut reader = opening();
        let mut steps = Vec::new();
        for outcome in failures {
            let assigned = reader.get(&partition(0)).unwrap();
            let (attempt, now) = (assigned.attempt, assigned.opening().map(|(opening, _)| opening));
            if now.is_none() {
                reader.on(opened(attempt, 10));
            }
            let opening = reader.get(&partition(0)).unwrap().opening().unwrap().0;
            reader.take(&partition(0), opening, None);
            steps = reader.on(answered(opening, 20, outcome.map_or(Ok(()), Err)));
        }
        let last = words(&steps).pop().unwrap();
        assert_eq!(last == "give up over 0", given_up, "{row}: {last}");
    }
}

#[test]
fn each_partition_fails_on_its_own_unless_positions_lie_outside_their_logs() {
    let mut reader = open();
    reader.on(Change::Assigned(6, vec![partition(1)]));
    assert_eq!(words(&reader.on(taken_over(1))), ["close 0", "0 failed", "open 0 later, attempt 3"]);
    let mut steps = words(&reader.on(Change::OutOfRange));
    steps.sort();
    assert_eq!(steps.iter().filter(|step| step.starts_with("close")).count(), 2);
    assert!(steps.iter().any(|step| step.starts_with("open 1 later")), "{steps:?}");
}

#[test]
fn a_position_never_goes_back_within_an_opening_and_begins_anew_with_the_next() {
    let mut reader = open();
    reader.take(&partition(0), 1, Some(4));
    reader.on(answered(1, 30, Ok(())));
    let overtaken = reader.on(answered(1, 20, Ok(())));
    assert_eq!(words(&overtaken)[1], "commit 30, last Some(29)");
    let mut reader = opened_anew(reader);
    let assigned = reader.get(&partition(0)).unwrap();
    assert_eq!((assigned.position(), assigned.opened_at()), (Some(10), 10));
    reader.take(&partition(0), 2, None);
    let batch = HandedOn { partition: partition(0), opening: 2, to: 12, last: None, bytes: 9 };
    let moved = reader.on(Change::Answered(batch, Ok(())));
    assert_eq!(
        words(&moved)[1],
        "commit 12, last None",
        "the mark of the opening before is not told of this one"
    );
}

#[test]
fn the_oldest_record_in_flight_is_of_the_present_opening() {
    let mut reader = open();
    assert_eq!(reader.get(&partition(0)).unwrap().oldest_in_flight_ms(), Some(3));
    reader.take(&partition(0), 1, Some(4));
    reader.on(answered(1, 20, Ok(())));
    assert_eq!(reader.get(&partition(0)).unwrap().oldest_in_flight_ms(), Some(4));
    assert_eq!(opened_anew(reader).get(&partition(0)).unwrap().oldest_in_flight_ms(), None);
}

#[test]
fn a_drain_waits_for_the_batches_of_all_openings() {
    let mut reader = opened_anew(open());
    reader.take(&partition(0), 2, None);
    assert!(words(&reader.on(Change::ToldToDrain)).is_empty());
    assert_eq!(words(&reader.on(answered(1, 20, Ok(())))), ["free 9 of opening 1"]);
    assert_eq!(words(&reader.on(answered(2, 20, Ok(())))).pop().as_deref(), Some("drained"));
}
