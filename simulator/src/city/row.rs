//! Writes a request of the generated city as the API would: some 40 members, 1.3 KB.

use nyc311_domain::geography::{self, CouncilLines};

use super::calendar::Entry;
use super::complaints::{AGENCIES, ComplaintKind, DHS, DOHMH, HPD, NYPD, TLC};
use super::draw::Draw;
use super::model::Model;
use super::outcome::Case;
use super::places::{BOROUGHS, PLACES, Place};
use super::streets::{NAMES, QUEENS_CITIES};
use super::text::{RowWriter, degrees, digits};
use crate::night::DAY_MS;
use crate::row_id::{scramble, write_id, write_version};

const FIRST_KEY: u64 = 41_000_000;
const INVALID_ZIPS: [&str; 5] = ["10000", "00083", "1055O", "Unkno", "12345"];
/// In the Narrows: within the city's bounds, and on no land.
const AFLOAT: (i64, i64) = (4_060_550, -7_404_550);
/// 2024-01-01 on the city's clock: requests from before are stated by the older lines of the council
/// districts.
const LINES_OF_2023_MS: i64 = 1_704_067_200_000;
const QUEENS: u8 = 3;
const MANHATTAN: u8 = 0;

/// Where a request comes from, as it is written.
struct Spot {
    place: &'static Place,
    latitude_e14: i64,
    longitude_e14: i64,
    /// Feet from the place's centre.
    east: i64,
    north: i64,
}

pub fn write(model: &Model, entry: &Entry, out: &mut Vec<u8>) {
    let day = model.calendar.day(entry.day);
    let request = day.first_request + u64::from(entry.rank);
    let life = model.calendar.section(entry).life;
    let mut what = model.identity(entry);
    let created_ms = model.created_ms(entry, &mut what);
    let kind = model.kind(day, life, &mut what);
    let spot = draw_spot(model, &mut what);
    let mut own = Draw::new(model.seed ^ scramble(request ^ 0x0311));
    let case = Case { kind, life, day: day.day, created_ms };
    let outcome = case.outcome(entry.stage, Draw::new(model.seed ^ scramble(request ^ 0xc105ed)));

    out.extend_from_slice(b"{\"unique_key\":\"");
    digits(FIRST_KEY + day.key_number(entry.rank), 1, out);
    out.push(b'"');
    let mut row = RowWriter { out };
    row.local_time("created_date", created_ms);
    if let Some(closed_ms) = outcome.closed_ms {
        row.local_time("closed_date", closed_ms);
    }
    row.text("agency", AGENCIES[kind.agency].code);
    row.text("agency_name", AGENCIES[kind.agency].name);
    row.text("complaint_type", kind.complaint_type);
    row.some("descriptor", what.pick(kind.descriptors));
    row.some("location_type", what.pick(kind.location_types));
    write_address(&mut row, &spot, kind, &mut what);
    row.text("status", outcome.status);
    if matches!(kind.agency, DHS | DOHMH) && own.chance(110_000) {
        let due_ms = created_ms + if own.chance(300) { -DAY_MS } else { 30 * DAY_MS };
        row.local_time("due_date", due_ms);
    }
    row.some("resolution_description", outcome.resolution);
    if let Some(resolution_ms) = outcome.resolution_ms {
        row.local_time("resolution_action_updated_date", resolution_ms);
    }
    write_districts(&mut row, &spot, created_ms, &mut own);
    write_rarities(&mut row, kind, &mut own);

    row.open(":id");
    write_id(request, row.out);
    row.out.push(b'"');
    row.open(":version");
    write_version(scramble(model.seed ^ scramble(request * 4 + entry.stage as u64)), row.out);
    row.out.push(b'"');
    row.instant(":created_at", model.calendar.created_at_ms(entry.day));
    row.instant(":updated_at", entry.updated_at_ms);
    if own.chance(998_000) {
        let district = u64::from(spot.place.community_district);
        row.number(":@computed_region_f5dn_yrer", district % 100 + 10);
        row.number(":@computed_region_yeji_bk3q", u64::from(spot.place.borough) + 1);
    }
    row.out.push(b'}');
}

