//! Measures `Store::write`: rows per second of batches of 10,000, all new, all updates, all repeats.
//!
//! Needs `NYC311_DATABASE__URL`; makes a database and drops it. `cargo bench --bench store -- BATCHES` writes
//! invented rows, which hit many more cells of the rollups than a night of the city does;
//! `-- FILE.ndjson.gz` writes the rows of a file in its order, then again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a benchmark that cannot go on fails

use std::io::BufRead;
use std::time::Duration;

use nyc311::store::WriteBatch;
use nyc311_testkit::TestDatabase;
use nyc311_testkit::batches::{batch, incoming, request};

const ROWS: i64 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let database = TestDatabase::create().await;
    // connections, caches and the tables' first pages
    database.write(&invented(-ROWS, 0, 1)).await.unwrap();
    match argument.as_deref().map_or(Ok(10), str::parse::<i64>) {
        Ok(batches) => {
            for (name, version, revision) in [
                ("all new", 0, 1),
                ("all updates", 2, 1),
                ("all late", 1, 1),
                ("all repeats", 2, 1),
                ("all re-enriched", 2, 2),
            ] {
                let batches = (0..batches).map(|index| invented(1 + index * ROWS, version, revision));
                measure(&database, name, batches).await;
            }
        }
        Err(_) => {
            let file = argument.unwrap();
            measure(&database, "file", read(&file)).await;
            measure(&database, "file again", read(&file)).await;
        }
    }
}

async fn measure(database: &TestDatabase, name: &str, batches: impl Iterator<Item = WriteBatch>) {
    let mut total = Duration::ZERO;
    let mut rows = 0.0;
    let server = server_cpu(database).await;
    for batch in batches {
        rows += batch.rows.len() as f64;
        total += database.write(&batch).await.unwrap().duration;
    }
    let server = server_cpu(database).await.saturating_sub(server);
    println!(
        "{name:16} {rows:8} rows {:9.0} rows/s  {:6.2} us/row, server {:6.2} us/row",
        rows / total.as_secs_f64(),
        total.as_secs_f64() * 1e6 / rows,
        server.as_secs_f64() * 1e6 / rows,
    );
}

/// Rows of the API, enriched, in batches.
fn read(file: &str) -> impl Iterator<Item = WriteBatch> {
    let file = std::fs::File::open(file).unwrap();
    let mut lines = std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines().peekable();
    std::iter::from_fn(move || {
        lines.peek()?;
        let lines = lines.by_ref().take(ROWS as usize).map(Result::unwrap);
        Some(batch(lines.filter_map(|line| Some(incoming(&nyc311_domain::enrich(line.as_bytes()).ok()?)))))
    })
}

/// Rows as wide as real ones, with as many cells of the rollups.
fn invented(first_key: i64, version: i64, revision: i16) -> WriteBatch {
    batch((first_key..first_key + ROWS).map(|key| {
        let mut request = request(key, version, revision);
        let pick = |from: i64| key.unsigned_abs() as i64 * 7919 % from;
        // Hardly two in a second, as in the city: whoever shares one is looked at as a likely duplicate.
        request.created_at += jiff::SignedDuration::from_secs(pick(43_200));
        request.complaint_type = format!("Complaint type {}", pick(180)).into();
        request.descriptor = Some(format!("Descriptor of the complaint {}", pick(900)).into());
        request.agency_name = Some("New York City Police Department".into());
        request.location_type = Some("Residential Building/House".into());
        request.open_data_channel_type = Some("ONLINE".into());
        request.resolution_description = Some(
            "The Police Department responded to the complaint and with the information available observed \
             no evidence of the violation at that time."
                .into(),
        );
        request.incident_zip = Some("11211".into());
        request.city = Some("BROOKLYN".into());
        request.incident_address = Some(format!("{} BEDFORD AVENUE", pick(1000)).into());
        request.street_name = Some("BEDFORD AVENUE".into());
        request.cross_street_1 = Some("NORTH 7 STREET".into());
        request.cross_street_2 = Some("NORTH 8 STREET".into());
        request.community_board = Some("01 BROOKLYN".into());
        request.police_precinct = Some(94);
        request.council_district = Some(33);
        incoming(&request)
    }))
}

/// CPU time of the server's processes, where they are on this machine.
async fn server_cpu(database: &TestDatabase) -> Duration {
    let client = database.client().await.unwrap();
    let rows = client
        .query("select pid from pg_stat_activity where datname = current_database()", &[])
        .await
        .unwrap();
    let ticks: u64 = rows
        .iter()
        .filter_map(|row| std::fs::read_to_string(format!("/proc/{}/stat", row.get::<_, i32>(0))).ok())
        .filter_map(|stat| {
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        })
        .sum();
    Duration::from_millis(ticks * 10)
}
