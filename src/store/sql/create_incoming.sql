-- what COPY fills, and which of its rows replaced the same version under older rules
create temp table if not exists incoming (
    {definitions},
    poll_id uuid,
    raw_partition integer not null,
    newest boolean not null
) on commit delete rows;
create temp table if not exists reenriched (unique_key bigint not null) on commit delete rows
