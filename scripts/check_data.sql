-- Holds what a file's rows became against the file itself. Run by scripts/check_data after the first poll of a file into
-- an empty database, with CHECK_FILE in the environment and the variable every_version (true where the source served
-- every version). Writes one line for each check: outcome|check|detail.
set search_path = nyc311;
set client_min_messages = warning;
set jit = off;

-- A line as it is: neither quotes nor backslashes mean anything, for these control characters cannot occur in JSON.
create temp table line (value text);
\copy line from program 'gzip -dcf -- "$CHECK_FILE"' with (format csv, quote e'\x01', delimiter e'\x02', null e'\x03')

create function pg_temp.readable(value text) returns json language plpgsql immutable as $$
begin
    return case when json_typeof(value::json) = 'object' then value::json end;
exception when others then
    return null;
end
$$;

-- A version is told from another by its system fields, or by its bytes where it has none.
create temp table version as
select distinct on (unique_key, version)
       unique_key, version, row::json ->> 'status' as status, row::json ->> 'agency' as agency,
       row::json ->> 'created_date' as created, lower(row::json ->> 'complaint_type') as complaint_type,
       row::json ->> 'descriptor' as descriptor, row::json ->> 'latitude' as latitude,
       row::json ->> 'longitude' as longitude,
       (row::json ->> ':updated_at')::timestamptz as updated_at, row::json ->> ':version' as source_version
from (select row, (row::json ->> 'unique_key')::bigint as unique_key,
             coalesce((row::json ->> ':updated_at') || ' ' || (row::json ->> ':version'), md5(row)) as version
      from (select pg_temp.readable(value)::text as row from line offset 0) as parsed
      where trim(row::json ->> 'unique_key') ~ '^[0-9]{1,18}$' offset 0) as keyed;
create index on version (unique_key);
analyze version;

-- The newest version of each key, where the file says which that is.
create temp table newest as
select distinct on (unique_key) *
from version v
where updated_at is not null
   or not exists (select from version other where other.unique_key = v.unique_key and other.version <> v.version)
order by unique_key, updated_at desc nulls last, source_version collate "C" desc nulls last;
analyze newest;

-- Likely duplicates by a plain reading, of the rows that have a point and a time of day.
create temp table twins as
select coalesce(sum(requests - 1), 0) as marked
from (select count(*) as requests
      from newest join service_request using (unique_key)
      where newest.latitude is not null and newest.longitude is not null
        and newest.created not like '%T00:00:00.000' and newest.created not like '%T12:00:00.000'
        and quality_flags & (7::bigint << 41) = 0
      group by newest.created, newest.complaint_type, newest.descriptor, newest.latitude, newest.longitude) as grouped;

create temp table poll_counts as select * from poll order by created_at limit 1;

select case when ok then 'ok' else 'failed' end, what, detail
from (
    select 1 as place, 'every key of the file is a row or a dead letter' as what,
           count(*) filter (where s.unique_key is null and d.unique_key is null) = 0 as ok,
           format('%s keys, %s of them rows', count(*), count(s.unique_key)) as detail
    from (select distinct unique_key from version) k
    left join service_request s using (unique_key)
    left join (select distinct unique_key from dead_letter) d using (unique_key)

    union all
    select 2, 'every row is a key of the file', count(*) filter (where v.unique_key is null) = 0,
           format('%s rows', count(*))
    from service_request s
    left join (select distinct unique_key from version) v using (unique_key)

    union all
    select 3, 'every row is the newest version of its key',
           count(*) filter (where n.updated_at is not null
               and (n.updated_at, n.source_version collate "C") is distinct from (s.source_updated_at, s.source_version)) = 0
           and count(*) filter (where n.status is not null and n.status is distinct from s.status
               and not coalesce(s.stated ? 'status', false)) = 0
           and count(*) filter (where n.agency is not null and n.agency is distinct from s.agency
               and not coalesce(s.stated ? 'agency', false)) = 0,
           format('%s compared', count(*))
    from newest n
    join service_request s using (unique_key)

    union all
    select 4, 'the history holds every other version, or none where only the newest were served', held = wanted,
           format('%s of %s', held, wanted)
    from (select (select count(*) from service_request_history) as held,
                 case when :'every_version'::boolean then
                     (select count(*) from version where unique_key in (select unique_key from service_request))
                     - (select count(*) from service_request)
                     - (select count(*) from dead_letter where unique_key in (select unique_key from service_request))
                 else 0 end as wanted) as history

    union all
    select 5, 'rollup_daily equals a recount', count(*) = 0, format('%s cells differ', count(*))
    from (select day, borough, agency, complaint_type, opened, closed, closed_undated, still_open from rollup_daily
          where (opened, closed, closed_undated, still_open) <> (0, 0, 0, 0)) r
    full join (select * from rollup_daily_recount
          where (opened, closed, closed_undated, still_open) <> (0, 0, 0, 0)) c
        using (day, borough, agency, complaint_type)
    where (r.opened, r.closed, r.closed_undated, r.still_open)
        is distinct from (c.opened, c.closed, c.closed_undated, c.still_open)

    union all
    select 6, 'rollup_response_monthly equals a recount', count(*) = 0, format('%s cells differ', count(*))
    from (select * from rollup_response_monthly where (by_opened, by_closed) <> (0, 0)) r
    full join (select * from rollup_response_monthly_recount where (by_opened, by_closed) <> (0, 0)) c
        using (month, borough, agency, complaint_type, bucket)
    where (r.by_opened, r.by_closed) is distinct from (c.by_opened, c.by_closed)

    union all
    select 7, 'each request is counted once', opened = rows and opened = ended,
           format('%s rows, %s opened, %s closed or open', rows, opened, ended)
    from (select coalesce(sum(opened), 0) as opened, coalesce(sum(closed + closed_undated + still_open), 0) as ended,
                 (select count(*) from service_request) as rows
          from rollup_daily) as counted

    union all
    select 8, 'duplicate_of equals a recount', count(*) = 0, format('%s differ', count(*))
    from service_request s
    join duplicate_of_recount r using (unique_key)
    where s.duplicate_of is distinct from r.duplicate_of

    union all
    select 9, 'the likely duplicates with a point are those of the file',
           marked = (select marked from twins)
               or (select count(*) from newest) < (select count(distinct unique_key) from version),
           format('%s marked, %s by a plain reading', marked, (select marked from twins))
    from (select count(*) as marked from service_request
          where duplicate_of is not null and latitude is not null and longitude is not null
            and quality_flags & (7::bigint << 41) = 0) as counted

    union all
    select 10, 'the counts of the poll add up',
           fetched + republished = stored + duplicate + reenriched + dead_lettered and republished >= 0
           and stored = (select count(*) from service_request) + (select count(*) from service_request_history),
           format('%s fetched, %s republished, %s stored, %s duplicate, %s reenriched, %s dead-lettered',
                  fetched, republished, stored, duplicate, reenriched, dead_lettered)
    from poll_counts
) as checked
order by place;
