-- Rollups: counts that equal a recount at every commit, also after a row was changed by hand.
--
-- Each rollup R is made of
--   R                 the table; a cell of zeros equals no cell
--   R_cells(...)      the rule: the cells that one row counts in (in a single place, inlined where used)
--   R_recount         a view that counts the facts anew by that rule
--   R_collect()       a trigger on each statement that adds up what it changed, in pg_temp.R_delta
--   R_apply()         adds that to R, in one upsert ordered by key: writers that share cells wait for
--                     each other in one order and never deadlock
--   a row in nyc311.rollup
-- so that a further rollup is one migration: those six, and a first fill from R_recount.
--
-- The writer collects during its transaction and applies at its end; whoever else changes a row has it
-- applied at the end of the statement.

create table nyc311.rollup (
    name      text primary key,
    -- the order in which rollups are applied, the same for all
    position  integer not null unique
);

create function nyc311.apply_rollups() returns void
language plpgsql
as $$
declare
    next record;
begin
    for next in select name from nyc311.rollup order by position loop
        if to_regclass('pg_temp.' || quote_ident(next.name || '_delta')) is not null then
            execute format('select nyc311.%I()', next.name || '_apply');
        end if;
    end loop;
end
$$;

create function nyc311.apply_rollups_unless_writing() returns trigger
language plpgsql
as $$
begin
    if current_setting('nyc311.writing', true) is distinct from 'on' then
        perform nyc311.apply_rollups();
    end if;
    return null;
end
$$;

create function nyc311.empty_rollups() returns trigger
language plpgsql
as $$
declare
    next record;
begin
    for next in select name from nyc311.rollup order by position loop
        execute format('truncate nyc311.%I', next.name);
        if to_regclass('pg_temp.' || quote_ident(next.name || '_delta')) is not null then
            execute format('delete from pg_temp.%I', next.name || '_delta');
        end if;
    end loop;
    return null;
end
$$;

-- triggers of one event fire by name: collect comes before this
create trigger z_apply_rollups
    after insert or update or delete on nyc311.service_request
    for each statement execute function nyc311.apply_rollups_unless_writing();
create trigger z_empty_rollups
    after truncate on nyc311.service_request
    for each statement execute function nyc311.empty_rollups();

create function nyc311.new_york_day(moment timestamptz) returns date
language sql immutable parallel safe
return (moment at time zone 'America/New_York')::date;

create function nyc311.new_york_month(moment timestamptz) returns date
language sql immutable parallel safe
return date_trunc('month', moment at time zone 'America/New_York')::date;

------------------------------------------------------------------------------------------------------
-- rollup_daily: opened, closed_undated and still_open count on the day of creation, closed on the day
-- of closing, so that sum(opened) = sum(closed + closed_undated + still_open).

create table nyc311.rollup_daily (
    day             date not null,
    borough         text not null,
    agency          text not null,
    complaint_type  text not null,
    month           date not null generated always as (date_trunc('month', day::timestamp)::date) stored,
    opened          integer not null,
    closed          integer not null,
    closed_undated  integer not null,
    still_open      integer not null,
    primary key (day, borough, agency, complaint_type)
) with (fillfactor = 75);

create function nyc311.rollup_daily_cells(
    created_at timestamptz, closed_at timestamptz, is_open boolean, withdrawn_at timestamptz, borough text)
returns table (day date, borough_or_unspecified text, opened integer, closed integer,
               closed_undated integer, still_open integer)
language sql immutable parallel safe rows 2
begin atomic
    select nyc311.new_york_day(created_at), coalesce(borough, 'Unspecified'), 1, 0,
           (not is_open and closed_at is null)::integer, is_open::integer
    where withdrawn_at is null
    union all
    select nyc311.new_york_day(closed_at), coalesce(borough, 'Unspecified'), 0, 1, 0, 0
    where withdrawn_at is null and not is_open and closed_at is not null;
end;

create view nyc311.rollup_daily_recount as
select c.day, c.borough_or_unspecified as borough, s.agency, s.complaint_type,
       date_trunc('month', c.day::timestamp)::date as month,
       sum(c.opened)::integer as opened, sum(c.closed)::integer as closed,
       sum(c.closed_undated)::integer as closed_undated, sum(c.still_open)::integer as still_open
from nyc311.service_request s,
     nyc311.rollup_daily_cells(s.created_at, s.closed_at, s.is_open, s.withdrawn_at, s.borough) c
group by 1, 2, 3, 4;

