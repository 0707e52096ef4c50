//! What the stages say to each other: one small file per hand-over.
//!
//! Every message that carries data is a batch, and is answered when the work is done: awaiting the answer is the
//! back-pressure. An answer of an error means that the batch had no durable effect or one that will be repeated
//! harmlessly; its sender drops what it has in flight for the partition and reads again from the durable position.

mod batch_error;
mod enriched_batch;
mod publish_enriched;
mod raw_batch;
mod raw_page;
mod trigger_poll;
mod write_batch;

pub use batch_error::BatchError;
pub use enriched_batch::EnrichedBatch;
pub use publish_enriched::{OpenPartition, OpenedPartition, PublishEnriched};
pub use raw_batch::RawBatch;
pub use raw_page::RawPage;
pub use trigger_poll::TriggerPoll;
pub use write_batch::WriteMerged;
