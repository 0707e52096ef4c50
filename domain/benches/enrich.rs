//! Measures what a row costs: all of it, its parts, and the bare parse that it is compared with.
//!
//! `cargo bench -p nyc311-domain`. With `NYC311_DATA` set to a folder, the first 20,000 rows of its largest
//! row file are measured, else rows invented here. Everything runs on one core.

#![allow(clippy::expect_used, reason = "a benchmark may end at the first surprise")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nyc311_domain::{ServiceRequest, enrich, geography, identity, peek, time, words};
use serde::Deserialize;

const ROWS: usize = 20_000;
const CHUNK: usize = 250;
const ROUNDS: usize = 12;

fn main() {
    let rows = match std::env::var_os("NYC311_DATA") {
        Some(folder) => real_rows(Path::new(&folder)),
        None => invented_rows(),
    };
    assert!(!rows.is_empty(), "NYC311_DATA has no row files");
    let bytes: usize = rows.iter().map(Vec::len).sum();
    println!("{} rows, {} bytes on average", rows.len(), bytes / rows.len());

    let started = Instant::now();
    geography::prepare();
    println!("{:<44} {:>9.1} ms, once", "lay out the boundaries", started.elapsed().as_secs_f64() * 1e3);

    let enriched: Vec<Vec<u8>> = rows.iter().map(|row| written(row)).collect();
    let requests: Vec<ServiceRequest<'_>> = enriched
        .iter()
        .map(|value| ServiceRequest::from_json(value).expect("what was just written"))
        .collect();
    let points: Vec<(f64, f64)> =
        requests.iter().filter_map(|request| request.latitude.zip(request.longitude)).collect();
    let times = [
        "2026-04-11T23:28:40.000",
        "2026-11-01T01:30:00.000",
        "2023-02-28T11:31:00.000",
        "2025-01-02T17:05:54.000",
    ]
    .repeat(CHUNK);
    let twice = ["Transportation\u{e2}\u{80}\u{99}s website. Please click the \u{e2}\u{80}\u{9c}Learn More\u{e2}\u{80}\u{9d} link below."]
        .repeat(CHUNK);
    let mut out = Vec::with_capacity(4_096);

    let mut json = Vec::with_capacity(4_096);
    let each = measure_together(
        &rows,
        &mut [
            ("bare sonic-rs parse into a borrowed struct", &mut |row| {
                black_box(sonic_rs::from_slice::<Bare<'_>>(row).ok());
            }),
            ("parse, clean, enrich and serialise", &mut |row| {
                json.clear();
                if let Ok(request) = enrich(row) {
                    request.write_json(&mut json);
                }
                black_box(&json);
            }),
            ("  of it parse, clean and enrich", &mut |row| {
                black_box(enrich(row).ok());
            }),
            ("peek at a raw row", &mut |row| {
                black_box(peek(row));
            }),
        ],
    );
    measure("  of it write the enriched JSON", &requests, |request| {
        out.clear();
        request.write_json(&mut out);
        black_box(&out);
    });
    measure("  of it look a point up in seven layers", &points, |(latitude, longitude)| {
        black_box(geography::locate(*latitude, *longitude));
    });
    measure("  of it read a local time", &times, |stated| {
        if let Some(time::StatedTime::Local(local)) = time::parse(stated) {
            black_box(local.in_new_york());
        }
    });
    measure("decode a text that was encoded twice", &twice, |text| {
        black_box(words::decode_twice_encoded(text));
    });
    measure("read the enriched JSON", &enriched, |value| {
        black_box(ServiceRequest::from_json(value).ok());
    });
    measure("read the identity of an enriched value", &enriched, |value| {
        black_box(identity(value).ok());
    });
    if let [bare, whole, ..] = each.as_slice() {
        println!("parse, clean, enrich and serialise takes {:.2} times the bare parse", whole / bare);
    }
}

/// One thing to do, and its name.
type Part<'a, T> = (&'a str, &'a mut dyn FnMut(&T));

/// Does one part of the work with every thing, and prints what it takes.
fn measure<T>(what: &str, things: &[T], mut work: impl FnMut(&T)) {
    measure_together(things, &mut [(what, &mut work)]);
}

/// Does each part of the work with every thing, prints the microseconds for one, and returns them. The things
/// are taken in small chunks, each of them several times by all parts in turn, and the best time of each
/// chunk counts, so that others on the same machine disturb little, and all parts alike.
fn measure_together<T>(things: &[T], parts: &mut [Part<'_, T>]) -> Vec<f64> {
    let mut totals = vec![Duration::ZERO; parts.len()];
    for chunk in things.chunks(CHUNK) {
        let mut best = vec![Duration::MAX; parts.len()];
        for _ in 0..ROUNDS {
            for ((_, work), best) in parts.iter_mut().zip(&mut best) {
                let started = Instant::now();
                for thing in chunk {
                    work(black_box(thing));
                }
                *best = started.elapsed().min(*best);
            }
        }
        totals.iter_mut().zip(best).for_each(|(total, best)| *total += best);
    }
    let each = |total: &Duration| total.as_secs_f64() * 1e6 / things.len().max(1) as f64;
    let each: Vec<f64> = totals.iter().map(each).collect();
    for ((what, _), each) in parts.iter().zip(&each) {
        println!("{what:<44} {each:>9.3} us {:>12.0} per second", 1e6 / each);
    }
    each
}

fn written(row: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Ok(request) = enrich(row) {
        request.write_json(&mut out);
    }
    out
}

fn real_rows(folder: &Path) -> Vec<Vec<u8>> {
    use std::io::{BufRead, BufReader, Read};
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".ndjson.gz") {
                files.push((entry.metadata().map(|metadata| metadata.len()).unwrap_or_default(), path));
            }
        }
    }
    let Some((_, largest)) = files.into_iter().max() else { return Vec::new() };
    println!("{}", largest.display());
    let file = std::fs::File::open(largest).expect("a readable file");
    let reader: Box<dyn Read> = Box::new(flate2::read::GzDecoder::new(file));
    BufReader::new(reader).split(b'\n').take(ROWS).map(|line| line.expect("a whole file")).collect()
}

