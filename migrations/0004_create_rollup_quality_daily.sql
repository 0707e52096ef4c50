-- How many requests of a day carry each quality flag; its parts are explained in 0003.

create table nyc311.rollup_quality_daily (
    day       date not null,
    bit       smallint not null,
    requests  integer not null,
    primary key (day, bit)
) with (fillfactor = 75);

-- a cell of each bit is too much work for each row: the delta keeps the bits together until the end
create function nyc311.quality_bits(quality_flags bigint) returns setof smallint
language sql immutable parallel safe rows 2
begin atomic
    select b::smallint from generate_series(0, 63) b where quality_flags & (1::bigint << b) <> 0;
end;

create view nyc311.rollup_quality_daily_recount as
select d.day, b.bit, sum(d.requests)::integer as requests
from (
    select nyc311.new_york_day(created_at) as day, quality_flags, count(*) as requests
    from nyc311.service_request
    where withdrawn_at is null and quality_flags <> 0
    group by 1, 2
) d, nyc311.quality_bits(d.quality_flags) b (bit)
group by 1, 2;

create function nyc311.rollup_quality_daily_collect() returns trigger
language plpgsql
set jit = off
as $$
begin
    if to_regclass('pg_temp.rollup_quality_daily_delta') is null then
        create temp table rollup_quality_daily_delta (
            day date, quality_flags bigint, requests integer
        ) on commit delete rows;
    end if;
    if tg_op in ('UPDATE', 'DELETE') then
        insert into pg_temp.rollup_quality_daily_delta
        select nyc311.new_york_day(created_at), quality_flags, -count(*)
        from old_rows
        where withdrawn_at is null and quality_flags <> 0
        group by 1, 2;
    end if;
    if tg_op in ('UPDATE', 'INSERT') then
        insert into pg_temp.rollup_quality_daily_delta
        select nyc311.new_york_day(created_at), quality_flags, count(*)
        from new_rows
        where withdrawn_at is null and quality_flags <> 0
        group by 1, 2;
    end if;
    return null;
end
$$;

create function nyc311.rollup_quality_daily_apply() returns void
language plpgsql
set jit = off
as $$
begin
    with delta as (
        delete from pg_temp.rollup_quality_daily_delta returning *
    )
    insert into nyc311.rollup_quality_daily as r (day, bit, requests)
    select d.day, b.bit, sum(d.requests)
    from (
        select day, quality_flags, sum(requests) as requests from delta group by 1, 2
    ) d, nyc311.quality_bits(d.quality_flags) b (bit)
    where d.requests <> 0
    group by 1, 2
    having sum(d.requests) <> 0
    order by 1, 2
    on conflict (day, bit) do update set requests = r.requests + excluded.requests;
end
$$;

create trigger b_rollup_quality_daily_insert after insert on nyc311.service_request
    referencing new table as new_rows
    for each statement execute function nyc311.rollup_quality_daily_collect();
create trigger b_rollup_quality_daily_update after update on nyc311.service_request
    referencing old table as old_rows new table as new_rows
    for each statement execute function nyc311.rollup_quality_daily_collect();
create trigger b_rollup_quality_daily_delete after delete on nyc311.service_request
    referencing old table as old_rows
    for each statement execute function nyc311.rollup_quality_daily_collect();

insert into nyc311.rollup (name, position) values ('rollup_quality_daily', 3);
insert into nyc311.rollup_quality_daily select * from nyc311.rollup_quality_daily_recount;

-- The same by name: how often each flag was set, by day of creation.
create view nyc311.quality_flag_daily as
select r.day, f.name, f.kind, f.meaning, r.requests
from nyc311.rollup_quality_daily r
join nyc311.quality_flag f using (bit)
where r.requests <> 0;
