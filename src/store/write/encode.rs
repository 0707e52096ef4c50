//! Turns enriched values into the bytes of a binary COPY, once per batch.
//!
//! The bytes of all rows lie one after another, so that a part of the batch, which the search for a
//! refused row needs, is a copy of slices.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use nyc311_domain::{Identity, Json, QualityFlags, ServiceRequest};
use uuid::Uuid;

use super::batch::IncomingRow;
use super::statements::{COLUMNS, NUMBERED};
use super::texts::Texts;
use crate::store::DeadLetter;
use crate::store::drift::Terms;
use crate::telemetry::labels::{SetAside, StageName};
use crate::words::is_same;

/// Signature, flags and length of the header extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of -1 ends the data.
const TRAILER: &[u8] = &[0xff, 0xff];
/// 2000-01-01T00:00:00Z, where PostgreSQL begins to count, in microseconds of 1970's.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
/// One message to the server: large enough to cost nothing, small enough to bound what is in flight.
const MESSAGE_BYTES: usize = 256 * 1024;
/// The columns of `incoming` that `service_request_row` has not: poll, raw partition, newest.
const OWN_COLUMNS: usize = 3;

/// The rows of a batch that could be read, ready to be copied.
pub(super) struct Encoded {
    bytes: Bytes,
    rows: Vec<EncodedRow>,
}

/// One row in the bytes. Its last byte is the `newest` flag.
pub(super) struct EncodedRow {
    range: Range<usize>,
    unique_key: i64,
    /// Which row of the batch this is.
    pub(super) source: usize,
}

/// What came of the values of a batch.
pub(super) struct Read {
    pub(super) encoded: Encoded,
    /// Values that are not what the enricher writes.
    pub(super) unreadable: Vec<DeadLetter>,
    /// Rows whose version is in the batch once more: the later one, of the higher revision, stands for both.
    pub(super) folded: Vec<usize>,
    /// The words of the rows.
    pub(super) terms: Terms,
    /// The texts of which the rows have the numbers.
    pub(super) texts: Texts,
}

/// Reads and encodes the rows of a batch, which are sorted by identity.
pub(super) fn encode(cluster_id: &str, rows: &[IncomingRow]) -> Read {
    let mut bytes = BytesMut::with_capacity(rows.iter().map(|row| row.value.len()).sum());
    let mut encoded: Vec<EncodedRow> = Vec::with_capacity(rows.len());
    let mut last_identity: Option<&Identity> = None;
    let mut unreadable = Vec::new();
    let mut folded = Vec::new();
    let mut terms = Terms::default();
    let mut texts = Texts::default();
    for (source, row) in rows.iter().enumerate() {
        let request = match ServiceRequest::from_json(&row.value) {
            Ok(request) => request,
            Err(error) => {
                unreadable.push(DeadLetter {
                    field: error.field.map(str::to_owned),
                    detail: Some(error.detail),
                    ..row.dead_letter(StageName::Aggregator, SetAside::EnrichedUnreadable, cluster_id)
                });
                continue;
            }
        };
        if last_identity.is_some_and(|last| last.same_version(&row.identity))
            && let Some(same) = encoded.pop()
        {
            folded.push(same.source);
            bytes.truncate(same.range.start);
        }
        last_identity = Some(&row.identity);
        terms.add(&request);
        let start = bytes.len();
        put_row(&mut bytes, &mut texts, &request, row);
        encoded.push(EncodedRow { range: start..bytes.len(), unique_key: request.unique_key, source });
    }
    mark_newest(&mut bytes, encoded.iter().map(|row| (row.unique_key, row.range.end)));
    Read { encoded: Encoded { bytes: bytes.freeze(), rows: encoded }, unreadable, folded, terms, texts }
}

impl Encoded {
    /// Returns the rows, in the order of their identities.
    pub(super) fn rows(&self) -> &[EncodedRow] {
        &self.rows
    }

    /// Returns what COPY is sent for some of [`Encoded::rows`], in ascending order.
    pub(super) fn copy_data(&self, chosen: &[usize]) -> Vec<Bytes> {
        let body = if chosen.len() == self.rows.len() { self.bytes.clone() } else { self.part(chosen) };
        let mut messages = vec![Bytes::from_static(HEADER)];
        let mut start = 0;
        while start < body.len() {
            let end = (start + MESSAGE_BYTES).min(body.len());
            messages.push(body.slice(start..end));
            start = end;
        }
        messages.push(Bytes::from_static(TRAILER));
        messages
    }

    /// Copies some rows out; among them, another version of a key may be the newest.
    fn part(&self, chosen: &[usize]) -> Bytes {
        let mut bytes = BytesMut::new();
        let mut ends = Vec::with_capacity(chosen.len());
        for row in chosen.iter().filter_map(|index| self.rows.get(*index)) {
            bytes.extend_from_slice(self.bytes.get(row.range.clone()).unwrap_or_default());
            ends.push((row.unique_key, bytes.len()));
        }
        mark_newest(&mut bytes, ends.into_iter());
        bytes.freeze()
    }
}

/// Sets the flag of the last row of each key and clears it in the others; given keys and ends of rows.
fn mark_newest(bytes: &mut BytesMut, rows: impl Iterator<Item = (i64, usize)>) {
    let mut rows = rows.peekable();
    while let Some((unique_key, end)) = rows.next() {
        let newest = rows.peek().is_none_or(|(next, _)| *next != unique_key);
        if let Some(flag) = bytes.get_mut(end - 1) {
            *flag = u8::from(newest);
        }
    }
}

