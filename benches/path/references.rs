//! What the servers do without the program: the same rows by a plain COPY, the same topic by a bare consumer.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, TryStreamExt as _};
use nyc311_testkit::{Service, TestDatabase, each_record};

use crate::report::Leg;
use crate::usage::Meter;

/// As many as the program writes in a transaction at most.
const BATCH_ROWS: usize = 10_000;
/// Signature, flags and the length of an extension that nobody has.
const COPY_HEADER_BYTES: usize = 19;
const COPY_TRAILER: [u8; 2] = [0xff; 2];

/// A table like the program's, with the same key and indexes and without what the program adds to it.
const TABLE: &str = "
    create schema reference;
    create table reference.service_request (like nyc311.service_request_row including defaults including indexes)
        with (fillfactor = 80);";

/// Copies the rows that the program has stored into a table of the same shape, a transaction for each batch.
pub async fn copy(database: &TestDatabase, meter: &Meter) -> Leg {
    database.execute(TABLE).await;
    let client = database.client().await.unwrap();
    let rows = client.copy_out("copy nyc311.service_request_row to stdout (format binary)").await.unwrap();
    let mut copied: BytesMut = rows.try_collect().await.unwrap();
    let header = copied.split_to(COPY_HEADER_BYTES).freeze();
    let (batches, count) = batches(&copied.freeze());
    database.execute("checkpoint").await;
    let before = meter.read(&[], None);
    let began = Instant::now();
    for batch in batches {
        let sink = client.copy_in("copy reference.service_request from stdin (format binary)").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        for part in [header.clone(), batch, Bytes::from_static(&COPY_TRAILER)] {
            sink.send(part).await.unwrap();
        }
        sink.finish().await.unwrap();
    }
    Leg {
        name: "plain COPY of the same rows".to_owned(),
        rows: count,
        seconds: began.elapsed().as_secs_f64(),
        cpu: Some(meter.read(&[], None).since(before)),
        peak_mib: None,
    }
}

/// Parts the rows of a COPY into batches, and counts them. A row is the number of its fields, then each field
/// behind its length; a null has the length -1 and nothing behind it. The trailer stands where a row would.
fn batches(rows: &Bytes) -> (Vec<Bytes>, u64) {
    let mut found = Vec::new();
    let (mut begin, mut at, mut in_batch, mut count) = (0, 0, 0, 0);
    loop {
        let fields = i16::from_be_bytes(rows[at..at + 2].try_into().unwrap());
        if (fields < 0 && in_batch > 0) || in_batch == BATCH_ROWS {
            found.push(rows.slice(begin..at));
            (begin, in_batch) = (at, 0);
        }
        if fields < 0 {
            return (found, count);
        }
        at += 2;
        for _ in 0..fields {
            let length = i32::from_be_bytes(rows[at..at + 4].try_into().unwrap());
            at += 4 + usize::try_from(length).unwrap_or(0);
        }
        in_batch += 1;
        count += 1;
    }
}

/// Reads the raw topic to its end and does nothing with it.
pub async fn consume(service: &Service, meter: &Meter) -> Leg {
    let topic = &service.settings.kafka.raw_topic;
    let before = meter.read(&[], None);
    let began = Instant::now();
    let mut records = 0;
    each_record(&service.settings.kafka, topic, |_| records += 1);
    Leg {
        name: "bare consumer of the raw topic".to_owned(),
        rows: records,
        seconds: began.elapsed().as_secs_f64(),
        cpu: Some(meter.read(&[], None).since(before)),
        peak_mib: None,
    }
}
