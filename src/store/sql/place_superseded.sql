-- Looks at the facts after the upsert, which holds a lock on every key of the batch: what is not the
-- current version is superseded or late, and belongs to the history, whoever else writes.
-- The joins are full ones, though the left side has every row, because PostgreSQL then never chooses a
-- nested loop over two sets whose size it cannot know.
--
-- A version without a name (''), of rules before revision 3, is taken for any version of the same key and
-- time that is told by its content: it is not stored beside one, and the first one that comes takes its
-- place. If it was the current one, the upsert has just put it into the history.
with placed as materialized (
    select i.unique_key, i.source_updated_at, i.source_version, i.rules_revision, i.status, i.state,
           i.closed_at, i.agency, i.complaint_type, i.descriptor, i.borough, i.poll_id, i.raw_partition,
           coalesce((i.source_updated_at, i.source_version) = (s.source_updated_at, s.source_version), false)
               as is_current,
           -- written by this transaction
           coalesce(s.xmin = pg_current_xact_id()::xid and s.last_changed_at = now(), false) as is_written,
           -- where the history holds the same version without a name
           case when starts_with(i.source_version, '{content}') then (
               select h.ctid from nyc311.service_request_history h
               where h.unique_key = i.unique_key and h.source_updated_at = i.source_updated_at
                 and h.source_version = ''
           ) end as nameless,
           case when i.source_version = '' then
               coalesce(s.source_updated_at = i.source_updated_at
                            and starts_with(s.source_version, '{content}'), false)
               or exists (
                   select from nyc311.service_request_history h
                   where h.unique_key = i.unique_key and h.source_updated_at = i.source_updated_at
                     and starts_with(h.source_version, '{content}')
                   -- offset 0: no hash of the whole history
                   offset 0)
           else false end as has_name
    from pg_temp.incoming i
    -- offset 0: by the index, row by row, whatever the planner believes about a table that grows fast
    left join lateral (
        select r.source_updated_at, r.source_version, r.last_changed_at, r.xmin
        from nyc311.service_request_row r
        where r.unique_key = i.unique_key
        offset 0
    ) s on true
), renamed as (
    delete from nyc311.service_request_history
    where ctid = any (array(select nameless from placed where nameless is not null))
), superseded as (
    insert into nyc311.service_request_history as h
        (unique_key, source_updated_at, source_version, rules_revision, status, state, closed_at, agency,
         complaint_type, descriptor, borough)
    select unique_key, source_updated_at, source_version, rules_revision, status, state, closed_at, agency,
           complaint_type, descriptor, borough
    from placed
    where not is_current and not has_name
    order by unique_key, source_updated_at, source_version
    on conflict (unique_key, source_updated_at, source_version) do update
    set rules_revision = excluded.rules_revision, status = excluded.status, state = excluded.state,
        closed_at = excluded.closed_at, agency = excluded.agency,
        complaint_type = excluded.complaint_type, descriptor = excluded.descriptor,
        borough = excluded.borough
    where excluded.rules_revision > h.rules_revision
    returning h.unique_key, h.source_updated_at, h.source_version, false as is_current,
              -- a row that was inserted, not updated, has no deleter
              h.xmax = 0 as is_new
), reenriched as (
    select unique_key, true as is_current, true as is_reenriched from pg_temp.reenriched
), outcome as (
    select p.poll_id, p.raw_partition,
           case
               when p.nameless is not null then 'reenriched'
               when p.is_current and not p.is_written then 'duplicate'
               when p.is_current and r.is_reenriched then 'reenriched'
               when p.is_current then 'stored'
               when h.is_new then 'stored'
               when h.is_new is not null then 'reenriched'
               else 'duplicate'
           end as outcome
    from placed p
    full join superseded h
        on h.unique_key = p.unique_key and h.source_updated_at = p.source_updated_at
       and h.source_version = p.source_version and h.is_current = p.is_current
    full join reenriched r
        on r.unique_key = p.unique_key and r.is_current = p.is_current
)
select poll_id, raw_partition,
       count(*) filter (where outcome = 'stored') as stored,
       count(*) filter (where outcome = 'duplicate') as duplicate,
       count(*) filter (where outcome = 'reenriched') as reenriched
from outcome
group by poll_id, raw_partition
