//! What an answer about offsets says of one partition.

use rdkafka::Offset;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use super::assumption::BrokenAssumption;
use super::error::KafkaError;

/// Finds what an answer says of a partition, which may be why there is none.
pub(super) fn answer_for<'a>(
    answer: &'a TopicPartitionList,
    topic: &str,
    partition: i32,
) -> Result<TopicPartitionListElem<'a>, KafkaError> {
    let missing = || BrokenAssumption::MissingInAnswer { topic: topic.to_owned(), partition };
    let found = answer.find_partition(topic, partition).ok_or_else(missing)?;
    found.error()?;
    Ok(found)
}

/// An offset that none of the answers to this question has.
pub(super) fn no_offset(topic: &str, partition: i32, offset: Offset) -> BrokenAssumption {
    BrokenAssumption::NoOffsetInAnswer { topic: topic.to_owned(), partition, offset: format!("{offset:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_an_answer_does_not_speak_of_is_a_failure_and_not_an_unknown_position() {
        let mut answer = TopicPartitionList::new();
        answer.add_partition("t", 0);
        assert_eq!(answer_for(&answer, "t", 0).unwrap().offset(), Offset::Invalid);
        for (topic, partition) in [("t", 1), ("other", 0)] {
            let failure = answer_for(&answer, topic, partition).map(|_| ()).unwrap_err();
            assert!(
                failure.to_string().starts_with(&format!("{topic}/{partition}: the answer")),
                "{failure}"
            );
        }
    }
}
