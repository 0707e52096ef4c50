-- In the order of their keys, so that writers that share keys wait for each other in one order: COPY has
-- brought the rows in that order, and a temporary table is read in the order in which it was filled.
with written as (
    insert into nyc311.service_request_row as s ({columns}, first_seen_at, last_changed_at)
    select {columns}, now(), now()
    from pg_temp.incoming
    where newest
    on conflict (unique_key) do update
    set {assignments},
        last_changed_at = now(),
        -- a newer version of a row that was gone: it is back; one without a name is what is told by its content
        withdrawn_at = case
            when excluded.source_updated_at = s.source_updated_at
                and (excluded.source_version = s.source_version
                    or s.source_version = '' and starts_with(excluded.source_version, '{content}'))
            then s.withdrawn_at
        end
    where (excluded.source_updated_at, excluded.source_version, excluded.rules_revision)
        > (s.source_updated_at, s.source_version, s.rules_revision)
    returning 1
)
select count(*) as written from written
