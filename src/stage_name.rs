//! The stages of the pipeline, by the names that they have everywhere.

use crate::words::words;

words! {
    /// The stages of the pipeline, as they are called everywhere, from the source to the database.
    StageName {
        Control = "control",
        Poller = "poller",
        RawPublisher = "raw_publisher",
        RawConsumer = "raw_consumer",
        Enricher = "enricher",
        EnrichedPublisher = "enriched_publisher",
        EnrichedConsumer = "enriched_consumer",
        Aggregator = "aggregator",
        Writer = "writer",
    }
}
