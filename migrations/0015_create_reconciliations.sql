-- A reconciliation holds what the source counts by month of created_date against what is here. Its state outlives the
-- process: whoever holds the lease runs it, and nobody else can write to it.
create table nyc311.reconciliation (
    reconciliation_id    uuid primary key,
    state                text not null default 'queued'
        constraint reconciliation_state_known
        check (state in ('queued', 'comparing', 'polling', 'withdrawing', 'succeeded', 'failed', 'cancelled')),
    attempt              integer not null default 1,
    idempotency_key      text constraint reconciliation_idempotency_key unique,
    -- the body as it was parsed; another body under the same key is a conflict
    request              jsonb not null,
    -- whole months: the first moment of the first one, and of the one after the last; null is no bound
    since                timestamptz,
    until                timestamptz,
    -- 1: the first comparison; 2: the one after the polls; 3: the one after rows were withdrawn
    round                smallint not null default 1,
    -- rows that it has found gone from the source
    withdrawn            bigint not null default 0,
    polls                uuid[] not null default '{}',
    -- where the walk over the source's keys goes on after a restart: the month, and the last row of it
    walk_month           text,
    walk_row_id          text,
    -- what the last comparison has found: rows, rows and months; null before the first
    missing              bigint,
    surplus              bigint,
    stale                bigint,
    error_code           text,
    error_stage          text,
    error_detail         text,
    error_http_status    integer,
    error_retryable      boolean,
    created_at           timestamptz not null default now(),
    queued_at            timestamptz not null default clock_timestamp(),
    started_at           timestamptz,
    finished_at          timestamptz,
    cancel_requested_at  timestamptz,
    lease_owner          text,
    lease_token          uuid,
    lease_until          timestamptz
);

-- One is under way at a time, across all processes: the code asks first, this makes it certain.
create unique index reconciliation_one_active on nyc311.reconciliation ((true))
    where state in ('comparing', 'polling', 'withdrawing');
create index reconciliation_queue on nyc311.reconciliation (queued_at, reconciliation_id) where state = 'queued';

-- What its last comparison has found, by month of created_date on New York's calendar.
create table nyc311.reconciliation_month (
    reconciliation_id  uuid not null references nyc311.reconciliation on delete cascade,
    -- 2026-05, or unknown for rows without created_date
    month              text not null,
    source_count       bigint not null,
    our_count          bigint not null,
    dead_lettered      bigint not null,
    source_newest      timestamptz,
    our_newest         timestamptz,
    action             text not null default 'none'
        constraint reconciliation_month_action_known check (action in ('none', 'poll', 'withdraw')),
    state              text not null
        constraint reconciliation_month_state_known check (state in ('agrees', 'differs')),
    -- of a month that was walked by key: keys that are there and not here, and rows with another :updated_at
    keys_missing       bigint,
    keys_changed       bigint,
    primary key (reconciliation_id, month)
);

-- The keys that the source has in the month that is walked. Durable, because a restart goes on behind the last page:
-- a key that is not in here is looked for among those that are gone.
create table nyc311.reconciliation_key (
    unique_key         bigint primary key,
    source_updated_at  timestamptz
);

-- Few rows are withdrawn, so whoever writes rows finds at once whether one of them is.
create index service_request_withdrawn on nyc311.service_request_row (unique_key) where withdrawn_at is not null;
