//! The headers of the contract, typed: what travels beside a value that is never changed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::hex::{from_hex, to_hex};
use crate::timestamp::to_millis;

pub const POLL_ID: &str = "nyc311-poll-id";
pub const PAGE: &str = "nyc311-page";
pub const FETCHED_AT: &str = "nyc311-fetched-at";
pub const RAW_PARTITION: &str = "nyc311-raw-partition";
pub const RAW_OFFSET: &str = "nyc311-raw-offset";
pub const SCHEMA: &str = "nyc311-schema";
pub const REASON: &str = "nyc311-reason";
pub const FIELD: &str = "nyc311-field";
pub const DETAIL: &str = "nyc311-detail";
pub const REPLAY_OF: &str = "nyc311-replay-of";

/// The version of the enriched value's shape.
pub const SCHEMA_VERSION: &str = "1";

/// Where and when a row was fetched; shared by all rows of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub poll_id: Uuid,
    pub page: u64,
    pub fetched_at: Timestamp,
    /// The three as the headers have them, since they stand beside each row of the page.
    texts: [Box<str>; 3],
}

impl Origin {
    /// The headers' names, in the order of the texts.
    const NAMES: [&str; 3] = [POLL_ID, PAGE, FETCHED_AT];

    pub fn new(poll_id: Uuid, page: u64, fetched_at: Timestamp) -> Self {
        let texts = [poll_id.to_string().into(), page.to_string().into(), to_millis(fetched_at).into()];
        Self { poll_id, page, fetched_at, texts }
    }

    /// Reads what the headers say.
    fn parse(texts: [Option<&str>; 3]) -> Option<Self> {
        let [Some(poll_id), Some(page), Some(fetched_at)] = texts else { return None };
        Some(Self::new(Uuid::try_parse(poll_id).ok()?, page.parse().ok()?, fetched_at.parse().ok()?))
    }

    fn says(&self, texts: [Option<&str>; 3]) -> bool {
        self.texts.iter().zip(texts).all(|(text, said)| said == Some(text))
    }
}

/// All headers of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    pub origin: Option<Arc<Origin>>,
    pub raw_partition: Option<i32>,
    pub raw_offset: Option<i64>,
    pub reason: Option<Box<str>>,
    pub field: Option<Box<str>>,
    pub detail: Option<Box<str>>,
    /// SHA-256 of the dead letter whose replay this record is.
    pub replay_of: Option<[u8; 32]>,
}

impl HeaderList {
    /// Reads the headers of a record; what is missing or unreadable is left out, for a record may come from
    /// elsewhere. `previous` is the origin of the record before, shared when it is the same.
    ///
    /// Returns none where they cannot be read at all: rdkafka panics on a name that is not UTF-8, and whoever
    /// may write to a topic may write such a one. It must not end the thread, at every attempt anew.
    pub fn read(headers: &BorrowedHeaders, previous: Option<&Arc<Origin>>) -> Option<Self> {
        std::panic::catch_unwind(AssertUnwindSafe(|| Self::parse(headers, previous))).ok()
    }

    fn parse(headers: &BorrowedHeaders, previous: Option<&Arc<Origin>>) -> Self {
        let mut list = Self::default();
        let mut origin = [None; 3];
        for header in headers.iter() {
            let Some(text) = header.value.and_then(|value| std::str::from_utf8(value).ok()) else { continue };
            if let Some(index) = Origin::NAMES.iter().position(|name| *name == header.key) {
                origin[index] = Some(text);
                continue;
            }
            match header.key {
                RAW_PARTITION => list.raw_partition = text.parse().ok(),
                RAW_OFFSET => list.raw_offset = text.parse().ok(),
                REASON => list.reason = Some(text.into()),
                FIELD => list.field = Some(text.into()),
                DETAIL => list.detail = Some(text.into()),
                REPLAY_OF => list.replay_of = from_hex(text),
                _ => {}
            }
        }
        list.origin = match previous {
            Some(previous) if previous.says(origin) => Some(previous.clone()),
            _ => Origin::parse(origin).map(Arc::new),
        };
        list
    }

    /// Renders the headers for a record to produce.
    pub fn to_kafka(&self) -> OwnedHeaders {
        self.fold(OwnedHeaders::new_with_capacity(8), |headers, name, text| {
            headers.insert(Header { key: name, value: Some(text) })
        })
    }

    /// Renders the headers as the JSON object that a dead letter keeps.
    pub fn to_json(&self) -> Value {
        Value::Object(self.fold(Map::new(), |mut object, name, text| {
            object.insert(name.to_owned(), Value::String(text.to_owned()));
            object
        }))
    }

    /// Adds each header, by name and text, to what there is so far.
    fn fold<T>(&self, mut so_far: T, add: impl Fn(T, &'static str, &str) -> T) -> T {
        if let Some(origin) = &self.origin {
            for (name, text) in Origin::NAMES.into_iter().zip(&origin.texts) {
                so_far = add(so_far, name, text);
            }
        }
        if let Some(partition) = self.raw_partition {
            so_far = add(so_far, RAW_PARTITION, &partition.to_string());
        }
        if let Some(offset) = self.raw_offset {
            so_far = add(so_far, RAW_OFFSET, &offset.to_string());
            if self.reason.is_none() {
                so_far = add(so_far, SCHEMA, SCHEMA_VERSION);
            }
        }
        for (name, text) in [(REASON, &self.reason), (FIELD, &self.field), (DETAIL, &self.detail)] {
            if let Some(text) = text {
                so_far = add(so_far, name, text);
            }
        }
        match &self.replay_of {
            Some(sha) => add(so_far, REPLAY_OF, &to_hex(sha)),
            None => so_far,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_written() {
        let fetched_at: Timestamp = "2026-04-13T01:40:00.125Z".parse().unwrap();
        let list = HeaderList {
            origin: Some(Arc::new(Origin::new(Uuid::from_u128(7), 3, fetched_at))),
            raw_partition: Some(4),
            raw_offset: Some(99),
            reason: Some("bad_created_date".into()),
            field: Some("created_date".into()),
            detail: Some("not a time".into()),
            replay_of: Some([0xab; 32]),
        };
        let written = list.to_kafka();
        assert_eq!(HeaderList::read(written.as_borrowed(), None), Some(list.clone()));
        assert_eq!(list.to_json()["nyc311-fetched-at"], "2026-04-13T01:40:00.125Z");
    }

    #[test]
    fn unreadable_headers_are_left_out() {
        let headers = OwnedHeaders::new()
            .insert(Header { key: POLL_ID, value: Some("nonsense") })
            .insert(Header { key: RAW_OFFSET, value: Some("x") });
        assert_eq!(HeaderList::read(headers.as_borrowed(), None), Some(HeaderList::default()));
        assert_eq!(from_hex("zz"), None);
    }

    #[test]
    fn a_header_whose_name_is_not_text_spoils_the_headers_and_nothing_else() {
        use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_resp_err_t};
        let headers = OwnedHeaders::new().insert(Header { key: PAGE, value: Some("3") });
        let (name, value) = (b"\xff\xfe", b"1");
        let list = std::ptr::from_ref(headers.as_borrowed()).cast_mut().cast();
        // The crate writes no such name. The list is alive, and librdkafka copies both texts.
        #[allow(unsafe_code)]
        let added = unsafe { rd_kafka_header_add(list, name.as_ptr().cast(), 2, value.as_ptr().cast(), 1) };
        assert_eq!(added, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
        assert_eq!(HeaderList::read(headers.as_borrowed(), None), None);
    }
}
