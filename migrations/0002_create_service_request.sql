-- The newest version of each request, whole. fillfactor: half of the updates stay on their page at 70,
-- all at 50; 75 is the compromise between that and the size of the table.
-- source_version compares as bytes everywhere, hence collate "C".
create table nyc311.service_request (
    unique_key               bigint not null,
    source_updated_at        timestamptz not null,
    source_version           text collate "C" not null default '',
    rules_revision           smallint not null,
    source_created_at        timestamptz,
    created_at               timestamptz not null,
    closed_at                timestamptz,
    due_at                   timestamptz,
    resolution_updated_at    timestamptz,
    response_hours           double precision,
    -- the database's own: when this key, and when this state of it, was first written here
    first_seen_at            timestamptz not null default now(),
    last_changed_at          timestamptz not null default now(),
    -- gone from the source; counts nowhere
    withdrawn_at             timestamptz,
    duplicate_of             bigint,
    quality_flags            bigint not null default 0,
    status                   text,
    state                    text not null
        constraint service_request_state_known
        check (state in ('open', 'in_progress', 'pending', 'closed', 'cancelled', 'unknown')),
    is_open                  boolean not null,
    agency                   text not null,
    agency_name              text,
    complaint_type           text not null,
    category                 text,
    descriptor               text,
    descriptor_2             text,
    location_type            text,
    open_data_channel_type   text,
    resolution_description   text,
    borough                  text,
    incident_zip             text,
    city                     text,
    incident_address         text,
    street_name              text,
    cross_street_1           text,
    cross_street_2           text,
    intersection_street_1    text,
    intersection_street_2    text,
    landmark                 text,
    bbl                      bigint,
    latitude                 double precision,
    longitude                double precision,
    x_state_plane            integer,
    y_state_plane            integer,
    community_board          text,
    community_district       smallint,
    council_district         smallint,
    police_precinct          smallint,
    nta2020                  text,
    zcta                     text,
    -- what the city said, for each value that was replaced
    stated                   jsonb,
    -- columns of the source that have no column here
    details                  jsonb,
    constraint service_request_pkey primary key (unique_key)
) with (fillfactor = 75);

create index service_request_created_at on nyc311.service_request (created_at);
create index service_request_bbl on nyc311.service_request (bbl) where bbl is not null;
create index service_request_open on nyc311.service_request (agency, created_at) where is_open;

-- Every version that was superseded, whether by a later write, within its own batch, or because it
-- came late: as much of it as the history of a status needs.
create table nyc311.service_request_history (
    unique_key         bigint not null,
    source_updated_at  timestamptz not null,
    source_version     text collate "C" not null,
    rules_revision     smallint not null,
    status             text,
    state              text not null,
    closed_at          timestamptz,
    agency             text,
    complaint_type     text,
    descriptor         text,
    borough            text,
    first_seen_at      timestamptz not null default now(),
    primary key (unique_key, source_updated_at, source_version)
);

-- Keeps what an update replaces, when it is another version; the same version under another
-- revision of the rules is replaced without a trace, and the writer is told of it.
-- No nested loop: the plan is kept for the session, and one made for few rows would take hours for many.
create function nyc311.keep_superseded_version() returns trigger
language plpgsql
set enable_nestloop = off
set jit = off
as $$
begin
    insert into nyc311.service_request_history as h
        (unique_key, source_updated_at, source_version, rules_revision, status, state, closed_at, agency,
         complaint_type, descriptor, borough, first_seen_at)
    select o.unique_key, o.source_updated_at, o.source_version, o.rules_revision, o.status, o.state,
           o.closed_at, o.agency, o.complaint_type, o.descriptor, o.borough, o.last_changed_at
    from old_rows o
    join new_rows n using (unique_key)
    where (o.source_updated_at, o.source_version) <> (n.source_updated_at, n.source_version)
    order by o.unique_key
    on conflict (unique_key, source_updated_at, source_version) do update
    set rules_revision = excluded.rules_revision, status = excluded.status, state = excluded.state,
        closed_at = excluded.closed_at, agency = excluded.agency,
        complaint_type = excluded.complaint_type, descriptor = excluded.descriptor,
        borough = excluded.borough
    where excluded.rules_revision > h.rules_revision;

    if current_setting('nyc311.writing', true) = 'on' then
        insert into pg_temp.reenriched (unique_key)
        select n.unique_key
        from old_rows o
        join new_rows n using (unique_key)
        where (o.source_updated_at, o.source_version) = (n.source_updated_at, n.source_version);
    end if;
    return null;
end
$$;

create trigger a_keep_superseded_version
    after update on nyc311.service_request
    referencing old table as old_rows new table as new_rows
    for each statement execute function nyc311.keep_superseded_version();

-- The life of each request, one row for each stretch of time in which nothing of this changed.
create view nyc311.service_request_timeline as
with version as (
    select unique_key, source_updated_at, source_version, state, status, agency, complaint_type, borough,
           closed_at
    from nyc311.service_request
    union all
    select h.unique_key, h.source_updated_at, h.source_version, h.state, h.status, h.agency,
           h.complaint_type, h.borough, h.closed_at
    from nyc311.service_request_history h
    -- a version that became current again after a row was deleted by hand
    where not exists (
        select from nyc311.service_request s
        where s.unique_key = h.unique_key and s.source_updated_at = h.source_updated_at
          and s.source_version = h.source_version)
), compared as (
    select *,
           row (state, status, agency, complaint_type, borough, closed_at) is distinct from
           row (lag(state) over w, lag(status) over w, lag(agency) over w, lag(complaint_type) over w,
                lag(borough) over w, lag(closed_at) over w) as differs
    from version
    window w as (partition by unique_key order by source_updated_at, source_version)
)
select unique_key,
       row_number() over w as version_no,
       source_updated_at as valid_from,
       lead(source_updated_at) over w as valid_until,
       state,
       lag(state) over w as previous_state,
       status,
       lag(status) over w as previous_status,
       agency,
       lag(agency) over w as previous_agency,
       complaint_type,
       borough,
       closed_at,
       lead(source_updated_at) over w is null as is_current
from compared
where differs
window w as (partition by unique_key order by source_updated_at, source_version);

-- What the bits of service_request.quality_flags mean; filled by the program at each migration.
create table nyc311.quality_flag (
    bit      smallint primary key,
    name     text not null unique,
    kind     text not null constraint quality_flag_kind_known check (kind in ('repair', 'doubt')),
    meaning  text not null,
    rule     text not null
);

-- Each flag of each request, by name.
create view nyc311.service_request_quality as
select s.unique_key, f.name, f.kind, f.meaning
from nyc311.service_request s
join nyc311.quality_flag f on s.quality_flags & (1::bigint << f.bit) <> 0
where s.quality_flags <> 0;
