//! What the rows take up: in the logs of the broker, and in the tables with their indexes.

use std::path::Path;

use nyc311_testkit::{Service, each_record, topics};

use crate::environment::Environment;

/// A topic or a table, and what it takes up.
pub struct Space {
    pub kind: &'static str,
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
}

/// Measures all topics and tables that hold something.
pub async fn measure(service: &Service, environment: &Environment) -> Vec<Space> {
    let mut found = Vec::new();
    let names = ["nyc311.raw", "nyc311.enriched", "nyc311.dead_letter"];
    for (name, topic) in names.iter().zip(topics::names(&service.settings.kafka)) {
        let mut rows = 0;
        each_record(&service.settings.kafka, topic, |_| rows += 1);
        let bytes = log_bytes(&environment.kafka_data, topic);
        found.push(Space { kind: "topic", name: (*name).to_owned(), rows, bytes });
    }
    // What autovacuum has not come to yet would be missing from the maps that a table has beside its rows.
    service.database.execute("vacuum analyze").await;
    let tables = service
        .database
        .json(
            "select table_name as name, pg_total_relation_size(format('nyc311.%I', table_name)) as bytes
             from information_schema.tables
             where table_schema = 'nyc311' and table_type = 'BASE TABLE' order by 2 desc, 1",
        )
        .await;
    for table in tables.as_array().unwrap() {
        let name = table["name"].as_str().unwrap().to_owned();
        let rows = service.database.count(&name).await.unsigned_abs();
        found.push(Space { kind: "table", name, rows, bytes: table["bytes"].as_u64().unwrap() });
    }
    found.retain(|space| space.rows > 0);
    found
}

/// Adds up the segments of a topic's partitions.
fn log_bytes(kafka_data: &Path, topic: &str) -> u64 {
    let partitions = std::fs::read_dir(kafka_data).unwrap().map(Result::unwrap).filter(|entry| {
        let name = entry.file_name().into_string().unwrap_or_default();
        let partition = name.strip_prefix(topic).and_then(|rest| rest.strip_prefix('-'));
        partition.is_some_and(|partition| partition.parse::<u32>().is_ok())
    });
    let files = partitions.flat_map(|entry| std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap));
    let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
    segments.map(|file| file.metadata().unwrap().len()).sum()
}
