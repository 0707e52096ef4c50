//! Settings of the writer.

use std::time::Duration;

use super::form::{Count, Size, Span};
use super::section::settings;
use super::unit::{MIB, millis, minutes};

settings! {
    /// The size of one write transaction.
    WriteSettings "write" {
        max_rows: usize = 10_000, Count(1..=20_000),
            "Rows in one write transaction at most.",
            "5,000 to 20,000 cost the same per row; more only adds memory and lock time.";
        max_bytes: usize = 16 * MIB, Size(MIB..=256 * MIB),
            "Bytes in one write transaction at most.",
            "Batches in flight are held in memory; one must hold the largest record \
             (kafka.raw_max_record_bytes).";
        max_age: Duration = millis(20), Span(millis(1)..=minutes(1)),
            "How long a row waits for others before it is written, while no transaction runs; what comes during one \
             is written right behind it.",
            "Above a minute polls would wait for their own last rows.";
    }
}