create function nyc311.rollup_daily_collect() returns trigger
language plpgsql
set jit = off
as $$
begin
    if to_regclass('pg_temp.rollup_daily_delta') is null then
        create temp table rollup_daily_delta (
            day date, borough text, agency text, complaint_type text,
            opened integer, closed integer, closed_undated integer, still_open integer
        ) on commit delete rows;
    end if;
    if tg_op in ('UPDATE', 'DELETE') then
        insert into pg_temp.rollup_daily_delta
        select c.day, c.borough_or_unspecified, o.agency, o.complaint_type,
               -sum(c.opened), -sum(c.closed), -sum(c.closed_undated), -sum(c.still_open)
        from old_rows o,
             nyc311.rollup_daily_cells(o.created_at, o.closed_at, o.is_open, o.withdrawn_at, o.borough) c
        group by 1, 2, 3, 4;
    end if;
    if tg_op in ('UPDATE', 'INSERT') then
        insert into pg_temp.rollup_daily_delta
        select c.day, c.borough_or_unspecified, n.agency, n.complaint_type,
               sum(c.opened), sum(c.closed), sum(c.closed_undated), sum(c.still_open)
        from new_rows n,
             nyc311.rollup_daily_cells(n.created_at, n.closed_at, n.is_open, n.withdrawn_at, n.borough) c
        group by 1, 2, 3, 4;
    end if;
    return null;
end
$$;

create function nyc311.rollup_daily_apply() returns void
language plpgsql
set jit = off
as $$
begin
    with delta as (
        delete from pg_temp.rollup_daily_delta returning *
    )
    insert into nyc311.rollup_daily as r
        (day, borough, agency, complaint_type, opened, closed, closed_undated, still_open)
    select day, borough, agency, complaint_type,
           sum(opened), sum(closed), sum(closed_undated), sum(still_open)
    from delta
    group by 1, 2, 3, 4
    having sum(opened) <> 0 or sum(closed) <> 0 or sum(closed_undated) <> 0 or sum(still_open) <> 0
    order by day, borough collate "C", agency collate "C", complaint_type collate "C"
    on conflict (day, borough, agency, complaint_type) do update
    set opened = r.opened + excluded.opened, closed = r.closed + excluded.closed,
        closed_undated = r.closed_undated + excluded.closed_undated,
        still_open = r.still_open + excluded.still_open;
end
$$;

create trigger b_rollup_daily_insert after insert on nyc311.service_request
    referencing new table as new_rows
    for each statement execute function nyc311.rollup_daily_collect();
create trigger b_rollup_daily_update after update on nyc311.service_request
    referencing old table as old_rows new table as new_rows
    for each statement execute function nyc311.rollup_daily_collect();
create trigger b_rollup_daily_delete after delete on nyc311.service_request
    referencing old table as old_rows
    for each statement execute function nyc311.rollup_daily_collect();

insert into nyc311.rollup (name, position) values ('rollup_daily', 1);

------------------------------------------------------------------------------------------------------
-- rollup_response_monthly: a histogram of response times, by the month of creation and of closing.

-- Lower bounds of the buckets in hours; a bucket ends where the next one begins.
create function nyc311.response_bounds() returns double precision[]
language sql immutable parallel safe
return array[
    0,
    1/60., 2/60., 3/60., 4/60., 5/60., 6/60., 8/60., 10/60., 12/60., 15/60., 18/60., 22/60., 26/60.,
    30/60., 36/60., 42/60., 50/60.,
    1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 30, 36, 42, 48, 60,
    3*24, 4*24, 5*24, 6*24, 7*24, 8.5*24, 10*24, 12*24, 14*24, 17*24, 21*24, 25*24, 30*24, 36*24, 45*24,
    52*24, 60*24, 75*24, 90*24, 105*24, 120*24, 150*24, 180*24, 225*24, 270*24, 330*24, 365*24, 450*24,
    540*24, 730*24, 1000*24
]::double precision[];

create table nyc311.response_bucket (
    bucket      smallint primary key,
    from_hours  double precision not null,
    to_hours    double precision not null
);

insert into nyc311.response_bucket (bucket, from_hours, to_hours)
select b.bucket, b.from_hours, lead(b.from_hours, 1, 'infinity') over (order by b.bucket)
from unnest(nyc311.response_bounds()) with ordinality as b (from_hours, bucket);

-- The bucket of a response time; none below zero.
create function nyc311.response_bucket_of(hours double precision) returns smallint
language sql immutable parallel safe
return case when hours >= 0 then width_bucket(hours, nyc311.response_bounds())::smallint end;

create table nyc311.rollup_response_monthly (
    month           date not null,
    borough         text not null,
    agency          text not null,
    complaint_type  text not null,
    bucket          smallint not null,
    by_opened       integer not null,
    by_closed       integer not null,
    primary key (month, borough, agency, complaint_type, bucket)
) with (fillfactor = 75);

create function nyc311.rollup_response_monthly_cells(
    created_at timestamptz, closed_at timestamptz, response_hours double precision,
    withdrawn_at timestamptz, borough text)
returns table (month date, borough_or_unspecified text, bucket smallint, by_opened integer,
               by_closed integer)
language sql immutable parallel safe rows 2
begin atomic
    select nyc311.new_york_month(created_at), coalesce(borough, 'Unspecified'),
           nyc311.response_bucket_of(response_hours), 1, 0
    where withdrawn_at is null and response_hours >= 0
    union all
    select nyc311.new_york_month(closed_at), coalesce(borough, 'Unspecified'),
           nyc311.response_bucket_of(response_hours), 0, 1
    where withdrawn_at is null and response_hours >= 0 and closed_at is not null;
end;

