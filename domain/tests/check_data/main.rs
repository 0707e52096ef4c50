//! Checks the rules over whole real files, against counts made here by other means.
//!
//! `NYC311_DATA=DIR cargo test --release -p nyc311-domain --test check_data -- --nocapture` reads every
//! `.ndjson` and `.ndjson.gz` below DIR. Each row must come back from its JSON unchanged; each flag must
//! occur as often as a plain reading of the row by `serde_json` says; and what the point says about borough,
//! community district, council district and precinct must agree with what the city says. It prints the share
//! of every flag, which `docs/quality.md` quotes.

#![allow(clippy::expect_used, reason = "a test may end at the first surprise")]

mod plain;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use nyc311_domain::{
    Borough, Implied, QualityFlags, ServiceRequest, enrich, geography, identity, peek, place, quality,
};
use serde_json::{Map, Value};

use self::plain::{PLAIN_FLAGS, plain_flags, text};

type Row = Map<String, Value>;

/// The least share of points whose borough must be the stated one, Marble Hill aside, in a file with enough
/// of them.
const LEAST_BOROUGH_ACCURACY: f64 = 0.998;
const ENOUGH_POINTS: u64 = 4_000;

/// The council district that the source's own server computes of the point. Its numbers are those of the
/// server's table.
const COUNCIL_REGION: &str = ":@computed_region_92fq_4b7q";

