-- A topic that is deleted and created again keeps its name and begins anew; a Kafka that is set back to an older copy keeps even the
-- id of its topics. So whatever speaks of an offset says of which log, and what the last record before it was.

alter table nyc311.consumer_position
    -- Kafka's own id of the topic; null where the broker has none, or nobody has opened the partition since
    add column topic_id             text,
    -- the last record before next_offset that was written: Kafka's clock at the time tells whether it is still the same one
    add column last_offset          bigint,
    add column last_appended_at_ms  bigint;

alter table nyc311.source_position
    -- the log that acknowledged `published`
    add column raw_topic_id text;

alter table nyc311.poll
    -- what had arrived when the poll began to read the source from its beginning: none of that counts for what it fetches since
    add column arrived_before  bigint not null default 0,
    -- how often the poll went back to the source because fewer rows had arrived than it had fetched
    add column setbacks        integer not null default 0;

alter table nyc311.poll_partition
    -- the log that raw_end_offset speaks of
    add column raw_topic_id text;

-- What this program knows of the raw log, by partition. Kafka itself keeps how far it was enriched, as the committed offset of a group.
create table nyc311.raw_position (
    kafka_cluster_id       text not null,
    topic                  text not null,
    kafka_partition        integer not null,
    topic_id               text,
    -- the end of what Kafka has acknowledged, and when it appended the last record before it: a log that is shorter, or has another
    -- record there, has lost some
    acknowledged_end       bigint,
    acknowledged_at_ms     bigint,
    -- where enriching starts while the group has committed nothing, or still what is known to be worthless
    start_offset           bigint not null default 0,
    superseded_commit      text,
    updated_at             timestamptz not null,
    primary key (kafka_cluster_id, topic, kafka_partition)
);
