-- Which process goes under which instance.id. Two of one name would throw each other out of the consumer groups for ever, so a process
-- holds its name as long as it lives: by a connection that it keeps open, whose end tells of its death at once, and by renewing the row,
-- which tells of one that stands still.
create table nyc311.instance (
    instance_id         text primary key,
    -- one life of a process
    run_id              uuid not null,
    host                text not null,
    process_id          bigint not null,
    -- the connection that it keeps open, as pg_stat_activity shows it
    backend_pid         integer not null,
    backend_started_at  timestamptz not null,
    started_at          timestamptz not null,
    renewed_at          timestamptz not null
);