#[test]
fn real_rows_are_judged_as_a_plain_reading_judges_them() {
    let folder = std::env::var_os("NYC311_DATA")
        .expect("NYC311_DATA must name a folder with .ndjson or .ndjson.gz files");
    let files = row_files(Path::new(&folder));
    assert!(!files.is_empty(), "no .ndjson or .ndjson.gz file below {}", Path::new(&folder).display());
    let mut faults = Vec::new();
    for file in &files {
        let counts = read(file);
        println!("\n{}: {} rows, {} rejected", file.display(), counts.rows, counts.rejected);
        counts.print();
        counts.check(&file.display().to_string(), &mut faults);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What is counted over one file.
#[derive(Default)]
struct Counts {
    rows: u64,
    rejected: u64,
    flags: BTreeMap<&'static str, u64>,
    /// The same by a plain reading.
    recounted: BTreeMap<&'static str, u64>,
    accuracy: BTreeMap<&'static str, Accuracy>,
    /// For each council district that the source's own server names by a number of its own, the districts of
    /// the points, by our lines.
    regions: BTreeMap<(&'static str, String), BTreeMap<i16, u64>>,
    changed: Vec<String>,
}

#[derive(Default)]
struct Accuracy {
    compared: u64,
    equal: u64,
}

fn read(path: &Path) -> Counts {
    let file = File::open(path).expect("a readable file");
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut counts = Counts::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.expect("a whole file");
        if !line.is_empty() {
            counts.add(&line);
        }
    }
    counts
}

impl Counts {
    fn add(&mut self, raw: &[u8]) {
        self.rows += 1;
        let Ok(request) = enrich(raw) else {
            self.rejected += 1;
            return;
        };
        let row: Row = serde_json::from_slice(raw).expect("an object, since it was enriched");
        self.keeps_its_shape(raw, &row, &request);
        for flag in request.quality_flags.names() {
            *self.flags.entry(flag).or_default() += 1;
        }
        for flag in plain_flags(&row) {
            *self.recounted.entry(flag).or_default() += 1;
        }
        self.compare_places(&row, &request);
    }

    /// What is written must read back, and enriching again must give the same; nothing that the row has may
    /// be lost.
    fn keeps_its_shape(&mut self, raw: &[u8], row: &Row, request: &ServiceRequest<'_>) {
        let mut json = Vec::new();
        request.write_json(&mut json);
        let back = ServiceRequest::from_json(&json).expect("what was just written");
        let identity = identity(&json).expect("what was just written");
        let again = enrich(raw).expect("enriched before");
        let head = peek(raw);
        if back != *request
            || again != *request
            || identity.unique_key != request.unique_key
            || head.unique_key.as_deref() != text(row, "unique_key").as_deref()
            || head.created_at != Some(request.created_at)
                && !request.quality_flags.contains(QualityFlags::REPEATED_HOUR_RESOLVED)
        {
            self.changed.push(format!("{} does not come back the same", request.unique_key));
        }
        let written: Row = serde_json::from_slice(&json).expect("an object");
        let part = |name: &str| written.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let (stated, details) = (part("stated"), part("details"));
        for (name, value) in row {
            let kept = stated.get(name) == Some(value)
                || details.get(name) == Some(value)
                || implied(name, request).is_some_and(|implied| implied == *value)
                || written.get(column_of(name)).is_some_and(|column| says_the_same(name, column, value));
            if !kept {
                self.changed.push(format!("{} lost {name} {value}", request.unique_key));
            }
        }
    }

    fn compare_places(&mut self, row: &Row, request: &ServiceRequest<'_>) {
        let Some((latitude, longitude)) = request.latitude.zip(request.longitude) else { return };
        let places = geography::locate(latitude, longitude);
        let Self { accuracy, regions, .. } = self;
        let mut compare = |what, stated: Option<i64>, computed: Option<i64>| {
            if let (Some(stated), Some(computed)) = (stated, computed) {
                let accuracy: &mut Accuracy = accuracy.entry(what).or_default();
                accuracy.compared += 1;
                accuracy.equal += u64::from(stated == computed);
            }
        };
        let number = |borough: Borough| i64::from(borough.city_code());
        let marble_hill = text(row, "incident_zip").as_deref() == Some("10463");
        if !marble_hill {
            let stated = text(row, "borough").and_then(|stated| Borough::from_stated(&stated));
            compare("borough", stated.map(number), places.borough.map(number));
        }
        let board = text(row, "community_board").map(|stated| place::read_community_board(&stated));
        if let Some(place::CommunityBoard::District(district)) = board {
            compare("community district", Some(district.into()), places.community_district.map(i64::from));
        }
        let council = text(row, "council_district").and_then(|stated| stated.parse().ok());
        let in_force = geography::CouncilLines::in_force_at(request.created_at);
        let computed = in_force.and_then(|lines| places.council_district(lines));
        compare("council district", council, computed.map(i64::from));
        let region = text(row, COUNCIL_REGION);
        for lines in geography::CouncilLines::ALL {
            let (what, of_region) = match lines {
                geography::CouncilLines::Of2013 => ("council district, lines of 2013", "of 2013"),
                geography::CouncilLines::Of2023 => ("council district, lines of 2023", "of 2023"),
            };
            let computed = places.council_district(lines);
            compare(what, council, computed.map(i64::from));
            if let (Some(region), Some(computed)) = (&region, computed) {
                let districts = regions.entry((of_region, region.clone())).or_default();
                *districts.entry(computed).or_default() += 1;
            }
        }
        let precinct = text(row, "police_precinct")
            .and_then(|stated| stated.trim_start_matches("Precinct ").parse().ok());
        compare("police precinct", precinct, places.police_precinct.map(i64::from));
        let zip = text(row, "incident_zip").and_then(|stated| stated.parse().ok());
        compare("ZIP against ZCTA", zip, places.zcta.and_then(|zcta| zcta.parse().ok()));
    }

    fn print(&self) {
        let share = |count: u64| 100.0 * count as f64 / self.rows.max(1) as f64;
        for flag in quality::ALL {
            let count = self.flags.get(flag.name).copied().unwrap_or_default();
            if count > 0 {
                println!("  {:<38} {count:>8} {:>8.3} %", flag.name, share(count));
            }
        }
        for (what, accuracy) in &self.accuracy {
            println!(
                "  {what}: {} of {} points agree, {:.3} %",
                accuracy.equal,
                accuracy.compared,
                100.0 * accuracy.share()
            );
        }
        for lines in ["of 2013", "of 2023"] {
            let regions =
                || self.regions.iter().filter(|((of, _), _)| *of == lines).map(|(_, points)| points);
            let points: u64 = regions().flat_map(BTreeMap::values).sum();
            let most: u64 = regions().filter_map(|points| points.values().max()).sum();
            if points > 0 {
                println!(
                    "  council districts of the source's server: {most} of {points} points lie in the district, lines {lines}, that most \
                     points of theirs lie in, {:.3} %",
                    100.0 * most as f64 / points as f64
                );
            }
        }
    }

    fn check(&self, file: &str, faults: &mut Vec<String>) {
        faults.extend(self.changed.iter().take(5).map(|fault| format!("{file}: {fault}")));
        for flag in PLAIN_FLAGS {
            let [judged, recounted] =
                [&self.flags, &self.recounted].map(|counts| counts.get(flag).copied().unwrap_or_default());
            if judged != recounted {
                faults.push(format!("{file}: {flag} on {judged} rows, by a plain reading on {recounted}"));
            }
        }
        if let Some(borough) = self.accuracy.get("borough")
            && borough.compared >= ENOUGH_POINTS
            && borough.share() < LEAST_BOROUGH_ACCURACY
        {
            faults.push(format!(
                "{file}: only {:.3} % of the points lie in the stated borough",
                100.0 * borough.share()
            ));
        }
    }
}

impl Accuracy {
    fn share(&self) -> f64 {
        self.equal as f64 / self.compared.max(1) as f64
    }
}

/// Returns the column of a field.
fn column_of(field: &str) -> &str {
    match field {
        "created_date" => "created_at",
        "closed_date" => "closed_at",
        "due_date" => "due_at",
        "resolution_action_updated_date" => "resolution_updated_at",
        "x_coordinate_state_plane" => "x_state_plane",
        "y_coordinate_state_plane" => "y_state_plane",
        ":id" => "source_row_id",
        ":@computed_region_efsh_h5xi" => "zip_region",
        ":@computed_region_f5dn_yrer" => "community_district_region",
        ":@computed_region_yeji_bk3q" => "borough_region",
        COUNCIL_REGION => "council_district_region",
        ":@computed_region_sbqj_enih" => "police_precinct_region",
        ":version" => "source_version",
        ":created_at" => "source_created_at",
        ":updated_at" => "source_updated_at",
        other => other,
    }
}

/// Makes a field again that was left out because it follows from the columns.
fn implied(field: &str, request: &ServiceRequest<'_>) -> Option<Value> {
    let follows = |bit| request.implied.is_some_and(|implied| implied & bit != 0);
    match field {
        "location" if follows(Implied::LOCATION) => {
            let degrees = |degrees: Option<f64>| degrees.map(|degrees| degrees.to_string());
            Some(serde_json::json!({
                "latitude": degrees(request.latitude),
                "longitude": degrees(request.longitude),
                "human_address": r#"{"address": "", "city": "", "state": "", "zip": ""}"#,
            }))
        }
        "park_borough" if follows(Implied::PARK_BOROUGH) => request.borough.as_deref().map(Value::from),
        "park_facility_name" if follows(Implied::PARK_FACILITY) => Some("Unspecified".into()),
        _ => None,
    }
}

/// Says whether a column holds what the field states: the same text but for blanks, the same number, or a
/// time.
fn says_the_same(field: &str, column: &Value, stated: &Value) -> bool {
    let stated = match stated {
        Value::String(stated) => stated.clone(),
        other => other.to_string(),
    };
    match column {
        Value::String(column) => {
            *column == stated
                || column.split_whitespace().eq(stated.split_whitespace())
                || field == "borough" && column.eq_ignore_ascii_case(&stated)
                || field.ends_with("_date") && column.ends_with('Z')
                || field.starts_with(':')
                    && column.trim_end_matches('Z') == stated.trim_end_matches('Z').trim_end_matches(".000")
        }
        Value::Number(column) => {
            let number = stated.trim_start_matches("Precinct ");
            // serde_json reads the last digit of a long decimal as it likes.
            number
                .parse::<f64>()
                .ok()
                .zip(column.as_f64())
                .is_some_and(|(stated, column)| (stated - column).abs() < 1e-12)
        }
        _ => false,
    }
}

fn row_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(row_files(&path));
        } else if name.ends_with(".ndjson") || name.ends_with(".ndjson.gz") {
            files.push(path);
        }
    }
    files.sort();
    files
}
