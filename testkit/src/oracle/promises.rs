//! What must be true once nothing breaks any more, held against what the source has: each promise is one
//! check with a name.

use std::collections::{BTreeSet, HashMap};

use nyc311::config::KafkaSettings;
use nyc311_simulator::Simulator;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};

use super::check::Check;
use super::source::{Arrived, Source, Version};
use super::tables::{differences, rollups};
use crate::database::TestDatabase;
use crate::whole_topic::each_record;

/// The headers of a derived record that say where its raw record lies.
const RAW_PARTITION: &str = "nyc311-raw-partition";
const RAW_OFFSET: &str = "nyc311-raw-offset";

/// What the tables have of each request.
struct Stored {
    current: HashMap<i64, Version>,
    /// Every version, as often as it is kept.
    all: HashMap<i64, Vec<Version>>,
}

impl Stored {
    async fn read(database: &TestDatabase) -> Self {
        let client = database.client().await.unwrap();
        let of = async |table: &str| {
            let sql = format!(
                "select unique_key, (extract(epoch from source_updated_at) * 1000000)::bigint, source_version
                 from nyc311.{table}"
            );
            client.query(&sql, &[]).await.unwrap()
        };
        let mut stored = Self { current: HashMap::new(), all: HashMap::new() };
        for row in of("service_request").await {
            let (key, version): (i64, Version) = (row.get(0), (row.get(1), row.get(2)));
            stored.all.entry(key).or_default().push(version.clone());
            stored.current.insert(key, version);
        }
        for row in of("service_request_history").await {
            stored.all.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
        }
        stored
    }
}

/// Holds everything that is kept against what the source has and what Kafka has of it. The clock of the
/// source must not be moved meanwhile, and nothing may be on its way.
pub async fn promises(database: &TestDatabase, kafka: &KafkaSettings, simulator: &Simulator) -> Vec<Check> {
    let source = Source::of(simulator);
    let arrived = Arrived::in_raw(kafka, &source);
    let stored = Stored::read(database).await;
    vec![
        newest_versions(&source, &stored),
        no_older_version(&stored, &arrived),
        whole_history(&stored, &arrived),
        recounts(database).await,
        enriched_once(kafka, &arrived),
        raw_as_served(&source, &arrived),
        dead_letters(database, &arrived).await,
        polls_ended(database).await,
    ]
}

/// Asserts that every promise is kept.
pub async fn assert_promises(database: &TestDatabase, kafka: &KafkaSettings, simulator: &Simulator) {
    let broken: Vec<String> = promises(database, kafka, simulator)
        .await
        .iter()
        .filter(|check| !check.holds())
        .map(ToString::to_string)
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn newest_versions(source: &Source, stored: &Stored) -> Check {
    let mut check = Check::of("every request is there in its newest version");
    check.saw(source.shown.len(), "requests");
    for (key, shown) in &source.shown {
        let current = stored.current.get(key);
        check.demand(current == Some(shown), || {
            format!("{key}: the source shows {shown:?}, kept is {current:?}")
        });
    }
    check
}

fn no_older_version(stored: &Stored, arrived: &Arrived) -> Check {
    let mut check = Check::of("no older version won");
    check.saw(stored.current.len(), "requests");
    for (key, current) in &stored.current {
        let newest = arrived.versions.get(key).and_then(BTreeSet::last);
        check.demand(newest == Some(current), || format!("{key}: {current:?} is kept, {newest:?} arrived"));
    }
    check
}

fn whole_history(stored: &Stored, arrived: &Arrived) -> Check {
    let mut check = Check::of("history has each observed change once");
    check.saw(arrived.versions.values().map(BTreeSet::len).sum(), "versions");
    for (key, versions) in &arrived.versions {
        let mut kept = stored.all.get(key).cloned().unwrap_or_default();
        kept.sort_unstable();
        check.demand(kept.iter().eq(versions), || format!("{key}: kept {kept:?}, arrived {versions:?}"));
    }
    for key in stored.all.keys().filter(|key| !arrived.versions.contains_key(key)) {
        check.demand(false, || format!("{key} is kept and never arrived"));
    }
    check
}

async fn recounts(database: &TestDatabase) -> Check {
    let mut check = Check::of("every rollup and every mark of a duplicate equals its recount");
    let client = database.client().await.unwrap();
    check.saw(rollups(&client).await.len(), "rollups");
    for difference in differences(&client).await {
        check.demand(false, || difference);
    }
    check
}

/// Returns where the raw record of a derived one lies.
fn raw_place(record: &BorrowedMessage<'_>) -> Option<(i32, i64)> {
    let headers = record.headers()?;
    let number = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()?.parse::<i64>().ok()
    };
    Some((i32::try_from(number(RAW_PARTITION)?).ok()?, number(RAW_OFFSET)?))
}

