-- A poll is one walk over the source, asked for over HTTP, by the interval or by a command. Its
-- state outlives the process: whoever holds the lease runs it, and nobody else can write to it.
create table nyc311.poll (
    poll_id                   uuid primary key,
    state                     text not null default 'queued'
        constraint poll_state_known
        check (state in ('queued', 'running', 'storing', 'succeeded', 'failed', 'cancelled')),
    attempt                   integer not null default 1,
    trigger                   text not null
        constraint poll_trigger_known check (trigger in ('api', 'interval', 'cli', 'reconciliation')),
    idempotency_key           text constraint poll_idempotency_key unique,
    -- the body as it was parsed; another body under the same key is a conflict
    request                   jsonb not null,
    window_on                 text not null
        constraint poll_window_on_known check (window_on in ('updated_at', 'created_date')),
    window_since              timestamptz,
    window_until              timestamptz,
    -- where this poll goes on after a restart: the last row whose page Kafka has acknowledged
    cursor_updated_at         timestamptz,
    cursor_row_id             text,
    -- the cursor points at rows that Kafka has lost since: start again when the poll is resumed
    cursor_lost               boolean not null default false,
    newest_source_updated_at  timestamptz,
    newest_created_at         timestamptz,
    pages                     bigint not null default 0,
    fetched                   bigint not null default 0,
    published                 bigint not null default 0,
    -- these five are frozen when the poll ends; while it runs they are summed from poll_partition
    republished               bigint not null default 0,
    stored                    bigint not null default 0,
    duplicate                 bigint not null default 0,
    reenriched                bigint not null default 0,
    dead_lettered             bigint not null default 0,
    error_code                text,
    error_stage               text,
    error_detail              text,
    error_http_status         integer,
    error_retryable           boolean,
    created_at                timestamptz not null default now(),
    queued_at                 timestamptz not null default clock_timestamp(),
    started_at                timestamptz,
    storing_at                timestamptz,
    finished_at               timestamptz,
    cancel_requested_at       timestamptz,
    lease_owner               text,
    lease_token               uuid,
    lease_until               timestamptz
);

-- One poll runs at a time, across all processes: the code asks first, this makes it certain.
create unique index poll_one_active on nyc311.poll ((true)) where state in ('running', 'storing');
create index poll_queue on nyc311.poll (queued_at, poll_id) where state = 'queued';

-- What became of a poll's rows, by the raw partition that carried them. Written in the transaction
-- that writes the rows.
create table nyc311.poll_partition (
    poll_id          uuid not null references nyc311.poll on delete cascade,
    kafka_partition  integer not null,
    -- end of the poll's records in the raw topic; null until its last page is published
    raw_end_offset   bigint,
    stored           bigint not null default 0,
    duplicate        bigint not null default 0,
    reenriched       bigint not null default 0,
    dead_lettered    bigint not null default 0,
    primary key (poll_id, kafka_partition)
);

-- How far the source has been read, as the greatest :updated_at. `published`: acknowledged by Kafka;
-- `stored`: in these tables. A Kafka that loses what it acknowledged sets published back to stored.
create table nyc311.source_position (
    source                text primary key,
    published_updated_at  timestamptz,
    stored_updated_at     timestamptz,
    -- the Kafka that acknowledged `published`
    kafka_cluster_id      text,
    poll_id               uuid,
    moved_at              timestamptz not null
);

-- The next offset to write, by partition: it moves in the transaction that writes the rows before it
-- and beats the offset that Kafka keeps. A claim or a rewind begins an epoch; a write under an older
-- one is refused.
create table nyc311.consumer_position (
    kafka_cluster_id  text not null,
    topic             text not null,
    kafka_partition   integer not null,
    next_offset       bigint not null,
    epoch             bigint not null,
    owner             text,
    updated_at        timestamptz not null,
    primary key (kafka_cluster_id, topic, kafka_partition)
);

create table nyc311.dead_letter (
    payload_sha256    bytea primary key,
    payload           bytea not null,
    stage             text not null,
    -- a stable code; what varies is in field and detail
    reason            text not null,
    field             text,
    detail            text,
    unique_key        bigint,
    -- where the bytes were first seen
    kafka_cluster_id  text,
    topic             text,
    kafka_partition   integer,
    kafka_offset      bigint,
    headers           jsonb,
    poll_id           uuid,
    -- version of the program that gave up on it
    rejected_by       text not null,
    first_seen_at     timestamptz not null,
    state             text not null default 'open'
        constraint dead_letter_state_known check (state in ('open', 'replayed', 'resolved', 'discarded')),
    replay_count      integer not null default 0,
    replayed_at       timestamptz
);

create index dead_letter_open on nyc311.dead_letter (first_seen_at, payload_sha256) where state = 'open';
