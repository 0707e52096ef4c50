//! nyc311: New York's 311 service requests, from the Socrata API through Kafka to PostgreSQL, exactly once.
//!
//! ```text
//! Airflow, cron, a person ── POST /v1/polls ──► control
//!                                                 │ TriggerPoll
//! the source's API ── pages ──► poller ◄──────────┘
//!                                 │ RawPage
//!                               raw_publisher ═══► nyc311.raw ═══► raw_consumer
//!                                                                    │ RawBatch, by borough
//!                                                                  enricher × 5
//!                                                                    │ PublishEnriched
//!                      nyc311.enriched, nyc311.dead_letter ◄═══ enriched_publisher
//!                                 ║
//!                               enriched_consumer ──► aggregator ──► writer ──► PostgreSQL
//!                                          EnrichedBatch     WriteMerged
//! ```
//!
//! A double line is Kafka, a single one between stages a message of [`messages`]. Each stage is an actor on a
//! thread of its own ([`actors`]), under a supervisor that builds it again when it fails ([`supervision`]).
//!
//! # The delivery argument
//!
//! What the program promises stands in `docs/delivery.md`: what is durable in which order, what repeats after
//! a crash at each point, and which test proves it. The code that carries a step of it says so before its
//! first line:
//!
//! | step | module |
//! |---|---|
//! | a page is in Kafka before the cursor moves; a poll succeeds when its rows are stored | `actors::poll_run` |
//! | derived records and the raw offset are one Kafka transaction | [`kafka::transactional`] |
//! | facts, history, rollups and the position are one PostgreSQL transaction | `store::write` |
//! | a partition is read from its durable position, and opened anew after any failure | `actors::partition_reader` |
//! | a Kafka that has lost what it acknowledged is noticed, and the source asked again | `actors::kafka_loss`, `store::logs` |
//! | what differs from the source is found, polled again or marked as gone | `actors::reconciliation_run` |
//! | one process runs a poll, one process has a name | `store::polls`, `store::instances` |
//!
//! What decides about a row is in the crate `nyc311-domain`, which knows no clock, no I/O and no runtime.

pub mod actors;
mod causes;
pub mod cli;
pub mod config;
pub mod documents;
pub mod error_policy;
mod exit_code;
pub mod faults;
pub mod hex;
pub mod http;
pub mod kafka;
pub mod messages;
pub mod poll;
pub mod reconciliation;
pub mod retry;
mod screen;
pub mod socrata;
pub mod stage_name;
pub mod store;
pub mod supervision;
pub mod telemetry;
mod timestamp;
mod tls;
mod version;
mod words;
