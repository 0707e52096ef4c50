//! A page of the source made ready for Kafka: each row with its partition, and where the walk goes on.

use std::sync::Arc;

use jiff::Timestamp;
use nyc311_domain::{RawHead, peek};

use super::{Halt, failed};
use crate::{
    actors::environment::Environment,
    messages::RawRow,
    socrata::{Cursor, Page, PageRequest},
};

/// A page with what was found in its rows.
pub(super) struct Prepared {
    pub(super) rows: Arc<[RawRow]>,
    pub(super) last: Option<Cursor>,
    pub(super) newest_updated_at: Option<Timestamp>,
    pub(super) newest_created_at: Option<Timestamp>,
    pub(super) answered_at: Timestamp,
    pub(super) out_of_date: bool,
    pub(super) columns: Option<String>,
    pub(super) is_last: bool,
}

impl Prepared {
    pub(super) fn new(page: Page, request: &PageRequest, environment: &Environment) -> Result<Self, Halt> {
        let mut rows = Vec::with_capacity(page.len());
        let (mut last, mut newest_updated_at, mut newest_created_at) = (None, None, None);
        for value in page.rows() {
            let head = peek(&value);
            newest_updated_at = newest_updated_at.max(head.updated_at);
            newest_created_at = newest_created_at.max(head.created_at);
            // Only a row with all three can be resumed from; one without is published all the same.
            if let RawHead {
                unique_key: Some(_), updated_at: Some(updated_at), row_id: Some(row_id), ..
            } = &head
            {
                last = Some(Cursor { updated_at: *updated_at, row_id: row_id.clone().into_owned() });
            }
            let (partition, borough) = (environment.partition_map.partition(&head, &value), head.borough);
            drop(head);
            rows.push(RawRow { value, borough, partition });
        }
        let is_last = rows.len() < request.limit;
        if !is_last {
            // Ids are never compared for order: only a cursor that did not move at all tells of a page that repeats.
            let stuck = match (&last, &request.after) {
                (None, _) => Some("no row of a full page has :updated_at, :id and unique_key"),
                (Some(last), Some(after)) if last == after => Some("the page ends where it began"),
                (Some(last), Some(after)) if last.updated_at < after.updated_at => {
                    Some("the page ends before the row that it should follow")
                }
                _ => None,
            };
            if let Some(stuck) = stuck {
                return Err(failed("page_does_not_advance", format!("{stuck}; after {:?}", request.after)));
            }
        }
        Ok(Self {
            rows: rows.into(),
            last,
            newest_updated_at,
            newest_created_at,
            // A server without a clock of its own is read by ours; the lag is taken off either.
            answered_at: page.head.answered_at.unwrap_or_else(Timestamp::now),
            out_of_date: page.head.out_of_date,
            columns: page.head.fields,
            is_last,
        })
    }
}
