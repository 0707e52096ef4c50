//! Invented rows, and a simulator that serves them from a file.

use std::io::Write;
use std::path::PathBuf;

use nyc311_simulator::{Simulator, SimulatorOptions, serve};
use serde_json::{Value, json};

pub fn parsed(row: &[u8]) -> Value {
    serde_json::from_slice(row).unwrap()
}

pub fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {row}"))
}

/// Invented rows: `versions` of each key, in the API's shape. Odd keys bring their system fields along.
pub fn rows(keys: u64, versions: u64) -> Vec<Value> {
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

fn file(rows: &[Value]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.ndjson");
    let mut file = std::fs::File::create(&path).unwrap();
    for row in rows {
        writeln!(file, "{row}").unwrap();
    }
    (folder, path)
}

pub fn serve_file(
    rows: &[Value],
    change: impl FnOnce(&mut SimulatorOptions),
) -> (Simulator, tempfile::TempDir) {
    let (folder, path) = file(rows);
    let mut options = SimulatorOptions { file: vec![path], ..SimulatorOptions::default() };
    change(&mut options);
    (serve(&options).unwrap(), folder)
}

pub fn identity(row: &Value) -> (String, String, String) {
    (text(row, "unique_key").into(), text(row, ":updated_at").into(), text(row, ":version").into())
}
