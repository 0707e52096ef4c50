//! What the database knows of the logs, held against what a look has found of them.

use std::collections::BTreeSet;

use super::found::FoundLogs;
use crate::store::StoreError;

/// The logs that positions and cursors speak of.
pub(super) struct Known {
    /// The Kafka that acknowledged what is published.
    published_cluster: Option<String>,
    positions_here: bool,
    positions_elsewhere: bool,
    /// Topics of this cluster with the ids that are stored for them.
    ids: BTreeSet<(String, String)>,
    /// Something speaks of a log that has an id, and does not say which.
    pub(super) is_nameless: bool,
}

/// What is gone, and why.
pub(super) struct Lost<'a> {
    pub(super) detail: Option<String>,
    pub(super) topics: BTreeSet<&'a str>,
}

impl Known {
    pub(super) async fn read(
        client: &impl deadpool_postgres::GenericClient,
        found: &FoundLogs<'_>,
    ) -> Result<Self, StoreError> {
        let derived: Vec<&str> = found.derived.iter().map(|log| log.topic.as_str()).collect();
        let rows = client
            .query(
                "select 'cursor', kafka_cluster_id, $2::text, raw_topic_id
                 from nyc311.source_position where source = $1
                 union select 'position', kafka_cluster_id, topic, topic_id from nyc311.consumer_position
                 union select 'raw', kafka_cluster_id, topic, topic_id from nyc311.raw_position
                 union select 'poll', $3, $2, n.raw_topic_id
                 from nyc311.poll p join nyc311.poll_partition n using (poll_id)
                 where p.state in ('running', 'storing') and n.raw_end_offset is not null",
                &[&found.source, &found.raw.topic, &found.cluster_id],
            )
            .await?;
        let mut known = Self {
            published_cluster: None,
            positions_here: false,
            positions_elsewhere: false,
            ids: BTreeSet::new(),
            is_nameless: false,
        };
        for row in &rows {
            let (of, cluster_id): (&str, Option<String>) = (row.get(0), row.get(1));
            let (topic, id): (String, Option<String>) = (row.get(2), row.get(3));
            let here = cluster_id.as_deref() == Some(found.cluster_id);
            match of {
                "cursor" => known.published_cluster = cluster_id,
                "position" => {
                    known.positions_here |= here && derived.contains(&topic.as_str());
                    known.positions_elsewhere |= !here;
                }
                _ => {}
            }
            if !here {
                continue;
            }
            match id {
                Some(id) => drop(known.ids.insert((topic, id))),
                None => {
                    let mut logs = found.derived.iter().chain([&found.raw]);
                    known.is_nameless |=
                        of != "poll" && logs.any(|log| log.topic == topic && log.id.is_some());
                }
            }
        }
        Ok(known)
    }

    pub(super) fn lost<'a>(&self, found: &'a FoundLogs<'_>) -> Lost<'a> {
        let mut lost = Lost { detail: None, topics: BTreeSet::new() };
        let elsewhere = self.published_cluster.as_deref().is_some_and(|id| id != found.cluster_id);
        if elsewhere || self.positions_elsewhere && !self.positions_here {
            lost.detail = Some("kafka is another cluster".to_owned());
        }
        for log in found.derived.iter().chain([&found.raw]) {
            let another = log
                .id
                .as_ref()
                .is_some_and(|id| self.ids.iter().any(|(topic, stored)| *topic == log.topic && stored != id));
            if log.is_new || another {
                let what = if log.is_new { "was missing" } else { "was deleted and created again" };
                lost.detail.get_or_insert_with(|| format!("topic {} {what}", log.topic));
                lost.topics.insert(&log.topic);
            }
        }
        lost
    }
}
