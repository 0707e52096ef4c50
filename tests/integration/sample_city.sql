-- Invented requests in the shape that the program stores: enough of each kind that every example of the documents has an answer.
-- ROWS and DAYS are put in by whoever runs it. They end on 2026-04-20.
insert into nyc311.service_request_row
    (unique_key, source_updated_at, source_version, rules_revision, source_created_at, created_at, closed_at, response_hours,
     quality_flags, status, state, is_open, agency, agency_name, complaint_type, category, descriptor, location_type,
     open_data_channel_type, resolution_description, borough, incident_zip, city, incident_address, street_name, cross_street_1,
     cross_street_2, bbl, latitude, longitude, x_state_plane, y_state_plane, community_board, community_district,
     council_district, police_precinct, nta2020, zcta, stated, details)
select 68600000 + i, coalesce(closed_at, created_at) + interval '26 hours', 'rv-' || md5(i::text), 1, created_at, created_at, closed_at,
       extract(epoch from closed_at - created_at) / 3600.0,
       case i % 40 when 0 then 1::bigint << 16 when 1 then 1::bigint << 41 when 2 then (1::bigint << 24) | (1::bigint << 32)
                   when 6 then 1::bigint << 24 else 0 end,
       case when closed_at is null then 'In Progress' else 'Closed' end,
       case when closed_at is null then 'in_progress' else 'closed' end,
       closed_at is null,
       agency, 'An agency of the city', complaint_type, category, 'Of the kind ' || i % 7, 'Street/Sidewalk', 'ONLINE',
       repeat('The agency looked into it and says so. ', 3 + i % 3), borough, (10001 + i % 250)::text, borough,
       i % 900 || ' SOME STREET', 'SOME STREET', 'ONE AVENUE', 'ANOTHER AVENUE',
       case when i % 4 > 0 then 2023507501 + i % 800000 end, 40.5 + (i % 4000) / 10000.0, -74.2 + (i % 5000) / 10000.0,
       990000 + i % 60000, 200000 + i % 60000, district || ' ' || borough, district, 1 + i % 51, 1 + i % 123,
       'MN' || lpad((i % 99)::text, 4, '0'), (10001 + i % 200)::text,
       case when i % 50 = 0 then jsonb_build_object('complaint_type', upper(complaint_type)) end,
       jsonb_build_object(':id', 'row-' || md5(i::text), 'vehicle_type', case when i % 2 = 0 then 'Car' else 'Truck' end,
                          'location', jsonb_build_object('latitude', '40.7', 'longitude', '-73.9'))
from (
    select i, created_at,
           case when hash % 25 > 0 and created_at + lasts < timestamptz '2026-04-20 America/New_York' then created_at + lasts end as closed_at,
           (array['NYPD', 'HPD', 'DSNY', 'DOT', 'DPR'])[1 + hash % 5] as agency,
           (array['Noise - Residential', 'Heat/Hot Water', 'Missed Collection', 'Street Condition', 'Damaged Tree'])[1 + hash % 5]
               as complaint_type,
           (array['noise', 'heat and hot water', 'sanitation', 'street and traffic', 'trees and parks'])[1 + hash % 5] as category,
           (array['MANHATTAN', 'BRONX', 'BROOKLYN', 'QUEENS', 'STATEN ISLAND'])[1 + hash / 5 % 5] as borough,
           (hash / 5 % 5 + 1) * 100 + 1 + hash / 25 % 12 as district
    from (
        select i, (hashint8(i) & 1048575)::integer as hash,
               timestamptz '2026-04-20 America/New_York' - interval '1 day' * DAYS * (i::float8 / ROWS) - interval '1 second' as created_at,
               interval '1 minute' * (7 + power(hashint8(i + 7) & 255, 2) * (1 + i % 5)) as lasts
        from generate_series(0, ROWS - 1) as i
    ) drawn
) as request;

-- What was superseded: each request was open before, and some of those that are open now were closed once.
insert into nyc311.service_request_history
    (unique_key, source_updated_at, source_version, rules_revision, status, state, closed_at, agency, complaint_type, descriptor, borough)
select unique_key, source_updated_at - interval '20 days', source_version, 1, 'Open', 'open', null, agency, complaint_type, descriptor, borough
from nyc311.service_request where unique_key % 2 = 0
union all
select unique_key, source_updated_at - interval '2 days', source_version, 1, 'Closed', 'closed', source_updated_at - interval '3 days',
       agency, complaint_type, descriptor, borough
from nyc311.service_request where is_open and unique_key % 3 = 0;
