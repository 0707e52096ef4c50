//! Invents rows as the source has them, and has a simulator serve them.

use std::io::Write as _;
use std::path::PathBuf;

use nyc311_simulator::{Simulator, SimulatorOptions, serve};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An invented row in the API's shape: version `version` of request `key`.
pub fn row(key: u64, version: u64) -> Value {
    const BOROUGHS: [&str; 6] = ["MANHATTAN", "BROOKLYN", "QUEENS", "BRONX", "STATEN ISLAND", "Unspecified"];
    let agency = ["NYPD", "HPD", "DSNY"][(key % 3) as usize];
    let complaint_type = ["Noise - Residential", "HEAT/HOT WATER", "Dirty Condition"][(key % 3) as usize];
    let borough = BOROUGHS[(key % 6) as usize];
    let day = 1 + version;
    let mut row = json!({
        "unique_key": (70_000_000 + key).to_string(),
        "created_date": format!("2026-04-01T{:02}:{:02}:00.000", key % 24, key % 60),
        "agency": agency,
        "agency_name": "An Agency",
        "complaint_type": complaint_type,
        "descriptor": "Loud Music/Party",
        "status": if version > 1 { "Closed" } else { "Open" },
        "borough": borough,
        "incident_zip": "10001",
        ":id": format!("row-{key:04}"),
        ":version": format!("rv-{version:04}"),
        ":created_at": "2026-04-02T01:34:00.000Z",
        ":updated_at": format!("2026-04-{day:02}T01:35:{:02}.000Z", key % 3),
    });
    if version > 1 {
        row["closed_date"] = json!(format!("2026-04-{day:02}T00:30:00.000"));
    }
    row
}

/// Returns a row of a month as `2026-03`, with which the other side of a reconciliation counts it.
pub fn row_of_month(key: u64, month: &str) -> Value {
    let mut row = row(key, 1);
    row["created_date"] = json!(format!("{month}-{:02}T{:02}:30:00.000", 1 + key % 28, key % 24));
    row
}

/// Returns so many rows of each month, with keys that follow upon each other.
pub fn rows_of_months(months: &[&str], each: u64) -> Vec<String> {
    let of_month = |(index, month): (usize, &&str)| {
        let first = index as u64 * each;
        (first..first + each).map(|key| row_of_month(key, month).to_string()).collect::<Vec<_>>()
    };
    months.iter().enumerate().flat_map(of_month).collect()
}

/// Returns 90 rows with nanoseconds, microseconds or milliseconds in their times, three of each time.
pub fn fine_rows(digits: usize) -> Vec<String> {
    (0..90_u64)
        .map(|key| {
            let fraction =
                &format!("{:09}", 631_250_125 + key / 3 * if digits == 9 { 1 } else { 1_000 })[..digits];
            let mut row = row(key, 1);
            row[":updated_at"] = json!(format!("2026-05-11T01:37:29.{fraction}Z"));
            row.to_string()
        })
        .collect()
}

/// Returns a row in the API's shape with a member of its own put in as it is.
pub fn with_member(key: u64, member: &str) -> String {
    const UPDATED_AT: &str = "2026-04-10T01:35:00.000Z";
    format!(
        "{{\"unique_key\":\"{key}\",\"created_date\":\"2026-04-01T10:00:00.000\",\"agency\":\"NYPD\",\
         \"complaint_type\":\"Noise - Residential\",\"status\":\"Open\",\"borough\":\"QUEENS\",{member},\
         \":id\":\"row-{key}\",\":version\":\"rv-{key}\",\":created_at\":\"{UPDATED_AT}\",\":updated_at\":\"{UPDATED_AT}\"}}"
    )
}

/// Writes a file with these lines.
pub fn file(directory: &TempDir, name: &str, lines: &[String]) -> PathBuf {
    let path = directory.path().join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    path
}

/// Returns so many versions of so many requests, the older ones first.
pub fn versions(keys: u64, versions: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for version in 1..=versions {
        lines.extend((0..keys).map(|key| row(key, version).to_string()));
    }
    lines
}

/// Serves every version of these rows.
pub fn simulate_lines(directory: &TempDir, lines: &[String]) -> Simulator {
    let options = SimulatorOptions {
        file: vec![file(directory, "rows.ndjson", lines)],
        every_version: true,
        ..SimulatorOptions::default()
    };
    serve(&options).unwrap()
}

/// Serves an invented city.
pub fn city(rows: u64) -> Simulator {
    serve(&SimulatorOptions { rows, ..SimulatorOptions::default() }).unwrap()
}

/// Returns `versions` of each key in the API's shape, and leaves the system fields to the simulator.
pub fn plain_rows(keys: u64, versions: u64) -> Vec<Value> {
    let mut rows = Vec::new();
    for version in 0..versions {
        for key in 0..keys {
            let mut row = json!({
                "unique_key": (7_000_000 + key * 7_919 % keys).to_string(),
                "created_date": format!("2026-05-{:02}T10:00:00.000", 1 + key * 7_919 % keys % 3),
                "agency": "DOT", "complaint_type": "Street Condition", "borough": "QUEENS",
                "descriptor": format!("it's \u{2019}quoted\" {version}"),
            });
            if version > 0 {
                row["closed_date"] = json!(format!("2026-05-{:02}T11:00:00.000", 5 + version));
            }
            rows.push(row);
        }
    }
    rows
}
