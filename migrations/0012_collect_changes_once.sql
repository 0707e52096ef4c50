-- What a statement changed is read and grouped once for all rollups.
--
-- A trigger for each rollup would read the wide rows of the statement again, turn the same moments into days
-- of New York again, and group by the same long words again. One trigger groups by all that the rollups count
-- by; that leaves a third to a half of the rows, and each rollup is a sum over these. What a rollup counts is
-- unchanged: R_cells says it of one row, R_recount of all.

create function nyc311.collect_rollup_changes() returns trigger
language plpgsql
set jit = off
-- a hash of the groups, which are far fewer than the rows
set enable_sort = off
as $$
begin
    if to_regclass('pg_temp.rollup_change') is null then
        create temp table rollup_change (
            -- so many more rows of this kind; below zero, so many less
            n integer not null,
            created_day date not null, closed_day date, is_open boolean not null, bucket smallint,
            quality_flags bigint not null, borough text not null, agency text not null, complaint_type text not null
        ) on commit delete rows;
    end if;
    -- For each event a statement of its own: there is no old row in an insert, and no new one in a delete.
    -- Withdrawn requests count nowhere.
    if tg_op = 'INSERT' then
        insert into pg_temp.rollup_change
        select count(*), nyc311.new_york_day(created_at), nyc311.new_york_day(closed_at), is_open,
               nyc311.response_bucket_of(response_hours), quality_flags, coalesce(borough, 'Unspecified'),
               agency, complaint_type
        from new_rows
        where withdrawn_at is null
        group by 2, 3, 4, 5, 6, 7, 8, 9;
    elsif tg_op = 'DELETE' then
        insert into pg_temp.rollup_change
        select -count(*), nyc311.new_york_day(created_at), nyc311.new_york_day(closed_at), is_open,
               nyc311.response_bucket_of(response_hours), quality_flags, coalesce(borough, 'Unspecified'),
               agency, complaint_type
        from old_rows
        where withdrawn_at is null
        group by 2, 3, 4, 5, 6, 7, 8, 9;
    else
        insert into pg_temp.rollup_change
        select sum(n), nyc311.new_york_day(created_at), nyc311.new_york_day(closed_at), is_open,
               nyc311.response_bucket_of(response_hours), quality_flags, coalesce(borough, 'Unspecified'),
               agency, complaint_type
        from (
            select -1 as n, created_at, closed_at, is_open, response_hours, quality_flags, borough, agency, complaint_type
            from old_rows
            where withdrawn_at is null
            union all
            select 1, created_at, closed_at, is_open, response_hours, quality_flags, borough, agency, complaint_type
            from new_rows
            where withdrawn_at is null
        ) r
        group by 2, 3, 4, 5, 6, 7, 8, 9
        having sum(n) <> 0;
    end if;
    return null;
end
$$;

create or replace function nyc311.rollup_daily_apply() returns void
language plpgsql
set jit = off
set enable_sort = off
as $$
begin
    insert into nyc311.rollup_daily as r
        (day, borough, agency, complaint_type, opened, closed, closed_undated, still_open)
    select day, borough, agency, complaint_type,
           sum(opened), sum(closed), sum(closed_undated), sum(still_open)
    from (
        select created_day as day, borough, agency, complaint_type, n as opened, 0 as closed,
               case when not is_open and closed_day is null then n else 0 end as closed_undated,
               case when is_open then n else 0 end as still_open
        from pg_temp.rollup_change
        union all
        select closed_day, borough, agency, complaint_type, 0, n, 0, 0
        from pg_temp.rollup_change
        where not is_open and closed_day is not null
    ) c
    group by 1, 2, 3, 4
    having sum(opened) <> 0 or sum(closed) <> 0 or sum(closed_undated) <> 0 or sum(still_open) <> 0
    order by day, borough collate "C", agency collate "C", complaint_type collate "C"
    on conflict (day, borough, agency, complaint_type) do update
    set opened = r.opened + excluded.opened, closed = r.closed + excluded.closed,
        closed_undated = r.closed_undated + excluded.closed_undated,
        still_open = r.still_open + excluded.still_open;
end
$$;

