-- service_request.duplicate_of: the least key among the requests that are likely one complaint, submitted
-- more than once; null in the first of them and in a request that has no twin. So `duplicate_of is null`
-- leaves each complaint in once.
--
-- Likely one: created in the same second, about the same thing (complaint type and descriptor), at the same
-- place, under another key. The agency is left out, since a complaint may go to two of them; the descriptor
-- is not, since one call to the housing department makes a request for each problem.
--
-- The mark of a request depends on other requests, so it is kept by the transaction that changes them, like
-- a rollup: triggers collect the seconds that a statement touched, and mark_duplicates() looks at all
-- requests of those seconds. What it finds depends on the rows alone, never on the order of their arrival.

-- Whether the second of a request means something: it is in the source, and more than the day of its
-- creation is known (quality flags created_at_midnight, bit 20, and created_at_noon, bit 55).
create function nyc311.has_creation_second(quality_flags bigint, withdrawn_at timestamptz) returns boolean
language sql immutable parallel safe
return withdrawn_at is null and quality_flags & ((1::bigint << 20) | (1::bigint << 55)) = 0;

-- What a request must share with its twins beside second, complaint type and descriptor; null where it
-- cannot have any, because its second or its place is unknown.
-- The place is the point, which is the city's geocoding of an address, so equal addresses have equal points;
-- or the words, where there is no point, or none in the city (point_at_zero, point_whole_degrees and
-- point_outside_city, bits 41 to 43): many requests share such a stand-in.
create function nyc311.duplicate_place(
    quality_flags bigint, withdrawn_at timestamptz, latitude double precision, longitude double precision,
    incident_zip text, incident_address text, intersection_street_1 text, intersection_street_2 text)
returns text
language sql immutable parallel safe
return case
    when not nyc311.has_creation_second(quality_flags, withdrawn_at) then null
    -- all bits: how a number is written depends on the session
    when latitude is not null and longitude is not null and quality_flags & (7::bigint << 41) = 0
        then encode(float8send(latitude) || float8send(longitude), 'hex')
    when coalesce(incident_zip, incident_address, intersection_street_1, intersection_street_2) is not null
        then concat_ws(',', quote_nullable(incident_zip), quote_nullable(incident_address),
                       quote_nullable(intersection_street_1), quote_nullable(intersection_street_2))
end;

create function nyc311.collect_duplicates() returns trigger
language plpgsql
set jit = off
set enable_nestloop = off
as $$
begin
    if to_regclass('pg_temp.duplicate_second') is null then
        create temp table duplicate_second (created_at timestamptz not null) on commit delete rows;
    end if;
    -- For each event a statement of its own: there is no old row in an insert, and no new one in a delete.
    if tg_op = 'INSERT' then
        insert into pg_temp.duplicate_second
        select distinct created_at from new_rows
        where nyc311.has_creation_second(quality_flags, withdrawn_at);
    elsif tg_op = 'DELETE' then
        insert into pg_temp.duplicate_second
        select distinct created_at from old_rows
        where nyc311.has_creation_second(quality_flags, withdrawn_at);
    else
        -- Most updates change nothing of this.
        insert into pg_temp.duplicate_second
        select distinct t.created_at
        from old_rows o
        join new_rows n using (unique_key),
             lateral (values (o.created_at, o.withdrawn_at, o.quality_flags),
                             (n.created_at, n.withdrawn_at, n.quality_flags))
                 as t (created_at, withdrawn_at, quality_flags)
        where nyc311.has_creation_second(t.quality_flags, t.withdrawn_at)
          and (o.created_at, o.complaint_type, o.descriptor, o.latitude, o.longitude,
               nyc311.has_creation_second(o.quality_flags, o.withdrawn_at),
               o.quality_flags & (7::bigint << 41),
               o.incident_zip, o.incident_address, o.intersection_street_1, o.intersection_street_2)
              is distinct from
              (n.created_at, n.complaint_type, n.descriptor, n.latitude, n.longitude,
               nyc311.has_creation_second(n.quality_flags, n.withdrawn_at),
               n.quality_flags & (7::bigint << 41),
               n.incident_zip, n.incident_address, n.intersection_street_1, n.intersection_street_2);
    end if;
    return null;
end
$$;

-- Marks all requests of the seconds that were touched. Writers take turns from here to their commit, so
-- that of two twins that come at the same time the later writer sees the other one.
create function nyc311.mark_duplicates() returns void
language plpgsql
set jit = off
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
        select t.created_at
        from (select distinct created_at from touched) t
        -- offset 0: by the index, second by second, whatever the planner believes of a table that grows fast
        cross join lateral (
            select count(*) as requests, count(r.duplicate_of) as marked
            from nyc311.service_request r
            where r.created_at = t.created_at
            offset 0
        ) n
        where n.requests > 1 or n.marked > 0
    ), found as (
        select s.unique_key, s.duplicate_of, s.place,
               min(s.unique_key) over (partition by s.created_at, s.complaint_type, s.descriptor, s.place)
                   as first_key
        from crowded t
        cross join lateral (
            select r.unique_key, r.duplicate_of, r.created_at, r.complaint_type, r.descriptor,
                   nyc311.duplicate_place(
                       r.quality_flags, r.withdrawn_at, r.latitude, r.longitude, r.incident_zip,
                       r.incident_address, r.intersection_street_1, r.intersection_street_2) as place
            from nyc311.service_request r
            where r.created_at = t.created_at
            offset 0
        ) s
    ), changed as materialized (
        select unique_key, case when place is not null and first_key <> unique_key then first_key end as first_key
        from found
        where duplicate_of is distinct from
              case when place is not null and first_key <> unique_key then first_key end
    )
    update nyc311.service_request s
    set duplicate_of = c.first_key
    from changed c
    where s.unique_key = c.unique_key;
end
$$;

create function nyc311.mark_duplicates_unless_writing() returns trigger
language plpgsql
as $$
begin
    if current_setting('nyc311.writing', true) is distinct from 'on' then
        perform nyc311.mark_duplicates();
    end if;
    return null;
end
$$;

create trigger c_duplicates_insert after insert on nyc311.service_request
    referencing new table as new_rows
    for each statement execute function nyc311.collect_duplicates();
create trigger c_duplicates_update after update on nyc311.service_request
    referencing old table as old_rows new table as new_rows
    for each statement execute function nyc311.collect_duplicates();
create trigger c_duplicates_delete after delete on nyc311.service_request
    referencing old table as old_rows
    for each statement execute function nyc311.collect_duplicates();
-- after the collecting, before the rollups
create trigger d_mark_duplicates
    after insert or update or delete on nyc311.service_request
    for each statement execute function nyc311.mark_duplicates_unless_writing();

-- What duplicate_of must be, by the facts alone.
create view nyc311.duplicate_of_recount as
select unique_key, case when place is not null and first_key <> unique_key then first_key end as duplicate_of
from (
    select unique_key, place,
           min(unique_key) over (partition by created_at, complaint_type, descriptor, place) as first_key
    from (
        select unique_key, created_at, complaint_type, descriptor,
               nyc311.duplicate_place(
                   quality_flags, withdrawn_at, latitude, longitude, incident_zip, incident_address,
                   intersection_street_1, intersection_street_2) as place
        from nyc311.service_request
    ) s
) f;

-- Rows that were here before.
update nyc311.service_request s
set duplicate_of = r.duplicate_of
from nyc311.duplicate_of_recount r
where r.unique_key = s.unique_key and r.duplicate_of is distinct from s.duplicate_of;
