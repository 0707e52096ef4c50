//! The rules of time: gap, repeated hour, placeholders, and the order of events.

use jiff::Timestamp;
use nyc311_json::Value;

use super::enrichment::{Enrichment, as_stated, excerpt};
use crate::quality::QualityFlags;
use crate::reading::Reading;
use crate::rejection::Rejection;
use crate::row::Field;
use crate::time::{self, Moment};

/// The times of a request.
pub(super) struct Times {
    pub(super) created_at: Timestamp,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) due_at: Option<Timestamp>,
    pub(super) resolution_updated_at: Option<Timestamp>,
}

impl Enrichment<'_> {
    pub(super) fn created(&mut self, unique_key: i64) -> Result<Reading, Rejection> {
        let field = Field::CreatedDate;
        let reject = |reason, detail| {
            Err(Rejection { reason, field: Some(field.name()), detail, unique_key: Some(unique_key) })
        };
        let stated = match self.row.get(field) {
            Value::Null => {
                return reject(Rejection::MISSING_CREATED_DATE, "the row has no created date".to_owned());
            }
            value => as_stated(value),
        };
        match Reading::of(&stated) {
            Some(reading) => Ok(reading),
            None => reject(Rejection::BAD_CREATED_DATE, format!("not a date: {}", excerpt(&stated))),
        }
    }

    /// Puts the times in order: gap, repeated hour, placeholders, and what cannot have been.
    pub(super) fn times(&mut self, created: Reading, published: Option<Timestamp>) -> Times {
        use QualityFlags as Flag;
        let closed = self.dated(Field::ClosedDate, Flag::CLOSED_PLACEHOLDER_EMPTIED);
        let resolution = self.dated(Field::ResolutionActionUpdatedDate, Flag::OTHER_PLACEHOLDER_EMPTIED);
        let due = self.dated(Field::DueDate, Flag::OTHER_PLACEHOLDER_EMPTIED);

        let (created_at, closed_at) = self.created_and_closed(created, closed, published);
        let resolution_updated_at = resolution.map(|reading| {
            self.moment(Field::ResolutionActionUpdatedDate, reading, Some(created_at), published)
        });
        let due_at = due.map(|reading| self.moment(Field::DueDate, reading, Some(created_at), None));

        let after_publication = |moment: Timestamp| published.is_some_and(|published| moment > published);
        self.flag_if(created.is_midnight(), Flag::CREATED_AT_MIDNIGHT);
        self.flag_if(created.is_noon(), Flag::CREATED_AT_NOON);
        if created.is_placeholder() {
            self.flags.insert(Flag::CREATED_PLACEHOLDER);
            self.keep_offset_of_placeholder(created_at);
        }
        self.flag_if(after_publication(created_at), Flag::CREATED_AFTER_PUBLICATION);
        if let Some((closed_at, closed)) = closed_at.zip(closed) {
            self.flag_if(closed.is_midnight(), Flag::CLOSED_AT_MIDNIGHT);
            self.flag_if(after_publication(closed_at), Flag::CLOSED_AFTER_PUBLICATION);
            self.flag_if(closed_at < created_at, Flag::CLOSED_BEFORE_CREATED);
            self.flag_if(closed_at == created_at, Flag::CLOSED_EQUALS_CREATED);
        }
        if let Some(resolution) = resolution_updated_at {
            self.flag_if(resolution < created_at, Flag::RESOLUTION_BEFORE_CREATED);
            self.flag_if(
                closed_at.is_some_and(|closed_at| resolution > closed_at),
                Flag::RESOLUTION_AFTER_CLOSED,
            );
            self.flag_if(after_publication(resolution), Flag::RESOLUTION_AFTER_PUBLICATION);
        }
        self.flag_if(due_at.is_some_and(|due_at| due_at < created_at), Flag::DUE_BEFORE_CREATED);
        Times { created_at, closed_at, due_at, resolution_updated_at }
    }

    /// Keeps what was said where a placeholder named an offset, and stands as if it had not.
    fn keep_offset_of_placeholder(&mut self, created_at: Timestamp) {
        let Some(stated) = self.plain(Field::CreatedDate) else { return };
        if time::parse_instant(stated.trim()).is_some_and(|moment| moment != created_at) {
            self.keep_stated(Field::CreatedDate, &stated);
        }
    }

    /// Reads a date; a placeholder and what is no date become empty.
    fn dated(&mut self, field: Field, placeholder: QualityFlags) -> Option<Reading> {
        let stated = self.said(field)?;
        let Some(reading) = Reading::of(&stated) else {
            self.flags.insert(QualityFlags::VALUE_UNREADABLE);
            self.keep_stated(field, &stated);
            return None;
        };
        if reading.is_placeholder() {
            self.flags.insert(placeholder);
            self.keep_stated(field, &stated);
            return None;
        }
        Some(reading)
    }

    /// Decides both ends of a request together, since each may say which of two hours the other was.
    fn created_and_closed(
        &mut self,
        created: Reading,
        closed: Option<Reading>,
        published: Option<Timestamp>,
    ) -> (Timestamp, Option<Timestamp>) {
        // Both in the repeated hour, and closed by an earlier reading of the clock: the clock went back in
        // between.
        if let (Moment::Twice { first: created_at, .. }, Some(Moment::Twice { first, second: closed_at })) =
            (created.moment, closed.map(|closed| closed.moment))
            && first < created_at
        {
            self.flags.insert(QualityFlags::REPEATED_HOUR_RESOLVED);
            return (created_at, Some(closed_at));
        }
        let latest = closed.map(|closed| match closed.moment {
            Moment::Once(moment) | Moment::InGap(moment) | Moment::Twice { second: moment, .. } => moment,
        });
        // A request that is closed before either of the two hours says nothing about them.
        let created_at = self.moment(Field::CreatedDate, created, None, latest.or(published));
        let closed_at =
            closed.map(|closed| self.moment(Field::ClosedDate, closed, Some(created_at), published));
        (created_at, closed_at)
    }

    /// Decides which moment a reading was, within what is known: not before `earliest`, not after `latest`.
    fn moment(
        &mut self,
        field: Field,
        reading: Reading,
        earliest: Option<Timestamp>,
        latest: Option<Timestamp>,
    ) -> Timestamp {
        match reading.moment {
            Moment::Once(moment) => moment,
            Moment::InGap(moment) => {
                self.flags.insert(QualityFlags::TIME_IN_DST_GAP);
                if let Some(stated) = self.plain(field) {
                    self.keep_stated(field, &stated);
                }
                moment
            }
            Moment::Twice { first, second } => {
                let fits = |moment: Timestamp| {
                    earliest.is_none_or(|earliest| earliest <= moment)
                        && latest.is_none_or(|latest| moment <= latest)
                };
                match (fits(first), fits(second)) {
                    (true, false) => {
                        self.flags.insert(QualityFlags::REPEATED_HOUR_RESOLVED);
                        first
                    }
                    (false, true) => {
                        self.flags.insert(QualityFlags::REPEATED_HOUR_RESOLVED);
                        second
                    }
                    _ => {
                        self.flags.insert(QualityFlags::REPEATED_HOUR_AMBIGUOUS);
                        first
                    }
                }
            }
        }
    }
}