fn draw_spot(model: &Model, draw: &mut Draw) -> Spot {
    let place = &PLACES[model.places.draw(draw)];
    // A square inside of the circle.
    let reach_mm = i64::from(place.radius_m) * 700;
    let mut offset_mm = || draw.below(2 * reach_mm as u64 + 1) as i64 - reach_mm;
    let (east_mm, north_mm) = (offset_mm(), offset_mm());
    // Millimetres to 10^-14 degrees, at 40.7 degrees north.
    let latitude_e14 = i64::from(place.latitude_e5) * 1_000_000_000 + north_mm * 899_280;
    let longitude_e14 = i64::from(place.longitude_e5) * 1_000_000_000 + east_mm * 1_184_830;
    let feet = |mm: i64| mm * 10 / 3_048;
    // Digits below the millimetre, as a geocoder has them.
    let fine = draw.below(800_000) as i64;
    Spot {
        place,
        latitude_e14: latitude_e14 + fine,
        longitude_e14: longitude_e14 - fine,
        east: feet(east_mm),
        north: feet(north_mm),
    }
}

fn write_address(row: &mut RowWriter<'_>, spot: &Spot, kind: &ComplaintKind, draw: &mut Draw) {
    let place = spot.place;
    match draw.below(1_000_000) {
        0..16_200 => {}
        16_200..16_400 => row.some("incident_zip", draw.pick(&INVALID_ZIPS)),
        _ => row.number("incident_zip", place.zip.into()),
    }
    let mut street = Vec::with_capacity(24);
    write_street(place.borough, draw, &mut street);
    let mut crossings = [Vec::with_capacity(24), Vec::with_capacity(24)];
    for crossing in &mut crossings {
        write_street(place.borough, draw, crossing);
    }
    let is_crossing = kind.location_types.is_empty() && draw.chance(250_000);
    if !is_crossing && draw.chance(980_000) {
        row.open("incident_address");
        digits(1 + draw.below(2_400), 1, row.out);
        if place.borough == QUEENS {
            row.out.push(b'-');
            digits(1 + draw.below(98), 2, row.out);
        }
        row.out.push(b' ');
        row.out.extend_from_slice(&street);
        row.out.push(b'"');
        row.text("street_name", &street);
    }
    let has_crossings = draw.chance(730_000);
    if has_crossings {
        row.text("cross_street_1", &crossings[0]);
        row.text("cross_street_2", &crossings[1]);
    }
    if is_crossing || has_crossings && draw.chance(880_000) {
        row.text("intersection_street_1", &crossings[0]);
        row.text("intersection_street_2", &crossings[1]);
    }
    row.text("address_type", if is_crossing { "INTERSECTION" } else { "ADDRESS" });
    if draw.chance(946_000) {
        row.text("city", city_name(place, draw));
    }
    if !is_crossing && draw.chance(640_000) {
        row.text("landmark", &street);
    }
}

/// Writes the name of a street; numbered ones with the blanks that the city puts into them.
fn write_street(borough: u8, draw: &mut Draw, out: &mut Vec<u8>) {
    if !draw.chance(280_000) {
        out.extend_from_slice(draw.pick(&NAMES).unwrap_or("BROADWAY").as_bytes());
        return;
    }
    let side: &[&str] =
        if borough == MANHATTAN { &["EAST", "WEST"] } else { &["EAST", "WEST", "NORTH", "BEACH"] };
    out.extend_from_slice(draw.pick(side).unwrap_or("EAST").as_bytes());
    let number = 1 + draw.below(240);
    // Right-aligned in five places.
    let width = number.ilog10() as usize + 1;
    out.extend(std::iter::repeat_n(b' ', 5_usize.saturating_sub(width).max(1)));
    digits(number, 1, out);
    out.extend_from_slice(b" STREET");
}

fn city_name(place: &Place, draw: &mut Draw) -> &'static str {
    if place.borough == MANHATTAN {
        return "NEW YORK";
    }
    let names =
        QUEENS_CITIES.iter().find(|(prefix, _)| place.borough == QUEENS && *prefix == place.zip / 100);
    names.and_then(|(_, names)| draw.pick(names)).unwrap_or(BOROUGHS[usize::from(place.borough)])
}