create or replace function nyc311.rollup_response_monthly_apply() returns void
language plpgsql
set jit = off
set enable_sort = off
as $$
begin
    insert into nyc311.rollup_response_monthly as r
        (month, borough, agency, complaint_type, bucket, by_opened, by_closed)
    select month, borough, agency, complaint_type, bucket, sum(by_opened), sum(by_closed)
    from (
        select date_trunc('month', created_day::timestamp)::date as month, borough, agency, complaint_type, bucket,
               n as by_opened, 0 as by_closed
        from pg_temp.rollup_change
        where bucket is not null
        union all
        select date_trunc('month', closed_day::timestamp)::date, borough, agency, complaint_type, bucket, 0, n
        from pg_temp.rollup_change
        where bucket is not null and closed_day is not null
    ) c
    group by 1, 2, 3, 4, 5
    having sum(by_opened) <> 0 or sum(by_closed) <> 0
    order by month, borough collate "C", agency collate "C", complaint_type collate "C", bucket
    on conflict (month, borough, agency, complaint_type, bucket) do update
    set by_opened = r.by_opened + excluded.by_opened, by_closed = r.by_closed + excluded.by_closed;
end
$$;

create or replace function nyc311.rollup_quality_daily_apply() returns void
language plpgsql
set jit = off
set enable_sort = off
as $$
begin
    insert into nyc311.rollup_quality_daily as r (day, bit, requests)
    select d.day, b.bit, sum(d.requests)
    from (
        select created_day as day, quality_flags, sum(n) as requests
        from pg_temp.rollup_change
        where quality_flags <> 0
        group by 1, 2
    ) d, nyc311.quality_bits(d.quality_flags) b (bit)
    where d.requests <> 0
    group by 1, 2
    having sum(d.requests) <> 0
    order by 1, 2
    on conflict (day, bit) do update set requests = r.requests + excluded.requests;
end
$$;

create or replace function nyc311.apply_rollups() returns void
language plpgsql
as $$
declare
    next record;
begin
    if to_regclass('pg_temp.rollup_change') is null then
        return;
    end if;
    for next in select name from nyc311.rollup order by position loop
        execute format('select nyc311.%I()', next.name || '_apply');
    end loop;
    delete from pg_temp.rollup_change;
end
$$;

create or replace function nyc311.empty_rollups() returns trigger
language plpgsql
as $$
declare
    next record;
begin
    for next in select name from nyc311.rollup order by position loop
        execute format('truncate nyc311.%I', next.name);
    end loop;
    if to_regclass('pg_temp.rollup_change') is not null then
        delete from pg_temp.rollup_change;
    end if;
    return null;
end
$$;

drop trigger b_rollup_daily_insert on nyc311.service_request_row;
drop trigger b_rollup_daily_update on nyc311.service_request_row;
drop trigger b_rollup_daily_delete on nyc311.service_request_row;
drop function nyc311.rollup_daily_collect();
drop trigger b_rollup_response_monthly_insert on nyc311.service_request_row;
drop trigger b_rollup_response_monthly_update on nyc311.service_request_row;
drop trigger b_rollup_response_monthly_delete on nyc311.service_request_row;
drop function nyc311.rollup_response_monthly_collect();
drop trigger b_rollup_quality_daily_insert on nyc311.service_request_row;
drop trigger b_rollup_quality_daily_update on nyc311.service_request_row;
drop trigger b_rollup_quality_daily_delete on nyc311.service_request_row;
drop function nyc311.rollup_quality_daily_collect();

create trigger b_rollup_change_insert after insert on nyc311.service_request_row
    referencing new table as new_rows
    for each statement execute function nyc311.collect_rollup_changes();
create trigger b_rollup_change_update after update on nyc311.service_request_row
    referencing old table as old_rows new table as new_rows
    for each statement execute function nyc311.collect_rollup_changes();
create trigger b_rollup_change_delete after delete on nyc311.service_request_row
    referencing old table as old_rows
    for each statement execute function nyc311.collect_rollup_changes();

-- As in 0002, but that it looks for versions that were replaced in place only where not all rows went to the
-- history.
create or replace function nyc311.keep_superseded_version() returns trigger
language plpgsql
set enable_nestloop = off
set jit = off
as $$
declare
    kept bigint;
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
    get diagnostics kept = row_count;

    if current_setting('nyc311.writing', true) = 'on' and kept < (select count(*) from old_rows) then
        insert into pg_temp.reenriched (unique_key)
        select n.unique_key
        from old_rows o
        join new_rows n using (unique_key)
        where (o.source_updated_at, o.source_version) = (n.source_updated_at, n.source_version);
    end if;
    return null;
end
$$;
