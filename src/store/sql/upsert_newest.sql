-- In the order of their keys, so that writers that share keys wait for each other in one order: COPY has
-- brought the rows in that order, and a temporary table is read in the order in which it was filled.
insert into nyc311.service_request as s ({columns}, first_seen_at, last_changed_at)
select {columns}, now(), now()
from pg_temp.incoming
where newest
on conflict (unique_key) do update
set {assignments},
    last_changed_at = now(),
    -- a newer version of a row that was gone: it is back
    withdrawn_at = case
        when (excluded.source_updated_at, excluded.source_version) = (s.source_updated_at, s.source_version)
        then s.withdrawn_at
    end
where (excluded.source_updated_at, excluded.source_version, excluded.rules_revision)
    > (s.source_updated_at, s.source_version, s.rules_revision)
