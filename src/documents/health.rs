//! What a process says that can answer at all.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::words::words;

words! {
    /// Whether the process can answer; one that cannot says nothing.
    Health { Ok = "ok" }
}

/// The process can answer; that says nothing of what it depends on
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Health)]
pub struct HealthDocument {
    #[schema(inline)]
    pub status: Health,
}