/// Invents rows of the usual width, at points spread over the city.
fn invented_rows() -> Vec<Vec<u8>> {
    let places = [
        ("BROOKLYN", 40.65, -73.95),
        ("QUEENS", 40.72, -73.82),
        ("BRONX", 40.85, -73.88),
        ("MANHATTAN", 40.77, -73.97),
        ("STATEN ISLAND", 40.58, -74.15),
    ];
    (0..ROWS)
        .map(|index| {
            let (borough, latitude, longitude) = places[index % places.len()];
            let spread = |step: usize| ((index * step) % 1_009) as f64 / 1_009.0 * 0.06 - 0.03;
            let (latitude, longitude) = (latitude + spread(37) + 1e-9, longitude + spread(101) + 1e-9);
            format!(
                concat!(
                    r#"{{"unique_key":"{key}","created_date":"2026-04-12T0{hour}:18:41.000","closed_date":"2026-04-12T1{hour}:15:17.000","agency":"NYPD","#,
                    r#""agency_name":"New York City Police Department","complaint_type":"Noise - Residential","descriptor":"Loud Music/Party","#,
                    r#""location_type":"Residential Building/House","incident_zip":"11420","incident_address":"93-0{hour} 222 STREET","street_name":"222 STREET","#,
                    r#""cross_street_1":"93 ROAD","cross_street_2":"94 AVENUE","intersection_street_1":"NORTH    4 STREET","intersection_street_2":"94 AVENUE","#,
                    r#""address_type":"ADDRESS","city":"{borough}","landmark":"222 STREET","status":"Closed","resolution_description":"The Police Department "#,
                    r#"responded to the complaint and with the information available observed no evidence of the violation at that time.","#,
                    r#""resolution_action_updated_date":"2026-04-12T1{hour}:15:21.000","community_board":"10 QUEENS","council_district":"28","#,
                    r#""police_precinct":"Precinct 106","borough":"{borough}","x_coordinate_state_plane":"1033852","y_coordinate_state_plane":"187883","#,
                    r#""open_data_channel_type":"PHONE","park_facility_name":"Unspecified","park_borough":"{borough}","latitude":"{latitude}","longitude":"{longitude}","#,
                    r#""location":{{"latitude":"{latitude}","longitude":"{longitude}","human_address":"{{\"address\": \"\", \"city\": \"\", \"state\": \"\", \"zip\": \"\"}}"}},"#,
                    r#"":id":"row-a-{key}",":version":"rv-b-{key}",":created_at":"2026-04-13T01:34:03.189Z",":updated_at":"2026-04-13T01:37:29.631Z","#,
                    r#"":@computed_region_yeji_bk3q":"3"}}"#,
                ),
                key = 68_000_000 + index, hour = index % 10, borough = borough, latitude = latitude, longitude = longitude,
            )
            .into_bytes()
        })
        .collect()
}

/// The columns of a row as a program without rules would read them.
#[derive(Deserialize)]
#[allow(dead_code)] // Only the parse is measured.
struct Bare<'a> {
    unique_key: Text<'a>,
    created_date: Text<'a>,
    #[serde(borrow)]
    closed_date: Option<Text<'a>>,
    agency: Option<Text<'a>>,
    agency_name: Option<Text<'a>>,
    complaint_type: Option<Text<'a>>,
    descriptor: Option<Text<'a>>,
    descriptor_2: Option<Text<'a>>,
    location_type: Option<Text<'a>>,
    incident_zip: Option<Text<'a>>,
    incident_address: Option<Text<'a>>,
    street_name: Option<Text<'a>>,
    cross_street_1: Option<Text<'a>>,
    cross_street_2: Option<Text<'a>>,
    intersection_street_1: Option<Text<'a>>,
    intersection_street_2: Option<Text<'a>>,
    city: Option<Text<'a>>,
    landmark: Option<Text<'a>>,
    status: Option<Text<'a>>,
    due_date: Option<Text<'a>>,
    resolution_description: Option<Text<'a>>,
    resolution_action_updated_date: Option<Text<'a>>,
    community_board: Option<Text<'a>>,
    council_district: Option<Text<'a>>,
    police_precinct: Option<Text<'a>>,
    bbl: Option<Text<'a>>,
    borough: Option<Text<'a>>,
    x_coordinate_state_plane: Option<Text<'a>>,
    y_coordinate_state_plane: Option<Text<'a>>,
    open_data_channel_type: Option<Text<'a>>,
    latitude: Option<Text<'a>>,
    longitude: Option<Text<'a>>,
    #[serde(rename = ":version")]
    version: Option<Text<'a>>,
    #[serde(rename = ":created_at")]
    source_created_at: Option<Text<'a>>,
    #[serde(rename = ":updated_at")]
    source_updated_at: Option<Text<'a>>,
}

/// A text that borrows wherever it can; serde's own `Option<Cow<str>>` always copies.
#[allow(dead_code)] // Only the parse is measured.
struct Text<'a>(std::borrow::Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
