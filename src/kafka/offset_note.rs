//! What stands beside a committed raw offset: the log that the offset speaks of.
//!
//! Kafka forgets the offsets of a deleted topic a moment after the topic, and keeps them when a log is set
//! back to an older copy. An offset that names its log cannot be taken for a place in another one.

use std::fmt;

use super::record::Mark;
use super::topic_ids::TopicId;

/// The log of an offset: the topic's id, and the last record before the offset. Either may be unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetNote {
    pub topic_id: Option<TopicId>,
    pub last: Option<Mark>,
}

impl fmt::Display for OffsetNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nyc311")?;
        if let Some(id) = &self.topic_id {
            write!(f, " topic_id={id}")?;
        }
        match self.last {
            Some(Mark { offset, appended_at_ms }) => write!(f, " last={offset}@{appended_at_ms}"),
            None => Ok(()),
        }
    }
}

impl OffsetNote {
    /// Reads a note; whatever somebody else has written says nothing.
    pub fn read(text: &str) -> Self {
        let mut note = Self::default();
        let Some(words) = text.strip_prefix("nyc311") else { return note };
        for word in words.split(' ') {
            if let Some(id) = word.strip_prefix("topic_id=") {
                note.topic_id = Some(id.into());
            } else if let Some((offset, appended_at)) =
                word.strip_prefix("last=").and_then(|last| last.split_once('@'))
                && let (Ok(offset), Ok(appended_at_ms)) = (offset.parse(), appended_at.parse())
            {
                note.last = Some(Mark { offset, appended_at_ms });
            }
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_foreign_text_says_nothing() {
        let last = Some(Mark { offset: 41, appended_at_ms: 1_764_000_000_000 });
        let topic_id = Some(TopicId::from("AAECAwQFBgcICQoLDA0ODw"));
        for note in [
            OffsetNote { topic_id: topic_id.clone(), last },
            OffsetNote { topic_id, last: None },
            OffsetNote { topic_id: None, last },
            OffsetNote::default(),
        ] {
            assert_eq!(OffsetNote::read(&note.to_string()), note);
        }
        for text in ["", "topic_id=x", "nyc311 last=", "nyc311 last=x@y", "{\"last\": 1}"] {
            assert_eq!(OffsetNote::read(text), OffsetNote::default(), "{text}");
        }
    }
}
