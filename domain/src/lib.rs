//! The knowledge of New York's 311 service requests as pure rules: what a row means, what is wrong with it,
//! and what may be done about it.
//!
//! The crate does no I/O and looks at no clock, so that the same bytes give the same request wherever and
//! whenever it runs.
//!
//! - [`enrich()`] turns a raw row into a [`ServiceRequest`]; the module `enrich` is the list of rules in
//!   their order.
//! - [`peek`] takes the light look at a raw row that the poller and the partition map need.
//! - [`ServiceRequest::write_json`] and [`ServiceRequest::from_json`] are the value of an `nyc311.enriched`
//!   record, [`identity`] tells its version.
//! - [`quality`] lists every repair and doubt, [`TermKind`] tells which words of the source the rules know.
//! - [`geography`] finds what a point lies in, [`category`] and [`agency`] are the tables of complaint types
//!   and agencies.

pub mod agency;
mod borough;
pub mod category;
mod enrich;
pub mod geography;
mod json;
pub mod place;
pub mod quality;
mod reading;
mod rejection;
mod row;
mod service_request;
mod state;
pub mod time;
mod version;
mod vocabulary;
pub mod words;

pub use self::borough::Borough;
pub use self::enrich::{Implied, enrich};
pub use self::json::Json;
pub use self::quality::QualityFlags;
pub use self::rejection::Rejection;
pub use self::row::{RawHead, is_system_field, known_fields, peek};
pub use self::service_request::{EnrichedError, ServiceRequest, identity};
pub use self::state::State;
pub use self::version::{CONTENT, Identity, RULES_REVISION};
pub use self::vocabulary::TermKind;