fn write_districts(row: &mut RowWriter<'_>, spot: &Spot, created_ms: i64, draw: &mut Draw) {
    let place = spot.place;
    let named = usize::from(place.borough);
    // Unknown, or another than the point says.
    let borough = match draw.below(1_000_000) {
        0..1_200 => Some("Unspecified"),
        1_200..2_400 => None,
        2_400..2_800 => Some(BOROUGHS[(named + 1) % BOROUGHS.len()]),
        _ => Some(BOROUGHS[named]),
    };
    let is_known = borough.is_some_and(|borough| borough != "Unspecified");
    match (is_known, borough) {
        (true, _) => {
            row.open("community_board");
            digits(u64::from(place.community_district % 100), 2, row.out);
            row.out.push(b' ');
            row.out.extend_from_slice(BOROUGHS[named].as_bytes());
            row.out.push(b'"');
        }
        (false, Some(_)) => row.text("community_board", "0 Unspecified"),
        (false, None) => {}
    }
    if is_known && draw.chance(980_000) {
        row.number("council_district", council_district(spot, created_ms));
        row.open("police_precinct");
        row.out.extend_from_slice(b"Precinct ");
        digits(place.precinct.into(), 1, row.out);
        row.out.push(b'"');
    }
    if is_known && draw.chance(884_000) {
        row.open("bbl");
        digits(u64::from(place.borough) + 1, 1, row.out);
        digits(1 + draw.below(16_000), 5, row.out);
        digits(1 + draw.below(400), 4, row.out);
        row.out.push(b'"');
    }
    row.some("borough", borough);
    let (mut latitude_e14, mut longitude_e14) = (spot.latitude_e14, spot.longitude_e14);
    let is_located = is_known && draw.chance(983_000);
    if is_located {
        row.number("x_coordinate_state_plane", (i64::from(place.state_plane_x) + spot.east).unsigned_abs());
        row.number("y_coordinate_state_plane", (i64::from(place.state_plane_y) + spot.north).unsigned_abs());
    }
    let channel = match draw.below(1_000) {
        0..425 => "ONLINE",
        425..735 => "PHONE",
        735..955 => "MOBILE",
        _ => "UNKNOWN",
    };
    row.text("open_data_channel_type", channel);
    row.text("park_facility_name", "Unspecified");
    row.some("park_borough", borough);
    if is_located {
        if draw.chance(240) {
            (latitude_e14, longitude_e14) = (AFLOAT.0 * 1_000_000_000, AFLOAT.1 * 1_000_000_000);
        }
        row.open("latitude");
        degrees(latitude_e14, row.out);
        row.out.extend_from_slice(b"\",\"longitude\":\"");
        degrees(longitude_e14, row.out);
        row.out.extend_from_slice(b"\",\"location\":{\"latitude\":\"");
        degrees(latitude_e14, row.out);
        row.out.extend_from_slice(b"\",\"longitude\":\"");
        degrees(longitude_e14, row.out);
        row.out.extend_from_slice(
            br#"","human_address":"{\"address\": \"\", \"city\": \"\", \"state\": \"\", \"zip\": \"\"}"}"#,
        );
    }
}

/// Returns the district by the lines in force when the request was created; the table of places has those of
/// 2023.
fn council_district(spot: &Spot, created_ms: i64) -> u64 {
    let degrees = |e14: i64| e14 as f64 / 1e14;
    let older = || {
        let places = geography::locate(degrees(spot.latitude_e14), degrees(spot.longitude_e14));
        places.council_district(CouncilLines::Of2013)?.try_into().ok()
    };
    let older = (created_ms < LINES_OF_2023_MS).then(older).flatten();
    older.unwrap_or(spot.place.council_district.into())
}

/// Writes the columns that few rows have.
fn write_rarities(row: &mut RowWriter<'_>, kind: &ComplaintKind, draw: &mut Draw) {
    match kind.agency {
        TLC => {
            row.text("vehicle_type", if draw.chance(300_000) { "Car Service" } else { "Car" });
            row.text("taxi_pick_up_location", "Other");
            if draw.chance(100_000) {
                row.text("taxi_company_borough", "QUEENS");
            }
        }
        HPD if draw.chance(60_000) => row.text("facility_type", "N/A"),
        NYPD if draw.chance(8_000) => {
            row.text("bridge_highway_name", "Belt Pkwy");
            row.text("bridge_highway_segment", "Ramp");
            row.text("road_ramp", "Roadway");
        }
        _ => {}
    }
    if draw.chance(20_000) {
        row.text("descriptor_2", "N/A");
    }
}
