-- What came of a poll, and three tables that a dashboard would show. Run by scripts/demo with the poll's id.
\pset footer off
\pset null ''
set search_path = nyc311;

\pset tuples_only on
select format('Poll %s succeeded in %s s', poll_id, round(extract(epoch from finished_at - created_at)::numeric, 1))
from poll where poll_id = :'poll';
\pset tuples_only off

\pset title 'What happened'
with repair as (
    select coalesce(bit_or(1::bigint << bit), 0) as bits from quality_flag where kind = 'repair'
), repaired as (
    select count(*) filter (where last_changed_at >= (select created_at from poll where poll_id = :'poll')) as now_repaired,
           count(*) as ever_repaired
    from service_request, repair
    where quality_flags & bits <> 0
)
select what, to_char(in_this_poll, '999,999,990') as "in this poll",
       to_char(in_all, '999,999,990') as "in all"
from poll, repaired,
     lateral (values
        (1, 'rows fetched', fetched, (select sum(fetched) from poll)),
        (2, 'rows stored', stored, (select count(*) from service_request)),
        (3, 'known already', duplicate + reenriched, null),
        (4, 'repaired', now_repaired, ever_repaired),
        (5, 'dead-lettered', dead_lettered, (select count(*) from dead_letter))
     ) as line (place, what, in_this_poll, in_all)
where poll_id = :'poll'
order by place;

\pset title 'Requests by borough'
select borough,
       to_char(sum(opened), '99,999,990') as requests,
       to_char(sum(still_open), '99,999,990') as "still open",
       to_char(100.0 * sum(still_open) / nullif(sum(opened), 0), '990.0') as "open %"
from rollup_daily
group by borough
order by sum(opened) desc;

\pset title 'The ten most common complaint types'
with common as (
    select complaint_type, sum(opened) as requests
    from rollup_daily
    group by complaint_type
    order by requests desc, complaint_type
    limit 10
), response as (
    select complaint_type, response_percentile(bucket, n, 0.5) as median_hours
    from (
        select complaint_type, bucket, sum(by_opened) as n
        from rollup_response_monthly
        where complaint_type in (select complaint_type from common)
        group by complaint_type, bucket
    ) histogram
    group by complaint_type
)
select complaint_type,
       to_char(requests, '99,999,990') as requests,
       case when median_hours < 1 then to_char(median_hours * 60, 'FM990') || ' min'
            when median_hours < 48 then to_char(median_hours, 'FM990.0') || ' h'
            else to_char(median_hours / 24, 'FM9990.0') || ' d' end as "median response time"
from common
left join response using (complaint_type)
order by common.requests desc, complaint_type;

\pset title 'Open backlog by age'
with newest as (
    select max(day) as today from rollup_daily where opened > 0
), backlog as (
    select still_open, today - day as age from rollup_daily, newest where still_open > 0
)
select class.age as "open for", to_char(coalesce(sum(still_open), 0), '99,999,990') as requests
from (values (1, 'up to a day', 0, 1), (2, 'up to a week', 2, 7), (3, 'up to a month', 8, 30),
             (4, 'up to three months', 31, 91), (5, 'up to a year', 92, 365),
             (6, 'longer', 366, 2147483647)) as class (place, age, from_days, to_days)
left join backlog on backlog.age between from_days and to_days
group by place, class.age
order by place;
