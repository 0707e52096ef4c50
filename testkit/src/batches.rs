//! Invents enriched rows, dead letters and batches of them for the write transaction.

use std::sync::Arc;

use bytes::Bytes;
use jiff::{Timestamp, ToSpan};
use nyc311::store::{DeadLetter, IncomingRow, PositionAdvance, WriteBatch, WriteSummary};
use nyc311::telemetry::labels::StageName;
use nyc311_domain::{Identity, Implied, QualityFlags, ServiceRequest};

/// The cluster that the records come from.
pub const CLUSTER: &str = "cluster";
/// The topic that they were read from.
pub const TOPIC: &str = "nyc311.enriched";

/// A request as the enricher could have made it; everything follows from key, version and revision.
pub fn request(key: i64, version: i64, revision: i16) -> ServiceRequest<'static> {
    let mut draw =
        fastrand::Rng::with_seed((key as u64).wrapping_mul(1_000_003).wrapping_add(version as u64));
    let start: Timestamp = "2026-02-27T22:00:00Z".parse().unwrap();
    let created_at = start + (key % 7 * 13).hours();
    let is_open = draw.bool();
    let closed_at = (draw.u8(0..4) > 0).then(|| created_at + draw.i64(0..5000).minutes());
    let answered = !is_open && closed_at.is_some();
    let boroughs = ["BROOKLYN", "QUEENS", "BRONX"];
    ServiceRequest {
        unique_key: key,
        // versions of one time are told apart by their text
        source_updated_at: start + (version / 2).hours(),
        source_version: ["rv-b", "rv-Ä"][(version % 2) as usize].into(),
        rules_revision: revision,
        source_created_at: None,
        created_at,
        closed_at,
        due_at: None,
        resolution_updated_at: None,
        response_hours: closed_at
            .filter(|_| answered)
            .map(|closed_at| closed_at.duration_since(created_at).as_secs_f64() / 3600.0),
        quality_flags: QualityFlags::from_bits(draw.i64(0..8)),
        status: Some(if is_open { "Open" } else { "Closed" }.into()),
        state: if is_open { "open" } else { "closed" }.into(),
        is_open,
        agency: ["NYPD", "DSNY"][draw.usize(0..2)].into(),
        agency_name: None,
        complaint_type: "Noise \"loud\"".into(),
        category: Some("noise".into()),
        descriptor: None,
        descriptor_2: None,
        location_type: None,
        open_data_channel_type: None,
        resolution_description: Some(format!("version {version} under {revision}").into()),
        borough: boroughs.get(draw.usize(0..4)).map(|borough| (*borough).into()),
        incident_zip: None,
        city: None,
        incident_address: None,
        street_name: None,
        cross_street_1: None,
        cross_street_2: None,
        intersection_street_1: None,
        intersection_street_2: None,
        landmark: None,
        bbl: Some(3_000_000_000 + key),
        latitude: Some(40.5),
        longitude: Some(-73.9),
        x_state_plane: None,
        y_state_plane: None,
        community_board: None,
        community_district: Some(310),
        council_district: None,
        police_precinct: None,
        nta2020: None,
        zcta: None,
        stated: None,
        details: Some(nyc311_domain::Json(r#"{"taxi":"x"}"#.into())),
        source_row_id: Some(format!("row-{key}").into()),
        address_type: None,
        zip_region: Some(12_420),
        community_district_region: None,
        borough_region: Some(2),
        council_district_region: None,
        police_precinct_region: None,
        implied: Some(Implied::LOCATION),
    }
}

/// Puts a request into a record.
pub fn incoming(request: &ServiceRequest<'_>) -> IncomingRow {
    let mut value = Vec::new();
    request.write_json(&mut value);
    IncomingRow {
        identity: Identity {
            unique_key: request.unique_key,
            source_updated_at: request.source_updated_at,
            source_version: (&*request.source_version).into(),
            rules_revision: request.rules_revision,
        },
        value: Bytes::from(value),
        poll_id: None,
        raw_partition: request.unique_key.rem_euclid(5) as i32,
        topic: Arc::from(TOPIC),
        partition: request.unique_key.rem_euclid(5) as i32,
        offset: 0,
        fetched_at: None,
        replay_of: None,
    }
}

/// Makes a batch as the aggregator would: sorted, each version once, repeats counted.
pub fn batch(rows: impl IntoIterator<Item = IncomingRow>) -> WriteBatch {
    let mut rows: Vec<IncomingRow> = rows.into_iter().collect();
    rows.sort_by(|one, other| one.identity.cmp(&other.identity));
    let mut folded = vec![];
    rows.dedup_by(|later, kept| {
        let same = later.identity == kept.identity;
        if same {
            folded.push((later.poll_id, later.raw_partition, 1));
        }
        same
    });
    WriteBatch { cluster_id: Arc::from(CLUSTER), rows, dead_letters: vec![], advances: vec![], folded }
}

/// Moves a position from one offset to another.
pub fn advance(partition: i32, epoch: i64, from: i64, to: i64) -> PositionAdvance {
    PositionAdvance { topic: Arc::from(TOPIC), partition, epoch, from, to, last: None }
}

/// Makes a dead letter of the enricher.
pub fn dead_letter(payload: &'static [u8]) -> DeadLetter {
    DeadLetter {
        payload: Bytes::from_static(payload),
        stage: StageName::Enricher,
        reason: "not_an_object".to_owned(),
        field: None,
        detail: Some("a NUL\0 in a text".to_owned()),
        unique_key: None,
        kafka_cluster_id: Some(CLUSTER.to_owned()),
        topic: Some("nyc311.raw".to_owned()),
        partition: Some(3),
        offset: Some(7),
        headers: Some(serde_json::json!({"nyc311-page": "1\0"})),
        poll_id: None,
        raw_partition: 3,
    }
}

/// Returns what a write says that it did: stored, duplicate, re-enriched, dead letters.
pub fn outcome(summary: &WriteSummary) -> (u64, u64, u64, u64) {
    (summary.stored, summary.duplicate, summary.reenriched, summary.dead_lettered)
}
