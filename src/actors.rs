//! The stages of the pipeline, one actor each, and [`pipeline`], which declares who supervises whom.

mod aggregator;
mod cluster;
mod control;
mod dependencies;
mod drain;
mod enriched_consumer;
mod enriched_publisher;
mod enricher;
mod environment;
mod instance;
mod kafka_loss;
mod partition_reader;
pub mod pipeline;
mod poll_run;
mod poller;
mod raw_consumer;
mod raw_publisher;
mod reconciler;
mod reconciliation_run;
mod writer;
