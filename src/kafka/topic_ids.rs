//! Names a log beyond doubt: the id that Kafka gives a topic when it is created.
//!
//! A topic that was deleted and created again has its old name, and its offsets begin anew: what was
//! remembered of the old log passes for a place in the new one. Only the id (Kafka 2.8 and later) tells them
//! apart. rdkafka does not wrap the call that tells it, so this module talks to librdkafka itself.
//!
//! # Why the unsafe code is sound
//!
//! - Each object that librdkafka hands out is owned by an [`Owned`], which gives it back exactly once, also
//!   on the way out of an error. They are declared in the order queue, options, collection, event, so they
//!   are given back in the reverse order, all of them before the caller's client, which is borrowed for the
//!   whole call.
//! - What is read of an event (topics, ids, texts) is copied before the event is given back.
//! - The wait for the answer has an end: the queue is this call's own and is polled once, for a little longer
//!   than the request may take. An answer that comes after that goes to a queue that is gone, where
//!   librdkafka drops it.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_DescribeTopics, rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name,
    rd_kafka_TopicDescription_partitions, rd_kafka_TopicDescription_t, rd_kafka_TopicDescription_topic_id,
    rd_kafka_Uuid_base64str, rd_kafka_Uuid_least_significant_bits, rd_kafka_Uuid_most_significant_bits,
    rd_kafka_admin_op_t, rd_kafka_error_code, rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy,
    rd_kafka_event_error, rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use super::client::milliseconds;
use super::error::KafkaError;

/// The id of a topic, as Kafka's own tools write it.
pub type TopicId = Arc<str>;

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTopic {
    /// None where the broker gives topics no id.
    pub id: Option<TopicId>,
    pub partitions: i32,
}

/// How much longer the wait is than the request may take, so that librdkafka's own timeout comes first and
/// says why.
const GRACE: Duration = Duration::from_millis(500);

/// An object of librdkafka's, given back when dropped.
struct Owned<T> {
    object: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(object: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Result<Self, KafkaError> {
        let object = NonNull::new(object)
            .ok_or_else(|| KafkaError::other("librdkafka has no memory for a request"))?;
        Ok(Self { object, give_back })
    }

    fn ptr(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the constructor that `give_back` belongs to, and nothing else gives
        // it back.
        unsafe { (self.give_back)(self.object.as_ptr()) }
    }
}

/// Asks the brokers for these topics and blocks for `patience` at most; topics that do not exist are not in
/// the answer.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    names: &[String],
    patience: Duration,
) -> Result<HashMap<String, DescribedTopic>, KafkaError> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let names = names.iter().map(|name| {
        CString::new(name.as_str()).map_err(|_| {
            KafkaError::mismatch(format!("topic {name:?} has a NUL in its name: name another topic"))
        })
    });
    let names: Vec<CString> = names.collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = client.native_ptr();

    // SAFETY: the client lives for the whole call, since it is borrowed.
    let queue = Owned::new(unsafe { rd_kafka_queue_new(client) }, rd_kafka_queue_destroy)?;
    let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: as above.
    let options =
        Owned::new(unsafe { rd_kafka_AdminOptions_new(client, operation) }, rd_kafka_AdminOptions_destroy)?;
    // SAFETY: no text of an error is asked for: a buffer of no length may be null.
    let outcome = unsafe {
        rd_kafka_AdminOptions_set_request_timeout(
            options.ptr(),
            milliseconds(patience),
            std::ptr::null_mut(),
            0,
        )
    };
    ok(RDKafkaErrorCode::from(outcome))?;
    // SAFETY: librdkafka copies the names, which live until the end of this function anyway.
    let collection =
        unsafe { rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let collection = Owned::new(collection, rd_kafka_TopicCollection_destroy)?;
    // SAFETY: all four are alive; librdkafka copies the collection and the options into its request.
    unsafe { rd_kafka_DescribeTopics(client, collection.ptr(), options.ptr(), queue.ptr()) };
    // SAFETY: the queue is alive.
    let event = unsafe { rd_kafka_queue_poll(queue.ptr(), milliseconds(patience + GRACE)) };
    let Ok(event) = Owned::new(event, rd_kafka_event_destroy) else {
        return Err(KafkaError::unavailable(format!("no answer about topics within {patience:?}")));
    };
    // SAFETY: the event is alive, and of the one kind that this queue can get.
    ok(RDKafkaErrorCode::from(unsafe { rd_kafka_event_error(event.ptr()) }))?;
    // SAFETY: as above; the result belongs to the event.
    let result = unsafe { rd_kafka_event_DescribeTopics_result(event.ptr()) };
    if result.is_null() {
        return Err(KafkaError::other("an answer about topics is of another kind"));
    }
    let mut count = 0;
    // SAFETY: the array and its topics belong to the event, which outlives their use.
    let topics = unsafe { rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    let mut found = HashMap::new();
    for index in 0..count {
        // SAFETY: `index` is below the number of topics in the array.
        let described = unsafe { read(*topics.add(index)) }?;
        found.extend(described);
    }
    Ok(found)
}

/// Copies what is wanted of one topic; none for one that does not exist.
///
/// # Safety
/// `topic` must point to a description whose event is alive.
unsafe fn read(
    topic: *const rd_kafka_TopicDescription_t,
) -> Result<Option<(String, DescribedTopic)>, KafkaError> {
    // SAFETY: the caller's promise covers every part of the description; a topic without an error has a null
    // one, which `rd_kafka_error_code` takes.
    unsafe {
        let code = RDKafkaErrorCode::from(rd_kafka_error_code(rd_kafka_TopicDescription_error(topic)));
        if code == RDKafkaErrorCode::UnknownTopicOrPartition {
            return Ok(None);
        }
        ok(code)?;
        let name = text(rd_kafka_TopicDescription_name(topic));
        let id = rd_kafka_TopicDescription_topic_id(topic);
        // Brokers before 2.8 give none, which librdkafka shows as zeros.
        let known = !id.is_null()
            && (rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id)) != (0, 0);
        let id = known.then(|| TopicId::from(text(rd_kafka_Uuid_base64str(id))));
        let mut partitions = 0;
        rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        Ok(Some((name, DescribedTopic { id, partitions: i32::try_from(partitions).unwrap_or(i32::MAX) })))
    }
}

/// Copies a text of librdkafka's.
///
/// # Safety
/// `text` must be null or point to a text that ends with NUL.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn ok(code: RDKafkaErrorCode) -> Result<(), KafkaError> {
    if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(ClientError::AdminOp(code).into()) }
}
