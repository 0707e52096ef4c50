//! Versions to which the source gives no name: the content tells them apart, and what older rules stored
//! without a name is one of them.

use std::sync::Arc;

use nyc311::store::{IncomingRow, WriteSummary};
use nyc311_domain::{CONTENT, enrich};
use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{batch, incoming, outcome};
use nyc311_testkit::oracle::{Tables, assert_recounts, tables};
use serde_json::json;

/// A raw row without `:version`: request 1 as it stood on a day of April.
fn raw(day: u8, status: &str) -> Vec<u8> {
    json!({
        "unique_key": "1",
        "created_date": "2026-04-01T10:15:30.000",
        "closed_date": "2026-04-02T10:15:30.000",
        "agency": "NYPD",
        "complaint_type": "Noise - Residential",
        "status": status,
        "borough": "QUEENS",
        ":id": "row-1",
        ":updated_at": format!("2026-04-{day:02}T01:37:29.631Z"),
    })
    .to_string()
    .into_bytes()
}

/// A raw row on its way to the tables.
fn by_content(raw: &[u8]) -> IncomingRow {
    incoming(&enrich(raw).unwrap())
}

/// The same as rules before revision 3 made it.
fn nameless(raw: &[u8]) -> IncomingRow {
    let mut request = enrich(raw).unwrap();
    assert!(request.source_version.starts_with(CONTENT));
    request.source_version = "".into();
    request.rules_revision = 2;
    incoming(&request)
}

/// Writes rows in batches of these sizes, and returns what the tables then hold.
async fn written(rows: &[IncomingRow], sizes: &[usize]) -> Tables {
    let database = TestDatabase::create().await;
    let mut rest = rows;
    for size in sizes.iter().chain(std::iter::repeat(&rows.len())) {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        let delivered = now.len() as u64;
        let WriteSummary { stored, duplicate, reenriched, .. } =
            database.write(&batch(now.to_vec())).await.unwrap();
        assert_eq!(stored + duplicate + reenriched, delivered);
        assert_recounts(&database).await;
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    tables(&database).await
}

#[tokio::test]
async fn two_contents_of_one_time_end_in_the_same_tables_in_any_order() {
    let [open, closed] = [raw(3, "Open"), raw(3, "Closed")].map(|raw| by_content(&raw));
    let winner = open.identity.clone().max(closed.identity.clone());
    let expected = written(&[open.clone(), closed.clone()], &[2]).await;
    assert_eq!(expected["service_request"][0]["source_version"], json!(winner.source_version));
    assert_eq!(expected["service_request_history"].len(), 1, "the other one is kept in the history");
    for (rows, sizes) in [
        (vec![&open, &closed], &[1, 1][..]),
        (vec![&closed, &open], &[1, 1]),
        (vec![&closed, &open, &closed, &open], &[1, 1, 1, 1]),
        (vec![&open, &closed, &open, &closed], &[1, 3]),
    ] {
        let rows: Vec<_> = rows.into_iter().cloned().collect();
        assert_eq!(written(&rows, sizes).await, expected);
    }
}

#[tokio::test]
async fn version_that_older_rules_left_without_a_name_does_not_supersede_itself() {
    let database = TestDatabase::create().await;
    let (first, second) = (raw(3, "Open"), raw(4, "Closed"));
    database.write(&batch([nameless(&first), nameless(&second)])).await.unwrap();
    assert_eq!(database.count("service_request_history").await, 1);
    database.execute("update nyc311.service_request set withdrawn_at = now()").await;

    // A rewind under the rules of today: the same two versions, by their content.
    let summary = database.write(&batch([by_content(&first), by_content(&second)])).await.unwrap();
    assert_eq!(outcome(&summary), (0, 0, 2, 0));
    assert_eq!(database.count("service_request where withdrawn_at is not null").await, 1);
    let unnamed = "service_request_history where source_version = ''";
    assert_eq!((database.count("service_request_history").await, database.count(unnamed).await), (1, 0));
    assert_recounts(&database).await;
    // Read once more, also as an older program had enriched them: nothing changes.
    let before = tables(&database).await;
    for again in [by_content(&second), nameless(&second), nameless(&first), by_content(&first)] {
        let summary = database.write(&batch([again])).await.unwrap();
        assert_eq!(outcome(&summary), (0, 1, 0, 0));
        assert_eq!(tables(&database).await, before);
    }
    // What nobody reads again stays as it is.
    database.write(&batch([nameless(&raw(5, "Closed"))])).await.unwrap();
    assert_eq!(database.count("service_request where source_version = ''").await, 1);
}

#[tokio::test]
async fn rows_of_older_and_of_these_rules_end_in_the_same_tables_in_any_order() {
    let contents = [raw(3, "Open"), raw(3, "Closed"), raw(4, "Open"), raw(5, "Closed")];
    let named: Vec<_> = contents.iter().map(|raw| by_content(raw)).collect();
    let expected = written(&named, &[]).await;
    // One without a name for each time, as the tables of an older program hold them.
    let unnamed = [0, 2, 3].map(|index: usize| nameless(&contents[index]));
    let mut draw = fastrand::Rng::with_seed(311);
    for round in 0..8 {
        let mut rows: Vec<_> = named.iter().chain(&unnamed).cloned().collect();
        draw.shuffle(&mut rows);
        let sizes: Vec<usize> = (0..rows.len()).map(|_| draw.usize(1..=3)).collect();
        assert_eq!(written(&rows, &sizes).await, expected, "round {round}: {sizes:?} of {rows:?}");
    }
}

#[tokio::test]
async fn dead_letter_without_a_version_that_is_replayed_is_the_same_version() {
    let database = TestDatabase::create().await;
    let row = raw(3, "Open");
    database.write(&batch([by_content(&row)])).await.unwrap();
    let before = tables(&database).await;
    let replay = IncomingRow { replay_of: Some([7; 32]), topic: Arc::from("replayed"), ..by_content(&row) };
    assert_eq!(outcome(&database.write(&batch([replay])).await.unwrap()), (0, 1, 0, 0));
    assert_eq!(tables(&database).await, before);
}
