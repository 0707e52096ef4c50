-- nyc311.has_flag(quality_flags, 'name'): whether a request carries a flag, by the flag's name.
--
-- It costs no more than the test of a bit: has_flag is inlined, and quality_flag_mask, given a constant, is worked out once, when
-- the statement is planned. That it reads a table and is immutable nevertheless rests on a promise: a bit, once given, is never
-- used for another flag.

-- The bit of a flag, as a mask. A name that no flag has is an error that names the nearest ones: no rows at all would look like an
-- answer. Nearest is who shares most pairs of letters.
create function nyc311.quality_flag_mask(flag text) returns bigint
language plpgsql immutable parallel safe
as $$
declare
    mask bigint;
    nearest text;
begin
    select 1::bigint << f.bit into mask from nyc311.quality_flag f where f.name = flag;
    if mask is not null then
        return mask;
    end if;
    select string_agg(n.name, ', ' order by n.likeness desc, n.name) into nearest
    from (
        select f.name, (
            select 2.0 * count(*) / greatest(length(f.name) + length(flag), 1)
            from generate_series(1, length(f.name) - 1) i
            where position(substr(f.name, i, 2) in lower(flag)) > 0
        ) as likeness
        from nyc311.quality_flag f
        order by 2 desc, 1
        limit 3
    ) n;
    raise exception 'there is no quality flag %', coalesce(quote_literal(flag), 'null')
        using errcode = 'invalid_parameter_value',
              hint = format('The nearest are %s. The table nyc311.quality_flag lists all.', nearest);
end
$$;

create function nyc311.has_flag(quality_flags bigint, name text) returns boolean
language sql immutable parallel safe
return quality_flags & nyc311.quality_flag_mask(name) <> 0;
