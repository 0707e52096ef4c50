-- The seconds that were touched are looked up in one scan of the index, not by a scan for each of them.
--
-- An array of unknown length is what makes it so: the index takes it sorted and each value once, and no plan
-- reads the table or the whole index for it, whatever the planner believes of the table.
create or replace function nyc311.mark_duplicates() returns void
language plpgsql
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
    if to_regclass('pg_temp.duplicate_second') is null then
        return;
    end if;
    if not exists (select from pg_temp.duplicate_second) then
        return;
    end if;
    perform pg_advisory_xact_lock(x'6e79633331310004'::bigint);
    with touched as (
        delete from pg_temp.duplicate_second returning created_at
    ), crowded as materialized (
        -- most seconds have one request, and no mark that would have to go
        select r.created_at
        from nyc311.service_request_row r
        where r.created_at = any (array(select created_at from touched))
        group by r.created_at
        having count(*) > 1 or count(r.duplicate_of) > 0
    ), found as (
        select s.unique_key, s.duplicate_of, s.place,
               min(s.unique_key) over (partition by s.created_at, s.complaint_type, s.descriptor, s.place)
                   as first_key
        from (
            select r.unique_key, r.duplicate_of, r.created_at, r.complaint_type, r.descriptor,
                   nyc311.duplicate_place(
                       r.quality_flags, r.withdrawn_at, r.latitude, r.longitude, r.incident_zip,
                       r.incident_address, r.intersection_street_1, r.intersection_street_2) as place
            from nyc311.service_request_row r
            where r.created_at = any (array(select created_at from crowded))
            offset 0
        ) s
    ), changed as materialized (
        select unique_key, case when place is not null and first_key <> unique_key then first_key end as first_key
        from found
        where duplicate_of is distinct from
              case when place is not null and first_key <> unique_key then first_key end
    )
    update nyc311.service_request_row s
    set duplicate_of = c.first_key
    from changed c
    where s.unique_key = c.unique_key;
end
$$;

-- As in 0005, but that a second may be there more than once: the index is asked for each value once anyway.
--
-- A trigger that is fired by the update in mark_duplicates() inherits what that function sets. So each of the
-- two that join says what it needs: else a session that planned a join there, at first or after an analyze,
-- compared each old row of a later statement with each new row, by a plan that it kept.
create or replace function nyc311.collect_duplicates() returns trigger
language plpgsql
set jit = off
set enable_nestloop = off
set enable_hashjoin = on
as $$
begin
    if to_regclass('pg_temp.duplicate_second') is null then
        create temp table duplicate_second (created_at timestamptz not null) on commit delete rows;
    end if;
    -- For each event a statement of its own: there is no old row in an insert, and no new one in a delete.
    if tg_op = 'INSERT' then
        insert into pg_temp.duplicate_second
        select created_at from new_rows
        where nyc311.has_creation_second(quality_flags, withdrawn_at);
    elsif tg_op = 'DELETE' then
        insert into pg_temp.duplicate_second
        select created_at from old_rows
        where nyc311.has_creation_second(quality_flags, withdrawn_at);
    else
        -- Most updates change nothing of this.
        insert into pg_temp.duplicate_second
        select t.created_at
        from (
            select unnest(array[
                       case when nyc311.has_creation_second(o.quality_flags, o.withdrawn_at) then o.created_at end,
                       case when nyc311.has_creation_second(n.quality_flags, n.withdrawn_at) then n.created_at end
                   ]) as created_at
            from old_rows o
            join new_rows n using (unique_key)
            where (o.created_at, o.complaint_type, o.descriptor, o.latitude, o.longitude,
                   nyc311.has_creation_second(o.quality_flags, o.withdrawn_at),
                   o.quality_flags & (7::bigint << 41),
                   o.incident_zip, o.incident_address, o.intersection_street_1, o.intersection_street_2)
                  is distinct from
                  (n.created_at, n.complaint_type, n.descriptor, n.latitude, n.longitude,
                   nyc311.has_creation_second(n.quality_flags, n.withdrawn_at),
                   n.quality_flags & (7::bigint << 41),
                   n.incident_zip, n.incident_address, n.intersection_street_1, n.intersection_street_2)
        ) t
        where t.created_at is not null;
    end if;
    return null;
end
$$;
alter function nyc311.keep_superseded_version() set enable_hashjoin = on;
