//! What the stages say to each other: one small file per hand-over.
//!
//! Every message that carries data is a batch, and is answered when the work is done: awaiting the answer is
//! the back-pressure. An answer of an error means that the batch had no durable effect or one that will be
//! repeated harmlessly; its sender drops what it has in flight for the partition and reads again from the
//! durable position.

mod batch_error;
mod enriched_batch;
mod publish_enriched;
mod raw_batch;
mod raw_page;
mod trigger_poll;
mod write_batch;

pub use self::batch_error::BatchError;
pub use self::enriched_batch::EnrichedBatch;
pub use self::publish_enriched::{OpenPartition, OpenedPartition, PublishEnriched};
pub use self::raw_batch::RawBatch;
pub use self::raw_page::RawPage;
pub use self::trigger_poll::TriggerPoll;
pub use self::write_batch::WriteMerged;