create view nyc311.rollup_response_monthly_recount as
select c.month, c.borough_or_unspecified as borough, s.agency, s.complaint_type, c.bucket,
       sum(c.by_opened)::integer as by_opened, sum(c.by_closed)::integer as by_closed
from nyc311.service_request s,
     nyc311.rollup_response_monthly_cells(
         s.created_at, s.closed_at, s.response_hours, s.withdrawn_at, s.borough) c
group by 1, 2, 3, 4, 5;

create function nyc311.rollup_response_monthly_collect() returns trigger
language plpgsql
set jit = off
as $$
begin
    if to_regclass('pg_temp.rollup_response_monthly_delta') is null then
        create temp table rollup_response_monthly_delta (
            month date, borough text, agency text, complaint_type text, bucket smallint,
            by_opened integer, by_closed integer
        ) on commit delete rows;
    end if;
    if tg_op in ('UPDATE', 'DELETE') then
        insert into pg_temp.rollup_response_monthly_delta
        select c.month, c.borough_or_unspecified, o.agency, o.complaint_type, c.bucket,
               -sum(c.by_opened), -sum(c.by_closed)
        from old_rows o,
             nyc311.rollup_response_monthly_cells(
                 o.created_at, o.closed_at, o.response_hours, o.withdrawn_at, o.borough) c
        group by 1, 2, 3, 4, 5;
    end if;
    if tg_op in ('UPDATE', 'INSERT') then
        insert into pg_temp.rollup_response_monthly_delta
        select c.month, c.borough_or_unspecified, n.agency, n.complaint_type, c.bucket,
               sum(c.by_opened), sum(c.by_closed)
        from new_rows n,
             nyc311.rollup_response_monthly_cells(
                 n.created_at, n.closed_at, n.response_hours, n.withdrawn_at, n.borough) c
        group by 1, 2, 3, 4, 5;
    end if;
    return null;
end
$$;

create function nyc311.rollup_response_monthly_apply() returns void
language plpgsql
set jit = off
as $$
begin
    with delta as (
        delete from pg_temp.rollup_response_monthly_delta returning *
    )
    insert into nyc311.rollup_response_monthly as r
        (month, borough, agency, complaint_type, bucket, by_opened, by_closed)
    select month, borough, agency, complaint_type, bucket, sum(by_opened), sum(by_closed)
    from delta
    group by 1, 2, 3, 4, 5
    having sum(by_opened) <> 0 or sum(by_closed) <> 0
    order by month, borough collate "C", agency collate "C", complaint_type collate "C", bucket
    on conflict (month, borough, agency, complaint_type, bucket) do update
    set by_opened = r.by_opened + excluded.by_opened, by_closed = r.by_closed + excluded.by_closed;
end
$$;

create trigger b_rollup_response_monthly_insert after insert on nyc311.service_request
    referencing new table as new_rows
    for each statement execute function nyc311.rollup_response_monthly_collect();
create trigger b_rollup_response_monthly_update after update on nyc311.service_request
    referencing old table as old_rows new table as new_rows
    for each statement execute function nyc311.rollup_response_monthly_collect();
create trigger b_rollup_response_monthly_delete after delete on nyc311.service_request
    referencing old table as old_rows
    for each statement execute function nyc311.rollup_response_monthly_collect();

insert into nyc311.rollup (name, position) values ('rollup_response_monthly', 2);

-- response_percentile(bucket, n, p): the p-th part of a histogram, linear within a bucket; in the last
-- bucket, which has no end, its lower bound.
create function nyc311.response_percentile_step(
    counts double precision[], bucket integer, n double precision, p double precision)
returns double precision[]
language plpgsql immutable parallel safe
as $$
begin
    if counts is null then
        -- a count for each bucket, then p
        counts := array_fill(0::double precision, array[cardinality(nyc311.response_bounds()) + 1]);
    end if;
    if bucket is not null and n is not null then
        counts[bucket] := counts[bucket] + n;
    end if;
    counts[cardinality(counts)] := p;
    return counts;
end
$$;

create function nyc311.response_percentile_end(counts double precision[]) returns double precision
language plpgsql immutable parallel safe
as $$
declare
    bounds constant double precision[] := nyc311.response_bounds();
    last constant integer := cardinality(bounds);
    total double precision := 0;
    wanted double precision;
    below double precision := 0;
begin
    if counts is null then
        return null;
    end if;
    for bucket in 1 .. last loop
        total := total + counts[bucket];
    end loop;
    if total <= 0 then
        return null;
    end if;
    wanted := counts[last + 1] * total;
    for bucket in 1 .. last loop
        if counts[bucket] > 0 and below + counts[bucket] >= wanted then
            if bucket = last then
                return bounds[last];
            end if;
            return bounds[bucket]
                + (bounds[bucket + 1] - bounds[bucket]) * greatest(wanted - below, 0) / counts[bucket];
        end if;
        below := below + counts[bucket];
    end loop;
    return bounds[last];
end
$$;

create aggregate nyc311.response_percentile(
    bucket integer, n double precision, p double precision) (
    sfunc = nyc311.response_percentile_step,
    stype = double precision[],
    finalfunc = nyc311.response_percentile_end
);