/// Appends one row: the columns in the order of [`COLUMNS`], then [`NUMBERED`], then those of `incoming`
/// alone.
fn put_row(out: &mut BytesMut, texts: &mut Texts, request: &ServiceRequest<'_>, row: &IncomingRow) {
    // a list without `..`: a column that is added to the domain is an error here
    let ServiceRequest {
        unique_key,
        source_updated_at,
        source_version,
        rules_revision,
        source_created_at,
        created_at,
        closed_at,
        due_at,
        resolution_updated_at,
        response_hours,
        quality_flags,
        status,
        state,
        is_open,
        agency,
        agency_name,
        complaint_type,
        category,
        descriptor,
        descriptor_2,
        location_type,
        open_data_channel_type,
        resolution_description,
        borough,
        incident_zip,
        city,
        incident_address,
        street_name,
        cross_street_1,
        cross_street_2,
        intersection_street_1,
        intersection_street_2,
        landmark,
        bbl,
        latitude,
        longitude,
        x_state_plane,
        y_state_plane,
        community_board,
        community_district,
        council_district,
        police_precinct,
        nta2020,
        zcta,
        stated,
        details,
        source_row_id,
        address_type,
        zip_region,
        community_district_region,
        borough_region,
        council_district_region,
        police_precinct_region,
        implied,
    } = request;
    // Of a text that has a number, its column has nothing.
    let (agency_name, agency_name_id) = texts.of(agency_name.as_deref());
    let (resolution_description, resolution_description_id) = texts.of(resolution_description.as_deref());
    macro_rules! put {
        ($($column:ident)*) => {{
            const NAMES: &[&str] = &[$(stringify!($column)),*];
            const { assert!(same_columns(NAMES), "a row is encoded in the order of COLUMNS") };
            // the number of columns is known and small
            out.put_i16((NAMES.len() + NUMBERED.len() + OWN_COLUMNS) as i16);
            $($column.put(out);)*
        }};
    }
    put!(unique_key source_updated_at source_version rules_revision source_created_at created_at closed_at
        due_at resolution_updated_at response_hours quality_flags status state is_open agency agency_name
        complaint_type category descriptor descriptor_2 location_type open_data_channel_type
        resolution_description borough incident_zip city incident_address street_name cross_street_1
        cross_street_2 intersection_street_1 intersection_street_2 landmark bbl latitude longitude
        x_state_plane y_state_plane community_board community_district council_district police_precinct
        nta2020 zcta stated details source_row_id address_type zip_region community_district_region borough_region
        council_district_region police_precinct_region implied);
    agency_name_id.put(out);
    resolution_description_id.put(out);
    row.poll_id.put(out);
    row.raw_partition.put(out);
    false.put(out);
}

/// Compares names at compile time.
const fn same_columns(names: &[&str]) -> bool {
    if names.len() != COLUMNS.len() {
        return false;
    }
    let mut index = 0;
    while index < names.len() {
        if !is_same(names[index], COLUMNS[index].0) {
            return false;
        }
        index += 1;
    }
    true
}

/// A value that a binary COPY can carry: its length, then its bytes.
trait Field {
    fn put(&self, out: &mut BytesMut);
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Some(value) => value.put(out),
            None => out.put_i32(-1),
        }
    }
}

impl Field for i16 {
    fn put(&self, out: &mut BytesMut) {
        out.put_i32(2);
        out.put_i16(*self);
    }
}

impl Field for i32 {
    fn put(&self, out: &mut BytesMut) {
        out.put_i32(4);
        out.put_i32(*self);
    }
}

impl Field for i64 {
    fn put(&self, out: &mut BytesMut) {
        out.put_i32(8);
        out.put_i64(*self);
    }
}

impl Field for f64 {
    fn put(&self, out: &mut BytesMut) {
        out.put_i32(8);
        out.put_f64(*self);
    }
}

impl Field for bool {
    fn put(&self, out: &mut BytesMut) {
        out.put_i32(1);
        out.put_u8(u8::from(*self));
    }
}

impl Field for Timestamp {
    fn put(&self, out: &mut BytesMut) {
        (self.as_microsecond() - POSTGRES_EPOCH_US).put(out);
    }
}

impl Field for QualityFlags {
    fn put(&self, out: &mut BytesMut) {
        self.bits().put(out);
    }
}

impl Field for Cow<'_, str> {
    fn put(&self, out: &mut BytesMut) {
        (&**self).put(out);
    }
}

impl Field for &str {
    fn put(&self, out: &mut BytesMut) {
        put_bytes(out, &[], self.as_bytes());
    }
}

impl Field for Json<'_> {
    fn put(&self, out: &mut BytesMut) {
        // version 1 of jsonb's binary form is its text
        put_bytes(out, &[1], self.as_str().as_bytes());
    }
}

impl Field for Uuid {
    fn put(&self, out: &mut BytesMut) {
        put_bytes(out, &[], self.as_bytes());
    }
}

fn put_bytes(out: &mut BytesMut, prefix: &[u8], bytes: &[u8]) {
    // a record of Kafka is far below 2 GiB; a length that were cut would be refused by the server
    out.put_u32((prefix.len() + bytes.len()) as u32);
    out.put_slice(prefix);
    out.put_slice(bytes);
}