fn enriched_once(kafka: &KafkaSettings, arrived: &Arrived) -> Check {
    let mut check = Check::of("each raw record is derived once, read committed");
    check.saw(arrived.places.len(), "raw records");
    let mut derived: HashMap<(i32, i64), u32> = HashMap::new();
    for topic in [&kafka.enriched_topic, &kafka.dead_letter_topic] {
        each_record(kafka, topic, |record| match raw_place(&record) {
            Some(place) => *derived.entry(place).or_default() += 1,
            None => check.demand(false, || {
                format!("{topic}/{} {} names no raw record", record.partition(), record.offset())
            }),
        });
    }
    for place in &arrived.places {
        let times = derived.remove(place).unwrap_or(0);
        // Without transactions a batch may be repeated, and the tables take the repetition out again.
        let is_right = if kafka.transactions { times == 1 } else { times >= 1 };
        check.demand(is_right, || format!("raw record {place:?} is derived {times} times"));
    }
    for (place, _) in derived {
        check.demand(false, || format!("raw record {place:?} is derived and does not exist"));
    }
    check
}

fn raw_as_served(source: &Source, arrived: &Arrived) -> Check {
    let mut check = Check::of("raw holds what the source served, byte for byte");
    check.saw(arrived.places.len(), "records");
    for row in &arrived.others {
        check.demand(source.put_in.contains(row), || format!("no row of the source: {}", shown(row)));
    }
    check
}

async fn dead_letters(database: &TestDatabase, arrived: &Arrived) -> Check {
    let mut check = Check::of("the dead letters are the rows that were broken on purpose");
    let client = database.client().await.unwrap();
    let rows = client.query("select payload from nyc311.dead_letter", &[]).await.unwrap();
    let kept: BTreeSet<Vec<u8>> = rows.iter().map(|row| row.get(0)).collect();
    check.saw(kept.len(), "dead letters");
    for row in arrived.others.difference(&kept) {
        check.demand(false, || format!("no dead letter: {}", shown(row)));
    }
    for row in kept.difference(&arrived.others) {
        check.demand(false, || format!("a dead letter of a row that was not broken: {}", shown(row)));
    }
    check
}

async fn polls_ended(database: &TestDatabase) -> Check {
    let mut check = Check::of("every poll has ended, and its counts add up");
    let client = database.client().await.unwrap();
    check.saw(usize::try_from(database.count("poll").await).unwrap(), "polls");
    let sql = "select poll_id::text || ' ' || state || ', ' || fetched || ' fetched, ' || republished
                   || ' republished, ' || stored + duplicate + reenriched + dead_lettered || ' arrived'
               from nyc311.poll
               where state not in ('succeeded', 'failed', 'cancelled')
                  or state = 'succeeded'
                     and (fetched + republished <> stored + duplicate + reenriched + dead_lettered or republished < 0)";
    for row in client.query(sql, &[]).await.unwrap() {
        check.demand(false, || row.get(0));
    }
    check
}

fn shown(row: &[u8]) -> String {
    String::from_utf8_lossy(&row[..row.len().min(300)]).into_owned()
}
