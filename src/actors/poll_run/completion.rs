//! The end of a run: from the last page until the poll's rows are in PostgreSQL, by positions alone.

use std::time::Duration;

use super::{Halt, PollRun};
use crate::actors::raw_consumer::{enricher_group, note_loss};

impl PollRun<'_> {
    pub(super) async fn wait_until_stored(&self) -> Result<(), Halt> {
        let environment = self.environment;
        let settings = &environment.settings;
        let raw = &settings.kafka.raw_topic;
        let raw_ends = environment.store.raw_ends(self.poll.id).await?;
        let logs = environment.admin.log_ends(raw, raw_ends.iter().map(|(partition, _)| *partition)).await?;
        for ((partition, end), log) in raw_ends.iter().zip(&logs) {
            if log.high < *end {
                note_loss(environment, raw, *partition, *end, *log).await?;
                return Err(Halt::LeaseLost);
            }
        }
        let group = enricher_group(settings);
        for (partition, end) in &raw_ends {
            let mut pause = Pause::new();
            loop {
                self.stopping()?;
                // Withheld while a transaction with this partition's offset is open: ask again.
                let committed =
                    environment.admin.committed(&group, raw, &[*partition], Duration::from_secs(2)).await;
                let committed = committed.ok().and_then(|offsets| offsets.first().copied().flatten());
                // A log that never held a record has no committed offset either.
                if committed.unwrap_or(0) >= *end {
                    break;
                }
                pause.wait().await;
            }
        }
        let partitions = environment.partition_map.partitions();
        for topic in [&settings.kafka.enriched_topic, &settings.kafka.dead_letter_topic] {
            let ends = environment.admin.log_ends(topic, 0..partitions).await?;
            let mut pause = Pause::new();
            loop {
                self.stopping()?;
                let positions = environment.store.positions(&self.cluster.id, &[topic.as_str()]).await?;
                let reached = (0..partitions).zip(&ends).all(|(partition, end)| {
                    let position = positions.iter().find(|row| row.partition == partition);
                    position.map_or(end.low, |row| row.next_offset) >= end.high
                });
                if reached {
                    break;
                }
                pause.wait().await;
            }
        }
        Ok(())
    }
}

/// Grows from a quick look to an unhurried one: most polls end within a moment after their last page.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(Duration::from_millis(10))
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_millis(250));
    }
}
